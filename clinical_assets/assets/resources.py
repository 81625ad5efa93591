"""What every asset is handed: the platform's settings, catalogue, SQL and warehouse for one cohort."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.cohorts.registry import Catalogue, Entry
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse

PARTITION = "dagster/partition"


@dataclass(frozen=True)
class Cohort:
    """One cohort as a run sees it; its parts are opened when first used."""

    name: str
    settings: Settings
    catalogue: Catalogue

    @cached_property
    def entry(self) -> Entry:
        """Where the cohort is described."""
        return self.catalogue.entry(self.name)

    @cached_property
    def spec(self) -> CohortSpec:
        """The checked description."""
        return self.catalogue.spec(self.name)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The cohort's DuckDB file."""
        from clinical_assets.warehouse.store import Warehouse

        return Warehouse(self.name, self.settings)

    @cached_property
    def sql(self) -> SqlProject:
        """The SQL models as this cohort sees them."""
        from clinical_assets.warehouse.sql_project import SqlProject

        return SqlProject(self.catalogue.sql_folders, self.spec)

    @cached_property
    def records(self) -> RecordsDatabase:
        """The database of signatures, verdicts and the audit ledger; one for all cohorts."""
        from clinical_assets.records.database import RecordsDatabase

        return RecordsDatabase(self.settings)

    def in_clear(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Which of these columns may be shown with values in Dagster's event log.

        None where the cohort's files are encrypted: the log is not.
        """
        return tuple(columns) if self.settings.master_key is None else ()


class Platform(dg.ConfigurableResource):
    """The platform as the environment describes it; fields left out follow the environment.

    Attributes
    ----------
    data : str, optional
        Folder of all state, instead of ``CLINICAL_ASSETS_DATA``.
    catalogue : str, optional
        Search path of description folders, instead of ``CLINICAL_ASSETS_CATALOGUE``.
    """

    data: str | None = None
    catalogue: str | None = None

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Platform]:
        """Hold the run's cohort from its first step to its last, so that two runs of one cohort queue.

        Otherwise a check of one run could look at tables between two steps of the other.
        """
        cohort = context.run.tags.get(PARTITION) if context.run is not None else None
        with contextlib.ExitStack() as held:
            if cohort is not None:
                with told():
                    held.enter_context(self.cohort(cohort).warehouse.exclusive())
            yield self

    def cohort(self, name: str) -> Cohort:
        """Everything about one cohort, read now."""
        settings = Settings.from_environment()
        if self.data is not None:
            settings = replace(settings, data=Path(self.data).expanduser().absolute())
        if self.catalogue is not None:
            folders = tuple(Path(part).absolute() for part in self.catalogue.split(os.pathsep) if part)
            settings = replace(settings, catalogue=folders)
        # Matplotlib would keep its list of fonts in the home folder.
        os.environ.setdefault("MPLCONFIGDIR", str(settings.data / "matplotlib"))
        return Cohort(name=name, settings=settings, catalogue=Catalogue.from_settings(settings))


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn an error meant for people into a Dagster failure that shows its words, not a stack.

    Bad data or a wrong description stays bad when tried again, so no retry is allowed.
    """
    try:
        yield
    except ClinicalAssetsError as error:
        metadata = {"cure": dg.MetadataValue.text(error.cure)} if error.cure else {}
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
