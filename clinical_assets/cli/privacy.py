"""``erase``, ``deidentify`` and ``pseudonyms``: what a person may ask for, and what leaves nobody named."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.errors import ClinicalAssetsError

pseudonyms = typer.Typer(no_args_is_help=True)
Cohort = Annotated[str, typer.Argument(help="Name of the cohort.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def erase(
    subject: Annotated[str, typer.Argument(help="Identifier of the subject; - reads it from standard input.")],
    cohort: Annotated[str, typer.Option("--cohort", help="Name of the cohort.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger; it must not name the subject.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a subject from tables, snapshots, scores and logs; destroy its key; list models to train again.

    An erasure that was interrupted is completed by the same command.
    """
    from clinical_assets.governance import erasure

    settings, catalogue = context.settings(), context.catalogue()
    if subject == "-":
        subject = sys.stdin.readline().strip()
        if not yes:
            raise ClinicalAssetsError(
                "Standard input gives the identifier, so nobody can be asked.", cure="Add --yes, or name the subject."
            )
    if not yes:
        found = erasure.find(cohort, subject, settings=settings, catalogue=catalogue)
        rows = [{"table": name, "rows": each.rows, "mentions": each.mentions} for name, each in found.tables.items()]
        show_rows(rows, empty=f"The warehouse of {cohort} holds nothing of this subject.")
        if not found.distinctive:
            err.print("The identifier is too short to be looked for in texts, logs and files.", markup=False)
        typer.confirm(f"Erase the subject from {cohort}? It cannot be undone.", abort=True)
    done = erasure.erase(
        cohort,
        subject,
        reason=reason,
        settings=settings,
        catalogue=catalogue,
        progress=None if as_json else lambda text: err.print(f"- {text}", markup=False),
    )
    if as_json:
        show_json(asdict(done))
        return
    show_rows(
        [{"table": name, "rows deleted": rows} for name, rows in done.tables.items()],
        empty="No row of the subject was found.",
    )
    for redaction in done.snapshots:
        out.print(f"snapshot of {redaction.table}: {redaction.old[:19]} is now {redaction.new[:19]}", markup=False)
    for digest in done.models:
        out.print(f"to be trained again: {digest}", markup=False)
    for each in done.remaining:
        out.print(f"still holds the subject: {each.what}\n  {each.cure}", markup=False)
    if done.ledger_seq is None:
        out.print("The subject was erased before; nothing new for the ledger.", markup=False)
    else:
        out.print(f"Erased as {done.pseudonym}; entry {done.ledger_seq} of the ledger.", markup=False)


def deidentify(cohort: Cohort, as_json: Json = False) -> None:
    """Look for the 18 kinds of identifiers of HIPAA Safe Harbor in tables, and for known identifiers in logs.

    Ends with exit code 1 when something is where nobody expects it.
    """
    from clinical_assets.governance.deidentify import deidentify as look

    found = look(cohort, settings=context.settings(), catalogue=context.catalogue())
    if as_json:
        show_json({**asdict(found), "clean": found.clean})
    else:
        for title, findings in (("Unexpected", found.unexpected), ("As described", found.expected)):
            rows = [
                {
                    "column": f"{each.relation}.{each.column}",
                    "class": each.identifier_class,
                    "rule": each.rule,
                    "rows": each.rows,
                    "first rows": ", ".join(map(str, each.example_rows)),
                    "cure": each.cure,
                }
                for each in findings
            ]
            show_rows(rows, title=f"\n{title}", empty=f"{title}: nothing", spare=("first rows", "rule"))
        for named in found.files:
            out.print(f"{named.file} names {named.subjects} subjects. {named.cure}", markup=False)
        out.print(f"{len(found.relations)} tables and {found.files_looked_at} files were looked at.")
    if not found.clean:
        raise typer.Exit(1)


@pseudonyms.command()
def rotate(
    cohort: Cohort,
    retire: Annotated[bool, typer.Option("--retire", help="Destroy the keys of the version before, too.")] = False,
    as_json: Json = False,
) -> None:
    """Give every subject of a cohort a new key; older pseudonyms can be resolved until their version is retired."""
    from clinical_assets.records.actors import current_actor
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger
    from clinical_assets.records.pseudonyms import Pseudonyms

    context.catalogue().entry(cohort)
    settings = context.settings()
    keys = Pseudonyms(settings, cohort)
    version = keys.rotate()
    destroyed = keys.retire(version - 1) if retire else 0
    facts = {"version": version, "retired": version - 1 if retire else None, "keys_destroyed": destroyed}
    Ledger(RecordsDatabase(settings)).append("key_rotation", actor=current_actor(settings), cohort=cohort, facts=facts)
    show_json({"cohort": cohort, **facts}) if as_json else out.print(
        f"{cohort}: new pseudonyms begin with p{version}_"
        + (f"; {destroyed} keys of version {version - 1} were destroyed" if retire else "")
    )
