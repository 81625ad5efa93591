"""The model under review and everything around it: what every gate, dossier and promotion is handed.

What belongs here: finding the training and opening its parts. What does not: judging them (``gates``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.trainings import Training
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.warehouse.sql.project import SqlProject
    from clinical_assets.warehouse.store.warehouse import Warehouse


class CandidateChanged(ClinicalAssetsError):
    """A report that does not belong to the bundle beside it."""


@dataclass(frozen=True)
class ReleaseCandidate:
    """The model under review and everything around it.

    Attributes
    ----------
    handle : CohortHandle
        The cohort: its description as it is now (the one that was trained with is ``report/spec.json``), its records,
        and where verdicts and signatures go.
    training : Training
        Bundle and report on disk.
    bundle : Bundle
        Verified file by file.
    champion : Champion or None
        What served when the candidate was opened.
    """

    handle: CohortHandle
    training: Training
    bundle: Bundle
    champion: Champion | None

    @property
    def cohort(self) -> str:
        """Name of the cohort."""
        return self.handle.name

    @property
    def digest(self) -> str:
        """Digest of the bundle: what verdicts and signatures are bound to."""
        return self.bundle.digest

    @property
    def spec(self) -> CohortSpec:
        """The cohort's description."""
        return self.handle.spec

    @property
    def settings(self) -> Settings:
        """Where state lies."""
        return self.handle.settings

    @property
    def catalogue(self) -> Catalogue:
        """Where descriptions lie."""
        return self.handle.catalogue

    @property
    def warehouse(self) -> Warehouse:
        """The cohort's records."""
        return self.handle.warehouse

    @property
    def sql(self) -> SqlProject:
        """The SQL models as the cohort sees them now."""
        return self.handle.sql

    @property
    def records(self) -> RecordsDatabase:
        """Where verdicts and signatures go."""
        return self.handle.records


def candidate_of(cohort: CohortHandle, *, digest: str | None = None) -> ReleaseCandidate:
    """The newest training of a cohort, or the one whose bundle has a digest.

    Parameters
    ----------
    cohort : CohortHandle
        The cohort.
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
    cohort.spec  # noqa: B018 - an unknown or broken description is named before a training is looked for
    training = cohort.training(digest)
    try:
        bundle = training.bundle()
    except BundleError as error:
        raise BundleError(
            f"{cohort.name}, training {training.folder.name}: {error.message}", cure=error.cure
        ) from error
    reported = training.results.bundle_digest
    if reported != bundle.digest:
        raise CandidateChanged(
            f"{training.report / trainings.RESULTS} reports on bundle {reported}, but the bundle beside it is "
            f"{bundle.digest}.",
            cure=f"Train {cohort.name} again, and find out who moved or changed the report.",
        )
    return ReleaseCandidate(handle=cohort, training=training, bundle=bundle, champion=cohort.champion())


def before_promotion(candidate: ReleaseCandidate) -> ReleaseCandidate:
    """The candidate as it was reviewed: where it serves already, beside the champion before it.

    Otherwise its dossier would change by its own promotion, and no longer be the one that was signed.
    """
    champion = candidate.champion
    if champion is None or champion.digest != candidate.digest:
        return candidate
    others = tuple(digest for digest in champion.previous if digest != candidate.digest)
    before = replace(champion, digest=others[0], previous=others[1:]) if others else None
    return replace(candidate, champion=before)


def opponent_of(candidate: ReleaseCandidate) -> str | None:
    """Digest of the model that serves, or, where that is the candidate itself, of the one before it."""
    champion = candidate.champion
    if champion is None:
        return None
    if champion.digest != candidate.digest:
        return champion.digest
    return next((digest for digest in champion.previous if digest != candidate.digest), None)
