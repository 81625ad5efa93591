"""One handle for a cohort and everything around it, opened when first used.

What belongs here: finding the parts of a cohort from settings and a name. What does not: what is done with them. A
handle is cheap to make and reads nothing by itself, so definitions and commands may make one before they know what
they need.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from clinical_assets.cohorts.registry import Catalogue, CatalogueEntry
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.search.kinds import refuse_unknown
from clinical_assets.sources.stand_in import in_use

if TYPE_CHECKING:
    from clinical_assets.modelling.champion.champion_pointer import Champion
    from clinical_assets.modelling.trainings.trainings import Training
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger.ledger import Ledger
    from clinical_assets.warehouse.sql.project import SqlProject
    from clinical_assets.warehouse.store.warehouse import Warehouse


@dataclass(frozen=True)
class Workspace:
    """An installation: where state lies, and which cohorts are described.

    Attributes
    ----------
    settings : Settings
        Folders and limits.
    listed : Catalogue or None
        Descriptions to use in place of those that the settings name.
    """

    settings: Settings
    listed: Catalogue | None = None

    @classmethod
    def from_environment(cls) -> Workspace:
        """The installation that the environment describes now."""
        return cls(Settings.from_environment())

    @cached_property
    def catalogue(self) -> Catalogue:
        """The descriptions, listed when first asked for."""
        return self.listed or Catalogue.from_settings(self.settings)

    def cohort(self, name: str) -> CohortHandle:
        """The handle of a cohort; whether it is described is found out when its description is asked for."""
        return CohortHandle(name, self)

    def spec(self, name: str) -> CohortSpec:
        """The description that holds for a cohort now, also checked against what floors above descriptions know.

        Where its files lie nowhere yet, that is its stand-in, if it has one.

        Raises
        ------
        SpecError
            It is unknown, wrong, or names a candidate model that is not registered.
        """
        spec, entry = self.catalogue.spec(name), self.catalogue.entry(name)
        refuse_unknown(spec, entry.path)
        return in_use(spec, settings=self.settings, folder=entry.folder)

    @cached_property
    def records(self) -> RecordsDatabase:
        """The database of signatures, verdicts and the audit ledger; one for all cohorts."""
        from clinical_assets.records.database import RecordsDatabase

        return RecordsDatabase(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The audit ledger in it."""
        from clinical_assets.records.ledger.ledger import Ledger

        return Ledger(self.records)


@dataclass(frozen=True)
class CohortHandle:
    """One cohort; its parts are opened when first used.

    Attributes
    ----------
    name : str
        Name of the cohort.
    workspace : Workspace
        The installation that it belongs to.
    described : CohortSpec or None
        A description to use in place of the catalogue's, such as the one a model was trained with.
    """

    name: str
    workspace: Workspace
    described: CohortSpec | None = None

    @property
    def settings(self) -> Settings:
        """Folders and limits."""
        return self.workspace.settings

    @property
    def catalogue(self) -> Catalogue:
        """All descriptions."""
        return self.workspace.catalogue

    @cached_property
    def entry(self) -> CatalogueEntry:
        """Where the cohort is described.

        Raises
        ------
        ClinicalAssetsError
            When no cohort has this name; names the nearest.
        """
        return self.catalogue.entry(self.name)

    @cached_property
    def spec(self) -> CohortSpec:
        """The checked description; errors as `Workspace.spec`."""
        return self.described or self.workspace.spec(self.name)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The cohort's DuckDB file."""
        from clinical_assets.warehouse.store.warehouse import Warehouse

        return Warehouse(self.name, self.settings)

    @cached_property
    def sql(self) -> SqlProject:
        """The SQL models as this cohort sees them."""
        from clinical_assets.warehouse.sql.project import SqlProject

        return SqlProject(self.catalogue.sql_folders, self.spec)

    @property
    def records(self) -> RecordsDatabase:
        """The database of decisions."""
        return self.workspace.records

    @property
    def ledger(self) -> Ledger:
        """The audit ledger."""
        return self.workspace.ledger

    def training(self, bundle_digest: str | None = None) -> Training:
        """The newest training, or the one that made a bundle.

        Parameters
        ----------
        bundle_digest : str, optional
            ``sha256:...`` of a bundle that was trained here.

        Raises
        ------
        NoTraining
            There is none.
        """
        from clinical_assets.modelling.trainings import trainings

        if bundle_digest is None:
            return trainings.latest(self.settings, self.name)
        return trainings.with_bundle(self.settings, self.name, bundle_digest)

    def champion(self) -> Champion | None:
        """What serves the cohort now, read now.

        Raises
        ------
        ChampionError
            The pointer cannot be read, or is another cohort's.
        """
        from clinical_assets.modelling.champion import champion_pointer

        return champion_pointer.current(self.settings, self.name)

    def in_clear(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Which of these columns may be shown with values in Dagster's event log.

        None where the cohort's files are encrypted: the log is not.
        """
        return tuple(columns) if self.settings.master_key is None else ()
