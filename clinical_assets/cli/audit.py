"""``clinical-assets audit``: the ledger of who did what, and whether it is whole."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, show_json, show_rows

if TYPE_CHECKING:
    from clinical_assets.records.ledger import Ledger

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_DIGEST_SHOWN = 19  # "sha256:" and twelve digits


class Format(StrEnum):
    """Formats of an export."""

    jsonl = "jsonl"
    csv = "csv"


@app.command()
def show(
    cohort: Annotated[str | None, typer.Option("--cohort", help="Only this cohort.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this action, such as promotion.")] = None,
    digest: Annotated[str | None, typer.Option("--digest", help="Only this digest, in full.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many entries.")] = 20,
    as_json: Json = False,
) -> None:
    """The newest entries, newest first."""
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
                "what": _what(entry.reason, entry.facts),
            }
            for entry in found
        ],
        empty="no entry",
        spare=("digest", "cohort"),
    )


@app.command()
def verify(as_json: Json = False) -> None:
    """Read every entry and every anchor; exit code 1 when anything was changed, moved or removed."""
    from dataclasses import asdict

    report = _ledger().verify()
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
    as_json: Json = False,
) -> None:
    """Write all entries into a file that only this account can read; the export is an entry, too."""
    count = _ledger().export(path, format=format.value)
    if as_json:
        show_json({"file": str(path), "format": format.value, "entries": count})
        return
    out.print(f"{count} entries in {path}", markup=False)


@app.command("restart-anchors")
def restart_anchors(
    reason: Annotated[str, typer.Option("--reason", help="What became of the anchors; stands in the ledger for ever.")],
) -> None:
    """Begin the anchors anew after their file was lost; refused when an entry is wrong."""
    from clinical_assets.records.actors import current_actor

    entry = _ledger().restart_anchors(actor=current_actor(context.settings()), reason=reason)
    out.print(f"Entry {entry.seq} says that {entry.actor} began the anchors anew.", markup=False)


def _ledger() -> Ledger:
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    return Ledger(RecordsDatabase(context.settings()))


def _known(action: str | None) -> Any:
    from clinical_assets.records.ledger import ACTIONS

    if action is not None and action not in ACTIONS:
        raise typer.BadParameter(f"{action!r} is none of {', '.join(ACTIONS)}", param_hint="--action")
    return action


def _what(reason: str | None, facts: dict[str, Any]) -> str:
    """Reason and facts in one line."""
    parts = [reason] if reason else []
    return "; ".join([*parts, *(f"{name}={value}" for name, value in facts.items())])
