"""Data of cohorts that nobody describes: looking into them, removing them, giving them their new name."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import JsonOption
from clinical_assets.cli.output import out, show_json
from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.foundation.errors import ClinicalAssetsError, SpecError
from clinical_assets.governance.privacy import stored_cohorts as stored
from clinical_assets.records.actors import current_actor
from clinical_assets.workspace import CohortHandle


def stored_cohort(name: str) -> CohortHandle:
    """A known cohort, or one that nobody describes but whose data lie here: enough to look into its files.

    Raises
    ------
    ClinicalAssetsError
        When neither description nor data have this name.
    """
    if name not in context.catalogue().names() and name in stored.stored_cohorts(context.settings()):
        return context.workspace().cohort(name)
    return context.cohort(name)


def described_cohort(name: str) -> CohortHandle:
    """A known cohort, for what needs its description.

    Raises
    ------
    ClinicalAssetsError
        When it is not described; if its data lie here, with what can be done about them.
    """
    if name not in context.catalogue().names() and name in stored.stored_cohorts(context.settings()):
        raise ClinicalAssetsError(
            f"Nobody describes cohort {name}, so nobody can tell which of its columns names a subject.",
            cure="Put its description back to erase one subject, or remove all its records: "
            f"clinical-assets cohorts remove {name} --reason ...",
        )
    return context.cohort(name)


def remove(
    cohort: Annotated[str, typer.Argument(help="Name of a cohort that nobody describes any more.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the records of a removed cohort: warehouse, snapshots, trainings, reports, inbox. Evidence stays."""
    _refuse_described(cohort)
    if not yes:
        typer.confirm(f"Delete all records of {cohort}? It cannot be undone.", abort=True)
    workspace = context.workspace()
    gone = stored.remove(
        workspace.settings, workspace.ledger, cohort, reason=reason, actor=current_actor(workspace.settings)
    )
    answer = {"cohort": cohort, "bytes": gone.size, "deleted": [place.kind for place in gone.places]}
    show_json(answer) if as_json else out.print(
        f"{cohort}: {gone.shown} were deleted ({gone.size / 1e6:,.1f} MB). Ledger, dossiers, released bundles and the "
        "keys of subjects stay."
    )


def rename(
    old: Annotated[str, typer.Argument(help="Name that data lie under and nobody describes any more.")],
    new: Annotated[str, typer.Argument(help="Name of the cohort that is described now.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger.")],
    as_json: JsonOption = False,
) -> None:
    """Give warehouse, snapshots, inbox and subject keys of a cohort to its new name. Models stay under the old one."""
    _refuse_described(old)
    context.cohort(new)
    workspace = context.workspace()
    actor = current_actor(workspace.settings)
    stored.rename(workspace.settings, workspace.ledger, old, new, reason=reason, actor=actor)
    show_json({"from": old, "to": new}) if as_json else out.print(
        f"{new} has the records of {old}. Its model is its own: clinical-assets materialize {new} --job train_cohort"
    )


def _refuse_described(cohort: str) -> None:
    if cohort in context.catalogue().names() or cohort in paired_catalogue(context.catalogue().folders).names():
        raise SpecError(
            f"{cohort} is described, so its data are in use.", cure="Take its description out of the catalogue first."
        )
