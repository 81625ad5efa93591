"""``clinical-assets audit``: the ledger of who did what, and whether it is whole."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.foundation.short_digests import whole_digest
from clinical_assets.governance.verification import EvidencePart, EvidenceReport, verify_all
from clinical_assets.governance.verification_record import keep_verification
from clinical_assets.records.actors import current_actor
from clinical_assets.records.ledger.ledger import ACTIONS, Ledger
from clinical_assets.records.ledger.witness_places import witness_place
from clinical_assets.records.ledger.witnesses import WitnessReport, compare
from clinical_assets.records.ledger.witnesses import witness as hand_out

app = typer.Typer(no_args_is_help=True, add_completion=False)
_DIGEST_SHOWN = 19  # "sha256:" and twelve digits


class Format(StrEnum):
    """Formats of an export."""

    jsonl = "jsonl"
    csv = "csv"


@app.command()
def show(
    cohort: Annotated[str | None, typer.Option("--cohort", help="Only this cohort.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this action, such as promotion.")] = None,
    digest: Annotated[str | None, typer.Option("--digest", help="Only this digest; 8 digits will do.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many entries.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The newest entries, newest first."""
    if digest is not None:
        digest = whole_digest(digest, _ledger().digests(), what="digest in the ledger")
    found = _ledger().newest(limit, cohort=cohort, action=_known(action), digest=digest)
    if as_json:
        show_json([entry.to_json() for entry in found])
        return
    show_rows(
        [
            {
                "seq": entry.seq,
                "at (UTC)": entry.at[:19].replace("T", " "),
                "actor": entry.actor,
                "action": entry.action,
                "cohort": entry.cohort,
                "digest": entry.digest and entry.digest[:_DIGEST_SHOWN],
                "what": entry.in_short(),
            }
            for entry in found
        ],
        empty="no entry",
        spare=("digest", "cohort"),
    )


@app.command()
def verify(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also people, signatures, verdicts, promotions, bundles, dossiers, snapshots..."),
    ] = False,
    witnesses: Annotated[
        str | None,
        typer.Option("--witness", help="Heads that lie elsewhere, as of `witness --to`; compare the ledger with them."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read every entry, seal and anchor; exit code 1 when anything was changed, moved, removed or added."""
    from dataclasses import asdict

    if everything:
        _verify_all(witnesses, as_json=as_json)
        return
    compared = None
    if witnesses is not None:
        compared = _compared(witnesses)
    report = _ledger().verify(every_seal=True)
    if compared is not None and compared.problem is not None:
        if as_json:
            show_json({**asdict(report), "witnesses": asdict(compared)})
        else:
            err.print(f"[bold red]not intact[/bold red]  {compared.agreeing} witnesses agree before the first bad one")
            err.print(compared.problem, markup=False)
        raise typer.Exit(1)
    if as_json:
        show_json(asdict(report))
    elif report.intact:
        out.print(
            f"[green]intact[/green]  {report.entries} entries, anchored up to {report.anchored}, head {report.head}"
        )
        if report.note:
            out.print(report.note, markup=False)
    else:
        err.print(f"[bold red]not intact[/bold red]  {report.entries} entries are right before the first bad one")
        err.print(report.problem or "", markup=False)
    if not report.intact:
        raise typer.Exit(1)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="File to write; one that exists is replaced.")],
    format: Annotated[Format, typer.Option("--format", help="JSON Lines or CSV.")] = Format.jsonl,
    as_json: JsonOption = False,
) -> None:
    """Write all entries into a file that only this account can read; the export is an entry, too."""
    count = _ledger().export(path, format=format.value)
    if as_json:
        show_json({"file": str(path), "format": format.value, "entries": count})
        return
    out.print(f"{count} entries in {path}", markup=False)


@app.command()
def witness(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="File to add the head to, https://..., or git+https://, git+ssh://, git+file:// of a repository "
            "(#branch); keep it where this account can only add.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Hand the newest head of the ledger, with its seal, to somebody outside; later `verify --witness` compares."""
    from dataclasses import asdict

    head = hand_out(_ledger(), witness_place(to), actor=current_actor(context.settings()))
    if as_json:
        show_json(asdict(head))
        return
    out.print(f"entry {head.seq}, {head.hash}, added to {witness_place(to).name}", markup=False)


@app.command("restart-anchors")
def restart_anchors(
    reason: Annotated[str, typer.Option("--reason", help="What became of the anchors; stands in the ledger for ever.")],
) -> None:
    """Begin the anchors anew after their file was lost; refused when an entry is wrong."""
    entry = _ledger().restart_anchors(actor=current_actor(context.settings()), reason=reason)
    out.print(f"Entry {entry.seq} says that {entry.actor} began the anchors anew.", markup=False)


def _verify_all(witnesses: str | None, *, as_json: bool) -> None:
    """Every kind of evidence, a line each, then what is wrong."""
    from dataclasses import asdict

    report = verify_all(context.settings())
    if witnesses is not None:
        compared = _compared(witnesses)
        problems = () if compared.problem is None else (compared.problem,)
        report = EvidenceReport((*report.parts, EvidencePart("witnesses", compared.agreeing, problems)))
    keep_verification(context.settings(), report)
    if as_json:
        show_json({"intact": report.intact, "parts": [asdict(part) for part in report.parts]})
    else:
        show_rows(
            [
                {
                    "evidence": part.name,
                    "state": "NOT INTACT" if part.problems else "intact" if part.checked else "nothing to check",
                    "checked": part.checked,
                    "note": part.note,
                }
                for part in report.parts
            ]
        )
        for part in report.parts:
            for problem in part.problems:
                err.print(f"{part.name}: {problem}", markup=False)
    if not report.intact:
        raise typer.Exit(1)


def _compared(witnesses: str) -> WitnessReport:
    place = witness_place(witnesses)
    return compare(_ledger().database, place.lines(), where=place.name)


def _ledger() -> Ledger:
    return context.workspace().ledger


def _known(action: str | None) -> Any:
    if action is not None and action not in ACTIONS:
        raise typer.BadParameter(f"{action!r} is none of {', '.join(ACTIONS)}", param_hint="--action")
    return action
