"""``clinical-assets pccp``: a change control plan over its whole life."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import out, seconds, show_json, show_rows
from clinical_assets.foundation.short_digests import short_digest
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.governance.candidate.change import differences, kind_of_change
from clinical_assets.governance.candidate.plan_history import authorised_version
from clinical_assets.governance.dossier.plan_evidence import plan_status, write_plan_evidence
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records.actors import current_actor

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def status(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """What was authorised, which updates were tested against it, and what is left of error rate and holdout."""
    found = plan_status(candidate_of(context.cohort(cohort)))
    if as_json:
        show_json(found)
        return
    authorised, words = found["authorised"], found["reference"] or "without a reference"
    if found["synthetic"]:
        out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
    out.print(f"Plan {words}, {short_digest(found['plan'])}", markup=False)
    if authorised is None and found["champion"] == found["candidate"]:
        out.print("  authorised: the newest model, which serves; updates will be held against it", markup=False)
    elif authorised is None:
        out.print("  authorised: nothing yet; the first release with signatures will be", markup=False)
    else:
        out.print(
            f"  authorised: {short_digest(authorised['digest'])} since {seconds(authorised['at'])} UTC", markup=False
        )
    if authorised is not None and not found["in_force"]:
        out.print("  The plan was changed since: it counts once a model is released under it.", markup=False)
    out.print(
        f"  error rate {found['error_rate']:g} for {found['planned_updates']} updates; "
        f"{found['level']:.3g} (one-sided) is left for the newest model\n"
        f"  holdout: {found['holdout_rows']} rows, judged by {found['looks']:.3g} models on average of "
        f"{found['looks_allowed']} allowed",
        markup=False,
    )
    rows = [
        {"update": number, "model": each["digest"], "level": each["level"], "no worse": each["shown"]}
        for number, each in enumerate(found["tests"], start=1)
    ]  # fmt: skip
    show_rows(rows, title="Updates held against the authorised version", empty="no update was tested yet")


@app.command()
def diff(
    cohort: CohortArgument,
    digest: Annotated[str | None, typer.Option(help="Digest of a model; by default the newest.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a model changes against the champion and against the authorised version, and whether the plan permits it."""
    candidate = candidate_of(context.cohort(cohort), digest=digest)
    change, authorised = kind_of_change(candidate), authorised_version(candidate)
    found: dict[str, Any] = {
        "model": candidate.digest,
        "champion": change.against,
        "kind": change.kind,
        "permitted": None if change.permitted is None else change.permitted.model_dump(mode="json"),
        "against champion": list(change.details),
        "authorised": None if authorised is None else authorised.digest,
        "against authorised": [],
    }
    if authorised is not None:
        bundle = champion_pointer.bundle_of(candidate.settings, authorised.digest)
        found["against authorised"] = [each for told in differences(candidate, bundle).values() for each in told]
    if as_json:
        show_json(found)
        return
    allowed = "permitted by the plan, on terms" if found["permitted"] else "not permitted by the plan"
    said = "a first release" if change.kind == "first" else f"a change of kind '{change.kind}', {allowed}"
    out.print(f"{short_digest(candidate.digest)} is {said}.", markup=False)
    for name in ("champion", "authorised"):
        if found[name] is not None:
            out.print(f"Against the {name} {short_digest(found[name])}:", markup=False)
            for each in found[f"against {name}"] or ["nothing that is scored differs"]:
                out.print(f"  - {each}", markup=False)


@app.command()
def evidence(
    cohort: CohortArgument,
    to: Annotated[Path, typer.Option(help="File to write, ZIP.")],
    as_json: JsonOption = False,
) -> None:
    """Plan, ledger, verdicts, digests of models and dossiers in one ZIP, with a checker that needs only Python."""
    candidate = candidate_of(context.cohort(cohort))
    found = write_plan_evidence(candidate, to, actor=current_actor(context.settings()))
    if as_json:
        show_json(found)
        return
    out.print(
        f"{to}: {found['files']} files, {found['entries']} entries of the ledger, {found['file_digest']}\n"
        f"  unpack it, and: python check_plan_evidence.py --key {found['key']}\n"
        "  Hand the key out by another way than the file.",
        markup=False,
    )
    for each in found["missing"]:
        out.print(f"  Not here any more: the dossier {each}, which the ledger names.", markup=False)
