"""``erase``, ``deidentify`` and ``pseudonyms``: what a person may ask for, and what leaves nobody named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.data.paired_cohorts import is_paired, paired
from clinical_assets.cli.data.stored import described_cohort
from clinical_assets.cli.options import CohortArgument, JsonOption
from clinical_assets.cli.output import err, out, show_json, show_rows
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.privacy.erasure import erasure
from clinical_assets.governance.privacy.erasure.paired import erase_paired
from clinical_assets.governance.privacy.safe_harbor.deidentify import deidentify as look
from clinical_assets.observability.portfolio import write_portfolio
from clinical_assets.records.actors import current_actor
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.keys.rotations import enter_rotations
from clinical_assets.records.ledger.facts.privacy import KeyRotationFacts

pseudonyms = typer.Typer(no_args_is_help=True, add_completion=False)


def erase(
    subject: Annotated[str, typer.Argument(help="Identifier of the subject; - reads it from standard input.")],
    cohort: Annotated[str, typer.Option("--cohort", help="Name of the cohort.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger; it must not name the subject.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    delete_runs: Annotated[
        bool,
        typer.Option("--delete-runs", help="Delete the cohort's earlier runs with their event logs."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a subject from tables, snapshots, scores and logs; destroy its key; list models to train again.

    An erasure that was interrupted is completed by the same command.
    """
    from clinical_assets.launch.instance import finished_runs

    if subject == "-":
        subject = sys.stdin.readline().strip()
        if not yes:
            raise ClinicalAssetsError(
                "Standard input gives the identifier, so nobody can be asked.", cure="Add --yes, or name the subject."
            )
    micro_cohort = is_paired(Path(cohort))
    if not micro_cohort:
        described_cohort(cohort)  # a name that nobody knows is refused at once
    if not yes and micro_cohort:
        whole = f"Erase the subject from {cohort}, with all results and archived inputs of this micro-cohort?"
        typer.confirm(f"{whole} It cannot be undone.", abort=True)
    elif not yes:
        _confirm(cohort, subject)
    finished_runs(cohort)  # Dagster's state that cannot be opened is said before anything is erased
    if micro_cohort:
        workspace, described = context.workspace(), paired()
        done = erase_paired(
            workspace.settings, workspace.ledger, described.spec(cohort), described.path(cohort), subject, reason=reason
        )
    else:
        tell = None if as_json else lambda text: err.print(f"- {text}", markup=False)
        done = erasure.erase(context.cohort(cohort), subject, reason=reason, progress=tell)
    write_portfolio(context.workspace())  # nothing that was removed is linked any longer
    runs = finished_runs(cohort, delete=delete_runs)
    if as_json:
        show_json({**asdict(done), "runs": list(runs), "runs_deleted": delete_runs})
        return
    if micro_cohort:
        for kind, number in done.files.items():
            out.print(f"{number} {kind} of the micro-cohort were removed; materialise it again.", markup=False)
    else:
        show_rows(
            [{"table": name, "rows deleted": rows} for name, rows in done.tables.items()],
            empty="No row of the subject was found.",
        )
    _tell(done, runs, delete_runs=delete_runs)


def _confirm(cohort: str, subject: str) -> None:
    found = erasure.find(context.cohort(cohort), subject)
    rows = [{"table": name, "rows": each.rows, "mentions": each.mentions} for name, each in found.tables.items()]
    show_rows(rows, empty=f"The warehouse of {cohort} holds nothing of this subject.")
    if not found.distinctive:
        err.print("The identifier is too short to be looked for in texts, logs and files.", markup=False)
    typer.confirm(f"Erase the subject from {cohort}? It cannot be undone.", abort=True)


def _tell(done: erasure.Erasure, runs: Sequence[str], *, delete_runs: bool) -> None:
    for redaction in done.snapshots:
        out.print(f"snapshot of {redaction.table}: {redaction.old[:19]} is now {redaction.new[:19]}", markup=False)
    for digest in done.models:
        out.print(f"to be trained again: {digest}", markup=False)
    for each in done.remaining:
        out.print(f"still holds the subject: {each.what}\n  {each.cure}", markup=False)
    if runs and delete_runs:
        out.print(f"{len(runs)} earlier runs were deleted from Dagster, with their event logs.", markup=False)
    elif runs:
        out.print(
            f"may hold other words of the subject: the event logs of {len(runs)} earlier runs (messages, previews)\n"
            "  Repeat the command with --delete-runs, or delete single ones: dagster run delete RUN_ID",
            markup=False,
        )
    if done.ledger_seq is None:
        out.print("The subject was erased before; nothing new for the ledger.", markup=False)
    else:
        out.print(f"Erased as {done.pseudonym}; entry {done.ledger_seq} of the ledger.", markup=False)


def deidentify(cohort: CohortArgument, as_json: JsonOption = False) -> None:
    """Look for the 18 kinds of identifiers of HIPAA Safe Harbor in tables, and for known identifiers in logs.

    Ends with exit code 1 when something is where nobody expects it.
    """
    found = look(context.cohort(cohort))
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
    cohort: CohortArgument,
    retire: Annotated[bool, typer.Option("--retire", help="Destroy the keys of the version before, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give every subject of a cohort a new key; older pseudonyms can be resolved until their version is retired."""
    handle = context.cohort(cohort)
    keys = Pseudonyms(handle.settings, cohort)
    # What an earlier command changed and was killed before it could say so.
    enter_rotations(handle.settings, cohort, handle.ledger, actor=current_actor(handle.settings))
    version = keys.rotate()
    destroyed = keys.retire(version - 1) if retire else 0
    facts = KeyRotationFacts(version=version, retired=version - 1 if retire else None, keys_destroyed=destroyed)
    handle.ledger.append("key_rotation", actor=current_actor(handle.settings), cohort=cohort, facts=facts)
    show_json({"cohort": cohort, **facts.to_json()}) if as_json else out.print(
        f"{cohort}: new pseudonyms begin with p{version}_"
        + (f"; {destroyed} keys of version {version - 1} were destroyed" if retire else "")
    )
