"""``clinical-assets fetch``: archives of Debian's R packages that cohorts are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out
from clinical_assets.cohorts.sources_spec import RPackageSource
from clinical_assets.foundation.errors import SourceError

_PACKAGE = "r-"


def fetch(
    what: Annotated[
        list[str] | None, typer.Argument(help="Cohorts, or Debian packages such as r-cran-survival.")
    ] = None,
    families: Annotated[list[str] | None, typer.Option("--family", help="Every cohort of this family.")] = None,
    influenza: Annotated[
        Path | None,
        typer.Option(help="A folder of your own that gets the influenza micro-cohorts: files and descriptions."),
    ] = None,
) -> None:
    """Fetch the Debian archives that cohorts are read from into the data folder; nothing is installed.

    Needs Debian's tools (apt-get). Elsewhere, copy folder r_packages of the data folder from a machine that has them.
    """
    if not (what or families or influenza):
        raise typer.BadParameter("name cohorts or packages, or give --family or --influenza")
    from clinical_assets.pathways.inputs.fetch_influenza import fetch as fetch_influenza
    from clinical_assets.sources.r_packages.debian import FOLDER, download

    settings, catalogue = context.settings(), context.catalogue()
    if settings.offline:
        raise SourceError("Downloads are switched off.", cure="Unset CLINICAL_ASSETS_OFFLINE, or copy the archives.")
    cohorts = [name for name in what or () if not name.startswith(_PACKAGE)]
    cohorts += [name for family in families or () for name in catalogue.members(family)]
    packages = [name for name in what or () if name.startswith(_PACKAGE)]
    for name in cohorts:
        catalogue.entry(name)
        sources = (table.source for table in context.workspace().spec(name).tables.values())
        packages += [source.package for source in sources if isinstance(source, RPackageSource)]
    if packages:
        for path in download(tuple(dict.fromkeys(packages)), settings.data / FOLDER):
            out.print(str(path), markup=False, highlight=False)
    elif cohorts:
        out.print("None of them is read from a Debian package.", markup=False)
    if influenza is not None:
        for path in fetch_influenza(influenza):
            out.print(str(path), markup=False, highlight=False)
        out.print(
            f"Now: CLINICAL_ASSETS_CATALOGUE={influenza} clinical-assets materialize --job study_micro_cohort ...",
            markup=False,
            highlight=False,
        )
