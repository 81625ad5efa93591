"""What happened to a cohort's models before this one: promotions, rollbacks, signatures, erasures.

What belongs here: reading it from the records, and the rule of what counts as before. What does not: writing any of
it.

A dossier must not change because it was signed or because its model was promoted, or signatures would undo
themselves. So what was done to this very model is left out: its promotion and what came after, and signatures on the
dossier as it is. Signatures on an earlier dossier of the same model are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.records import schema
from clinical_assets.records.ledger.facts.privacy import ErasureFacts
from clinical_assets.records.ledger.ledger import Ledger


@dataclass(frozen=True)
class PastRelease:
    """One promotion or rollback; `bundle` served from `at` on."""

    kind: str
    at: str
    actor: str
    bundle: str
    previous: str | None
    dossier: str | None
    reason: str | None


@dataclass(frozen=True)
class PastSignature:
    """One signature: an approval, a rejection, or the waiver of a criterion."""

    kind: str
    signed_at: str
    printed_name: str
    role: str
    meaning: str
    bundle: str
    dossier: str
    gate: str | None
    criterion: str | None
    reason: str | None
    same_model: bool


@dataclass(frozen=True)
class PastErasure:
    """Records of the cohort were erased on request; `touched` says whether this model was made from them."""

    at: str
    actor: str
    reason: str | None
    touched: bool


@dataclass(frozen=True)
class ModelHistory:
    """All of it, oldest first."""

    releases: tuple[PastRelease, ...]
    signatures: tuple[PastSignature, ...]
    erasures: tuple[PastErasure, ...]


def history_of(candidate: ReleaseCandidate, *, unsigned: str | None) -> ModelHistory:
    """What a reviewer of this model should know of the past.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The trained bundle that is judged, with its cohort, training and records.
    unsigned : str or None
        Digest of a dossier of this model whose signatures are not told, because they are on what is being written.
    """
    own, cohort = candidate.digest, candidate.cohort
    releases: list[PastRelease] = []
    with candidate.records.read() as connection:
        table = schema.promotions
        found = connection.execute(sa.select(table).where(table.c.cohort == cohort).order_by(table.c.ledger_seq))
        for row in found.mappings():
            if row["bundle_digest"] == own:
                break
            releases.append(
                PastRelease(
                    kind=row["kind"],
                    at=row["at"],
                    actor=row["actor"],
                    bundle=row["bundle_digest"],
                    previous=row["previous_digest"],
                    dossier=row["dossier_digest"],
                    reason=row["reason"],
                )
            )
        signed = schema.signatures
        rows = connection.execute(
            sa.select(signed).where(signed.c.cohort == cohort).order_by(signed.c.ledger_seq)
        ).mappings()
        signatures = [dict(row) for row in rows]
    released = {release.bundle for release in releases}
    trained = _first_training(candidate)
    return ModelHistory(
        releases=tuple(releases),
        signatures=tuple(
            _signature(row, own=own)
            for row in signatures
            if (
                row["dossier_digest"] != unsigned
                if row["bundle_digest"] == own
                else row["bundle_digest"] in released or (trained is not None and row["ledger_seq"] < trained)
            )
        ),
        erasures=_erasures(candidate),
    )


def _signature(row: Mapping[str, Any], *, own: str) -> PastSignature:
    return PastSignature(
        kind=row["kind"],
        signed_at=row["signed_at"],
        printed_name=row["printed_name"],
        role=row["role"],
        meaning=row["meaning"],
        bundle=row["bundle_digest"],
        dossier=row["dossier_digest"],
        gate=row["gate"],
        criterion=row["criterion"],
        reason=row["reason"],
        same_model=row["bundle_digest"] == own,
    )


def _first_training(candidate: ReleaseCandidate) -> int | None:
    """Place in the ledger of the first training that gave this model; None where it was trained elsewhere."""
    entries = Ledger(candidate.records).entries(action="training", digest=candidate.digest, limit=1)
    return entries[0].seq if entries else None


def _erasures(candidate: ReleaseCandidate) -> tuple[PastErasure, ...]:
    return tuple(
        PastErasure(
            at=entry.at,
            actor=entry.actor,
            reason=entry.reason,
            touched=candidate.digest in (ErasureFacts.found(entry.facts) or ErasureFacts()).models,
        )
        for entry in Ledger(candidate.records).entries(cohort=candidate.cohort, action="erasure")
    )
