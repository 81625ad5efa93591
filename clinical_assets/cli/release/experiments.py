"""``clinical-assets experiment``: trials of a challenger against the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument, JsonOption, RoleOption, SignerOption
from clinical_assets.cli.output import out, seconds, show_json, show_rows
from clinical_assets.cli.release.people import FromStdin, ask_password
from clinical_assets.experiments.decisions import raise_share, sign_protocol, stop_experiment
from clinical_assets.experiments.planning.drafting import draft_protocol
from clinical_assets.experiments.planning.protocol_files import protocol_path, read_protocol, write_draft
from clinical_assets.experiments.register import Experiment, experiment_of, experiments_of
from clinical_assets.experiments.reports import experiment_report, shadow_report
from clinical_assets.experiments.watching import view_experiment
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.governance.signing.signatures import Proof
from clinical_assets.records.actors import current_actor
from clinical_assets.records.ledger.facts.installation import ExportFacts
from clinical_assets.workspace import CohortHandle

app = typer.Typer(no_args_is_help=True, add_completion=False)
NameArgument = Annotated[str, typer.Argument(help="Name of the experiment.")]


@app.command()
def new(
    cohort: CohortArgument,
    name: NameArgument,
    challenger: Annotated[str | None, typer.Option(help="Digest of the bundle; by default the newest model.")] = None,
) -> None:
    """Write a draft of a protocol beside the cohort: digests, threshold and planned size are filled in."""
    handle = context.cohort(cohort)
    path = protocol_path(handle, name)
    content = draft_protocol(handle, name, challenger=challenger)
    write_draft(path, content)
    out.print(f"{path}\n  planned: {content['plan']['units']} observations", markup=False)


@app.command()
def start(
    cohort: CohortArgument,
    name: NameArgument,
    login: SignerOption,
    share: Annotated[
        float | None, typer.Option(help="Raise the share of what goes on to the next stage of its ramp, such as 0.05.")
    ] = None,
    meaning: Annotated[str | None, typer.Option(help="What you say by signing, in a sentence.")] = None,
    role: RoleOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """Sign a protocol, which begins its silent stage with the last signature; or raise the share."""
    handle = context.cohort(cohort)
    if share is None:
        protocol = read_protocol(handle, protocol_path(handle, name))
        proof = _proof(login, role, stdin=password_stdin)
        said = {} if meaning is None else {"meaning": meaning}
        found = sign_protocol(handle, protocol, proof=proof, **said)
    else:
        experiment_of(handle.records, cohort, name)
        proof = _proof(login, role, stdin=password_stdin)
        words = meaning or f"I agree to raise the share of the challenger to {share:g}."
        found = raise_share(handle, proof=proof, share=share, seen=lambda each: _seen(handle, each), meaning=words)
    _show(found, as_json=as_json)


@app.command()
def status(cohort: CohortArgument, name: NameArgument = "", as_json: JsonOption = False) -> None:
    """What goes on and what came of it; of one experiment all numbers."""
    handle = context.cohort(cohort)
    if not name:
        rows = [_row(each) for each in experiments_of(handle.records, cohort)]
        show_json(rows) if as_json else show_rows(rows, empty="no experiment")
        return
    view = view_experiment(handle, experiment_of(handle.records, cohort, name))
    report, shadow = experiment_report(view, handle.spec), shadow_report(view)
    if as_json:
        show_json({"experiment": report, "shadow": shadow})
        return
    out.print(f"{name}: {report['state']}, share {report['share']:g}\n  {report['reason']}", markup=False)
    show_rows([{"arm": arm, **counts} for arm, counts in report["arms"].items()], title="Arms")
    show_rows(report["guardrails"], title="Guardrails of the challenger's arm")
    out.print(
        f"exposed to the challenger: {report['exposed_patients']} patients; pairs of both models: {shadow['pairs']}, "
        f"without one: {shadow['unpaired']}",
        markup=False,
    )


@app.command()
def stop(
    cohort: CohortArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence.")],
    login: SignerOption,
    role: RoleOption = None,
    password_stdin: FromStdin = False,
    as_json: JsonOption = False,
) -> None:
    """End what goes on, at once: within seconds the champion answers everybody."""
    handle = context.cohort(cohort)
    proof = _proof(login, role, stdin=password_stdin)
    _show(stop_experiment(handle, proof=proof, reason=reason), as_json=as_json)


@app.command()
def export(
    cohort: CohortArgument,
    name: NameArgument,
    to: Annotated[Path, typer.Option(help="File to write, JSON.")],
) -> None:
    """Protocol, signatures, numbers, and who was exposed (by the log's pseudonyms) in one file."""
    handle = context.cohort(cohort)
    found = experiment_of(handle.records, cohort, name)
    view = view_experiment(handle, found)
    digest = found.protocol.digest
    ledger = handle.workspace.ledger
    entries = [each for each in ledger.entries(cohort=cohort, action="experiment") if each.digest == digest]
    exposed = [
        {"line": each.seq, "at": each.at.isoformat(), "subject": each.subject, "failed": each.failed}
        for each in view.log.exposures
        if each.arm == "challenger"
    ]
    content = {
        "protocol": found.protocol.model_dump(mode="json"),
        "digest": digest,
        "salt": found.salt,
        "entries": [
            {"seq": e.seq, "at": e.at, "actor": e.actor, "reason": e.reason, "facts": dict(e.facts), "hash": e.hash}
            for e in entries
        ],
        "report": experiment_report(view, handle.spec),
        "shadow": shadow_report(view),
        "exposed": exposed,
    }
    facts = ExportFacts(file=to.name, format="json", entries=len(exposed))
    ledger.append("export", actor=current_actor(context.settings()), cohort=cohort, digest=digest, facts=facts)
    write_whole(to, readable_json(content))
    out.print(f"{to}: {len(entries)} entries, {len(exposed)} exposures", markup=False)


def _proof(login: str, role: str | None, *, stdin: bool) -> Proof:
    return Proof(login=login, secret=ask_password(f"Password of {login}", stdin=stdin), role=role)


def _seen(handle: CohortHandle, running: Experiment) -> int:
    """Units that the present stage has seen."""
    view = view_experiment(handle, running)
    return len({each.unit for each in view.log.exposures if each.share == running.share})


def _row(each: Experiment) -> dict[str, Any]:
    return {
        "name": each.protocol.name,
        "state": each.state,
        "share": each.share,
        "since": seconds(each.stages[0].since) if each.stages else None,
        "ended": seconds(each.end.at) if each.end is not None else None,
        "signed by": ", ".join(each.signers),
        "lacking": ", ".join(f"{number} {role}" for role, number in each.lacking.items()),
        "protocol": each.protocol.digest,
    }


def _show(each: Experiment, *, as_json: bool) -> None:
    if as_json:
        show_json(_row(each))
    else:
        show_rows([_row(each)])
