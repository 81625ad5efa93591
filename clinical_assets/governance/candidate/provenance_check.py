"""What a model was made from, held against what is there now: description, SQL, snapshots.

What belongs here: reading the evidence that a training left and comparing it. What does not: the verdicts on it
(``gates.regulatory``), and making the model again (``reproduction``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.warehouse.snapshots.snapshot_files import find_snapshot, list_snapshots
from clinical_assets.warehouse.snapshots.snapshots import verify_snapshot

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DIGESTS = ("data_digest", "spec_digest", "features_sql_digest", "outcome_sql_digest")
_VERSIONS = ("code_version", "python", "machine")


@dataclass(frozen=True)
class SnapshotState:
    """One snapshot that a model came from.

    Attributes
    ----------
    table, digest : str
        What it should be.
    problem : str or None
        Why it cannot be restored; None when it can.
    redacted_at : str or None
        When an erasure took a subject out of it, so that it no longer exists.
    rows : int or None
        Records in it.
    """

    table: str
    digest: str
    problem: str | None
    redacted_at: str | None
    rows: int | None


def provenance_gaps(candidate: ReleaseCandidate) -> tuple[str, ...]:
    """What the provenance lacks or says in two ways, in words; empty when it is complete."""
    made = candidate.bundle.description.provenance
    gaps = [f"{name} is no digest" for name in _DIGESTS if not _DIGEST.fullmatch(getattr(made, name))]
    gaps += [f"{name} is missing" for name in _VERSIONS if not getattr(made, name)]
    if not made.libraries:
        gaps.append("versions of libraries are missing")
    snapshots = made.snapshots
    gaps += [f"table {name} has no snapshot" for name in candidate.spec.tables if name not in snapshots]
    gaps += [f"snapshot of {name} is no digest" for name, digest in snapshots.items() if not _DIGEST.fullmatch(digest)]
    if candidate.training.results.provenance != made:
        gaps.append("report and bundle name different origins")
    if candidate.training.results.data_digest != made.data_digest:
        gaps.append("report and bundle name different feature tables")
    return tuple(gaps)


def snapshot_states(candidate: ReleaseCandidate) -> tuple[SnapshotState, ...]:
    """Each snapshot that the model came from, read whole and compared with its digest."""
    snapshots = candidate.bundle.description.provenance.snapshots
    return tuple(_state(candidate, table, digest) for table, digest in sorted(snapshots.items()))


def _state(candidate: ReleaseCandidate, table: str, digest: str) -> SnapshotState:
    settings, cohort = candidate.settings, candidate.cohort
    try:
        redacted = [
            each.at
            for snapshot in list_snapshots(cohort, table, settings=settings)
            for each in snapshot.replaces
            if each.digest == digest
        ]
        if redacted:
            return SnapshotState(table, digest, "a subject was erased from it", min(redacted), None)
        snapshot = find_snapshot(cohort, table, digest, settings=settings)
        verify_snapshot(snapshot, settings=settings)
    except WarehouseError as error:
        return SnapshotState(table, digest, error.message, None, None)
    return SnapshotState(table, digest, None, None, snapshot.rows)
