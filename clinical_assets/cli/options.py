"""Arguments and options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context


def cohort_names(incomplete: str) -> list[str]:
    """Cohorts and micro-cohorts whose names begin so, for the completion of shells."""
    from clinical_assets.cohorts.paired.paired import paired_catalogue

    catalogue = context.catalogue()
    names = [*catalogue.names(), *paired_catalogue(catalogue.folders).names()]
    return [name for name in names if name.startswith(incomplete)]


CohortArgument = Annotated[str, typer.Argument(help="Name of the cohort.", autocompletion=cohort_names)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SignerOption = Annotated[str, typer.Option("--as", help="Login of the person who signs.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="As what, where the person holds several of the roles.")]
