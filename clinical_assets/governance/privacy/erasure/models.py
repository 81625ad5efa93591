"""Which models learned from an erased subject, and which of them wait for retraining.

What belongs here: reading trainings and the ledger. Retraining is decided by others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.foundation.canonical import hex_of
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle_description import BundleDescription, TrainingProvenance
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.trainings.trainings import RESULTS, models_folder
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.privacy import ErasureFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.snapshots.snapshot_files import list_snapshots

if TYPE_CHECKING:
    from clinical_assets.governance.privacy.erasure.snapshots import Redaction


@dataclass(frozen=True)
class Marked:
    """A model that learned from a subject who was erased since.

    Attributes
    ----------
    bundle_digest : str
        The model.
    at : str
        When the subject was erased, ISO 8601, UTC.
    reason : str
        Why, as the ledger has it.
    """

    bundle_digest: str
    at: str
    reason: str


def marked_for_retraining(settings: Settings, cohort: str) -> tuple[Marked, ...]:
    """Models of a cohort that must be trained again because a subject was erased, newest erasure first.

    A model that was trained after the erasure has another digest and is not among them.
    """
    entries = Ledger(RecordsDatabase(settings)).entries(cohort=cohort, action="erasure")
    return tuple(
        Marked(bundle_digest=digest, at=entry.at, reason=entry.reason or "a subject was erased")
        for entry in reversed(entries)
        for digest in (ErasureFacts.found(entry.facts) or ErasureFacts()).models
    )


def models_of(
    settings: Settings, cohort: str, *, redactions: Sequence[Redaction], bundles: Sequence[str]
) -> tuple[str, ...]:
    """Digests of bundles that learned from the subject, champion or not, sorted.

    A model did when its reference table or one of its snapshots held the subject. A model whose snapshots are gone
    counts as one that did: nobody can show the contrary.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    redactions : sequence of Redaction
        Snapshots that held the subject.
    bundles : sequence of str
        First hexadecimal digits of bundles whose reference table did.
    """
    held = {digest for each in redactions for digest in (each.old, *each.ancestors)}
    kept = list_snapshots(cohort, settings=settings)
    clean = {digest for each in kept for digest in (each.digest, *(old.digest for old in each.replaces))} - held
    found = set()
    for digest, provenance in _trainings(settings, cohort):
        snapshots = set(provenance.snapshots.values())
        in_reference = any(hex_of(digest).startswith(beginning) for beginning in bundles)
        if in_reference or snapshots & held or not snapshots or snapshots - clean - held:
            found.add(digest)
    return tuple(sorted(found))


def _trainings(settings: Settings, cohort: str) -> Iterator[tuple[str, TrainingProvenance]]:
    for path in sorted(models_folder(settings, cohort).glob(f"*/report/{RESULTS}")):
        results = TrainingResults.read(path)
        yield results.bundle_digest, results.provenance
    for path in sorted((settings.bundles / cohort).glob("*/bundle.json")):
        yield f"sha256:{path.parent.name}", BundleDescription.read(path.parent).provenance
