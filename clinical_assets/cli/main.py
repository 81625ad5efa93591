"""``clinical-assets``: the platform from a terminal.

It adds what Dagster does not have (descriptions, SQL models, warehouse files, several cohorts side by side) and
leaves orchestration to Dagster.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from clinical_assets.cli import approvals, audit, cohorts, doctor, people, sql, warehouse
from clinical_assets.cli.batches import batches
from clinical_assets.cli.dossier import dossier
from clinical_assets.cli.gates import gates
from clinical_assets.cli.materialize import materialize
from clinical_assets.cli.metrics import metrics
from clinical_assets.cli.output import err
from clinical_assets.cli.privacy import deidentify, erase, pseudonyms
from clinical_assets.cli.results import results
from clinical_assets.errors import ClinicalAssetsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Governed clinical risk models as Dagster assets. State lives in CLINICAL_ASSETS_DATA (default ./data).",
    epilog="First steps: clinical-assets cohorts list, then clinical-assets materialize heart_disease.",
)
app.add_typer(cohorts.app, name="cohorts", help="What is described, what is there, what is wrong: list, show, check.")
app.add_typer(sql.app, name="sql", help="SQL models of a cohort: list, render, run, test, lineage.")
app.add_typer(warehouse.app, name="warehouse", help="A cohort's DuckDB file: tables, query, restore, encrypt.")
app.command("materialize")(materialize)
app.command("results")(results)
app.command("batches")(batches)
app.command("gates")(gates)
app.add_typer(people.app, name="people", help="Who may sign, and as what: add, list, password, roles, deactivate.")
app.add_typer(audit.app, name="audit", help="Who did what, in one chain: show, verify, export, restart-anchors.")
app.command("dossier")(dossier)
app.command("review")(approvals.review)
app.command("approve")(approvals.approve)
app.command("reject")(approvals.reject)
app.command("waive")(approvals.waive)
app.command("promote")(approvals.promote)
app.command("rollback")(approvals.rollback)
app.command("champion")(approvals.champion)
app.command("erase")(erase)
app.command("deidentify")(deidentify)
app.add_typer(pseudonyms, name="pseudonyms", help="Keys behind the names of subjects in ledger and scores: rotate.")
app.command("metrics")(metrics)
app.command("doctor")(doctor.doctor)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full stack of an error.")] = False,
) -> None:
    # `main` has taken the flag already, wherever it stood; it is declared here so that --help tells of it.
    del debug


def main() -> None:
    """Run the command line; an error meant for people ends with its words and exit code 1."""
    debug = "--debug" in sys.argv
    # The flag may stand anywhere, before or after the command.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except ClinicalAssetsError as error:
        if debug:
            raise
        _tell(error.message, error.cure)
        sys.exit(1)
    except BrokenPipeError:
        # The reader (head, less) has gone; that is not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # A folder that cannot be written, a disk that is full: the machine's refusal, in its own words.
        if debug or error.filename is None:
            raise
        _tell(
            f"{error.filename}: {error.strerror}.",
            "Let this account read and write it, free some space, or point CLINICAL_ASSETS_DATA elsewhere.",
        )
        sys.exit(1)


def _tell(message: str, cure: str | None) -> None:
    err.print(f"[bold red]Error:[/bold red] {_escaped(message)}")
    if cure:
        err.print(f"[bold]Cure:[/bold] {_escaped(cure)}")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
