"""What every command needs: settings, catalogue, and one cohort's parts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse


@cache
def settings() -> Settings:
    """The environment as it was when the command started."""
    return Settings.from_environment()


@cache
def catalogue() -> Catalogue:
    """All cohorts this installation knows."""
    return Catalogue.from_settings(settings())


def warehouse(cohort: str) -> Warehouse:
    """The DuckDB file of a known cohort."""
    from clinical_assets.warehouse.store import Warehouse

    catalogue().entry(cohort)
    return Warehouse(cohort, settings())


def sql(cohort: str) -> SqlProject:
    """The SQL models as a cohort sees them."""
    from clinical_assets.warehouse.sql_project import SqlProject

    return SqlProject(catalogue().sql_folders, catalogue().spec(cohort))
