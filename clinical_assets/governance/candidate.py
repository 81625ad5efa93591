"""The model under review and everything around it: what every gate, dossier and promotion is handed.

What belongs here: finding the training and opening its parts. What does not: judging them (``gates``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling import trainings
from clinical_assets.modelling.bundle import Bundle, BundleError
from clinical_assets.modelling.trainings import Training

if TYPE_CHECKING:
    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.governance.champions import Champion
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.settings import Settings
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse


class CandidateChanged(ClinicalAssetsError):
    """A report that does not belong to the bundle beside it."""


@dataclass(frozen=True)
class ReleaseCandidate:
    """The model under review and everything around it.

    Attributes
    ----------
    spec : CohortSpec
        The description as it is now; the one that was trained with is ``report/spec.json``.
    settings, catalogue
        Where state and descriptions lie.
    warehouse : Warehouse
        The cohort's records.
    sql : SqlProject
        The SQL models as the cohort sees them now.
    training : Training
        Bundle and report on disk.
    bundle : Bundle
        Verified file by file.
    records : RecordsDatabase
        Where verdicts and signatures go.
    champion : Champion or None
        What serves now.
    """

    spec: CohortSpec
    settings: Settings
    catalogue: Catalogue
    warehouse: Warehouse
    sql: SqlProject
    training: Training
    bundle: Bundle
    records: RecordsDatabase
    champion: Champion | None

    @property
    def cohort(self) -> str:
        """Name of the cohort."""
        return self.spec.name

    @property
    def digest(self) -> str:
        """Digest of the bundle: what verdicts and signatures are bound to."""
        return self.bundle.digest


def candidate_of(
    cohort: str, *, settings: Settings, catalogue: Catalogue, digest: str | None = None
) -> ReleaseCandidate:
    """The newest training of a cohort, or the one whose bundle has a digest.

    Parameters
    ----------
    cohort : str
        Name of the cohort.
    digest : str, optional
        ``sha256:...`` of a bundle that was trained here.

    Raises
    ------
    NoTraining
        Nothing was trained, the newest training was refused, or no training has this digest.
    BundleError
        A file of the bundle is missing or was changed.
    CandidateChanged
        The report beside the bundle speaks of another one.
    """
    from clinical_assets.governance import champions
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse

    spec = catalogue.spec(cohort)
    training = trainings.latest(settings, cohort) if digest is None else trainings.with_bundle(settings, cohort, digest)
    try:
        bundle = training.bundle()
    except BundleError as error:
        raise BundleError(f"{cohort}, training {training.folder.name}: {error.message}", cure=error.cure) from error
    told = training.results.get("bundle_digest")
    if told != bundle.digest:
        raise CandidateChanged(
            f"{training.report / trainings.RESULTS} reports on bundle {told}, but the bundle beside it is "
            f"{bundle.digest}.",
            cure=f"Train {cohort} again, and find out who moved or changed the report.",
        )
    return ReleaseCandidate(
        spec=spec,
        settings=settings,
        catalogue=catalogue,
        warehouse=Warehouse(cohort, settings),
        sql=SqlProject(catalogue.sql_folders, spec),
        training=training,
        bundle=bundle,
        records=RecordsDatabase(settings),
        champion=champions.current(settings, cohort),
    )
