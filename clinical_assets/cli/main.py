"""``clinical-assets``: the platform from a terminal.

It adds what Dagster does not have (descriptions, SQL models, warehouse files, several cohorts side by side) and
leaves orchestration to Dagster.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from clinical_assets.cli.lazy import CommandEntry, lazy_group
from clinical_assets.cli.output import err, out
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import private_umask

_CLI = "clinical_assets.cli"
COMMANDS = {
    "cohorts": CommandEntry(
        f"{_CLI}.data.cohorts:app", "What is described, what is there, what is wrong: list, show, check."
    ),
    "sql": CommandEntry(f"{_CLI}.data.sql:app", "SQL models of a cohort: list, render, run, test, lineage."),
    "warehouse": CommandEntry(f"{_CLI}.data.warehouse:app", "A cohort's DuckDB file: tables, query, restore, encrypt."),
    "materialize": CommandEntry(
        f"{_CLI}.operations.materialize:materialize",
        "Materialise cohorts: each is an ordinary Dagster run, seen in the UI.",
    ),
    "fetch": CommandEntry(
        f"{_CLI}.operations.fetch:fetch",
        "Fetch the Debian archives that cohorts are read from into the data folder; nothing is installed.",
    ),
    "results": CommandEntry(
        f"{_CLI}.operations.results:results",
        "Candidates, performance with intervals, threshold, costs, findings of the newest training.",
    ),
    "batches": CommandEntry(
        f"{_CLI}.data.batches:batches",
        "List the batches of a cohort, or take one back: its records and scores go, no report or refit sees them "
        "again.",
    ),
    "studies": CommandEntry(
        f"{_CLI}.data.studies:app",
        "Studies of micro-cohorts over all runs: list, show, compare, restore their inputs, models that score.",
    ),
    "gates": CommandEntry(
        f"{_CLI}.release.gates:gates",
        "Verdicts on the newest model, as they were stored: first what needs a person; what passed is only counted.",
    ),
    "advisories": CommandEntry(
        f"{_CLI}.release.advisories:advisories",
        "Ask an advisory service about the installed packages; the security gate reads the report.",
    ),
    "people": CommandEntry(
        f"{_CLI}.release.people:app", "Who may sign, and as what: add, list, password, roles, deactivate, review."
    ),
    "audit": CommandEntry(f"{_CLI}.release.audit:app", "Who did what, in one chain: show, verify, witness, export."),
    "records": CommandEntry(f"{_CLI}.records:app", "The database of records: upgrade."),
    "dossier": CommandEntry(
        f"{_CLI}.release.dossier:dossier",
        "Write the release dossier of the newest model, and print its place and the digest that is signed.",
    ),
    "review": CommandEntry(
        f"{_CLI}.release.review:review",
        "What would be signed: dossier, gates, signatures, and what still stands against a release.",
    ),
    "approve": CommandEntry(
        f"{_CLI}.release.approvals:approve", "Sign for the release of the newest model; the password is asked for."
    ),
    "reject": CommandEntry(
        f"{_CLI}.release.approvals:reject",
        "Sign against the release; it blocks until another dossier is made or the signer withdraws it.",
    ),
    "waive": CommandEntry(
        f"{_CLI}.release.approvals:waive",
        "Answer for releasing a model although criteria are `insufficient`; what failed is not waived.",
    ),
    "promote": CommandEntry(
        f"{_CLI}.release.approvals:promote", "Make the newest model champion, if nothing stands against it."
    ),
    "rollback": CommandEntry(
        f"{_CLI}.release.approvals:rollback",
        "Go back to the champion before this one, at once; whoever is on duty signs, the password is asked for.",
    ),
    "retire": CommandEntry(
        f"{_CLI}.release.approvals:retire",
        "Take the champion out of service, at once: nothing is scored until another model is signed and promoted.",
    ),
    "experiment": CommandEntry(
        f"{_CLI}.release.experiments:app",
        "Trials of a challenger against the champion: new, start, status, stop, export.",
    ),
    "pccp": CommandEntry(
        f"{_CLI}.release.pccp:app",
        "The change control plan over its life: status, diff, evidence in one ZIP that checks itself.",
    ),
    "champion": CommandEntry(
        f"{_CLI}.release.approvals:champion",
        "What serves the cohort; a change whose process was killed is finished or undone first.",
    ),
    "erase": CommandEntry(
        f"{_CLI}.data.privacy:erase",
        "Erase a subject from tables, snapshots, scores and logs; destroy its key; list models to train again.",
    ),
    "deidentify": CommandEntry(
        f"{_CLI}.data.privacy:deidentify",
        "Look for the 18 kinds of identifiers of HIPAA Safe Harbor in tables, and for known identifiers in logs.",
    ),
    "pseudonyms": CommandEntry(
        f"{_CLI}.data.privacy:pseudonyms", "Keys behind the names of subjects in ledger and scores: rotate."
    ),
    "serve": CommandEntry(
        f"{_CLI}.operations.serve:serve",
        "Serve predictions over HTTP until Ctrl-C: champions answer, and every answer is on disk before it leaves.",
    ),
    "page": CommandEntry(
        f"{_CLI}.operations.page:page",
        "Ask a bundle about patients in a browser on this machine, until Ctrl-C: no account, and nothing on record.",
    ),
    "explore": CommandEntry(
        f"{_CLI}.operations.explore:explore",
        "Move threshold, costs and subgroup of the newest model in a browser on this machine, until Ctrl-C.",
    ),
    "keys": CommandEntry(
        f"{_CLI}.operations.keys:app", "Keys of callers of the prediction API: new, list, rotate, revoke."
    ),
    "predictions": CommandEntry(f"{_CLI}.data.predictions:app", "The log of the prediction API: export, verify."),
    "metrics": CommandEntry(
        f"{_CLI}.operations.metrics:metrics",
        "Serve metrics at http://HOST:PORT/metrics until Ctrl-C: volume, drift, calibration, gates, freshness, runs.",
    ),
    "doctor": CommandEntry(
        f"{_CLI}.operations.doctor:doctor",
        "Look at Python, packages, data folder, catalogue, encryption, keys, audit ledger and the Dagster instance.",
    ),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Governed clinical risk models as Dagster assets. State lives in CLINICAL_ASSETS_DATA (default ./data).",
    epilog="First steps: clinical-assets cohorts list, then clinical-assets materialize heart_disease.",
)


def _version(asked: bool) -> None:
    if asked:
        out.print(metadata.version("clinical-assets"), highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full stack of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    # `main` has taken the flag already, wherever it stood; it is declared here so that --help tells of it.
    del debug, version


def main() -> None:
    """Run the command line; an error meant for people ends with its words and exit code 1."""
    debug = "--debug" in sys.argv
    # The flag may stand anywhere, before or after the command.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        private_umask()
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
