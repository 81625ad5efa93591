"""``clinical-assets cohorts``: what is described, what is there, what is wrong with a description."""

from __future__ import annotations

import typer

from clinical_assets.cli.lazy import CommandEntry, lazy_group

_DATA = "clinical_assets.cli.data"

COMMANDS = {
    "list": CommandEntry(
        f"{_DATA}.cohort_list:list_cohorts",
        "Every cohort: size, events, freshness; newest model, gates, what it waits for, champion, batch and lights.",
    ),
    "show": CommandEntry(
        f"{_DATA}.descriptions:show",
        "One cohort's description: intended use, tables, columns, outcome, limits.",
    ),
    "check": CommandEntry(
        f"{_DATA}.descriptions:check",
        "Check descriptions, their rules, SQL models and tests without reading any record.",
    ),
    "draft": CommandEntry(
        "clinical_assets.cli.draft:draft",
        "Make a cohort of standard records: description, features counted by code before the index date, tables.",
    ),
    "schema": CommandEntry(
        f"{_DATA}.descriptions:schema",
        "The JSON schema of a cohort description, with which editors complete and check the YAML.",
    ),
    "words": CommandEntry(
        f"{_DATA}.descriptions:words",
        "Words that the notes of enough people say, as lines for modelling.notes. Read them: no word may tell a name.",
    ),
    "remove": CommandEntry(
        f"{_DATA}.stored:remove",
        "Delete the records of a removed cohort: warehouse, snapshots, trainings, reports, inbox. Evidence stays.",
    ),
    "rename": CommandEntry(
        f"{_DATA}.stored:rename",
        "Give warehouse, snapshots, inbox and subject keys of a cohort to its new name. Models stay under the old one.",
    ),
}

app = typer.Typer(cls=lazy_group(COMMANDS), no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Without a command of its own this is no group to Typer."""
