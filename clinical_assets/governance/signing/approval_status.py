"""What signatures add up to under a cohort's policy: who counts, who is lacking, what stands against it.

What belongs here: arithmetic on signatures. What does not: giving and reading them (``signatures``), and everything
else that a release needs (``blockers``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from clinical_assets.cohorts.governance import ApprovalPolicy
from clinical_assets.governance.signing.record import Signature
from clinical_assets.records import schema
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.models import ChampionFacts


@dataclass(frozen=True)
class ApprovalStatus:
    """Signatures on one dossier at one moment.

    Attributes
    ----------
    approvals : tuple of Signature
        Those that count: of this dossier, in time, given after the last rollback, one a person.
    lacking : mapping
        Role to the number of signatures still lacking; empty when the policy is satisfied.
    expired : tuple of Signature
        Approvals and waivers of this dossier that are too old.
    outdated : tuple of Signature
        Approvals of this dossier that are older than a rollback of the model.
    elsewhere : tuple of Signature
        Approvals of another dossier of the same bundle.
    rejections : tuple of Signature
        Those that stand.
    waivers : tuple of Signature
        Those that count.
    unkeyed : tuple of Signature
        Approvals and waivers of this dossier from before people had keys; they count no more.
    """

    approvals: tuple[Signature, ...]
    lacking: Mapping[str, int]
    expired: tuple[Signature, ...]
    outdated: tuple[Signature, ...]
    elsewhere: tuple[Signature, ...]
    rejections: tuple[Signature, ...]
    waivers: tuple[Signature, ...]
    unkeyed: tuple[Signature, ...] = ()

    def waiver_of(self, gate: str, criterion: str) -> Signature | None:
        """The waiver of a criterion, or None."""
        return next((each for each in self.waivers if (each.gate, each.criterion) == (gate, criterion)), None)

    def counted(self) -> tuple[Signature, ...]:
        """Approvals and waivers: what a release would rest on."""
        return self.approvals + self.waivers


def approval_status_of(
    signatures: Iterable[Signature],
    policy: ApprovalPolicy,
    *,
    dossier_digest: str,
    now: dt.datetime,
    rolled_back: int | None = None,
) -> ApprovalStatus:
    """Add up the signatures on a bundle.

    Parameters
    ----------
    signatures : iterable of Signature
        All on the bundle that are true (``signatures.true_signatures``), in the order in which they were given.
    policy : ApprovalPolicy
        The cohort's.
    dossier_digest : str
        The dossier that is to be released.
    now : datetime
        Moment at which signatures must be valid.
    rolled_back : int, optional
        Ledger entry of the last rollback away from this bundle; approvals before it no longer count.
    """
    given = tuple(signatures)
    here = [each for each in given if each.dossier_digest == dossier_digest]
    wanted = {each.role: each.count for each in policy.signatures}
    approvals: dict[str, Signature] = {}
    expired, outdated = [], []
    rejections: dict[str, Signature] = {}
    waivers, unkeyed = [], []
    for each in here:
        if each.kind == "rejection":
            rejections[each.login] = each
        elif each.kind == "withdrawal":
            rejections.pop(each.login, None)
        elif not each.by_key:
            unkeyed.append(each)
        elif _ended(each, now):
            expired.append(each)
        elif each.kind == "waiver":
            if each.role in policy.waivers:
                waivers.append(each)
        elif rolled_back is not None and each.ledger_seq < rolled_back:
            outdated.append(each)
        elif each.role in wanted:
            # One person, one signature: whoever holds two roles counts for one of them.
            approvals.setdefault(each.login, each)
    roles = [each.role for each in approvals.values()]
    lacking = {role: count - roles.count(role) for role, count in wanted.items() if roles.count(role) < count}
    return ApprovalStatus(
        approvals=tuple(approvals.values()),
        lacking=lacking,
        expired=tuple(expired),
        outdated=tuple(outdated),
        elsewhere=tuple(each for each in given if each.dossier_digest != dossier_digest and each.kind == "approval"),
        rejections=tuple(rejections.values()),
        waivers=tuple(waivers),
        unkeyed=tuple(unkeyed),
    )


def last_rollback(
    records: RecordsDatabase, bundle_digest: str, *, connection: sa.Connection | None = None
) -> int | None:
    """Ledger entry of the last rollback away from a bundle, or of its retirement; None if there was none."""
    if connection is None:
        with records.read() as own:
            return last_rollback(records, bundle_digest, connection=own)
    # From the ledger, whose chain is verified, and not from the table of promotions beside it.
    table = schema.ledger
    rows = connection.execute(
        sa.select(table.c.seq, table.c.facts).where(table.c.action.in_(("rollback", "retirement")))
    )
    away = (row.seq for row in rows if (ChampionFacts.found(row.facts) or ChampionFacts()).before == bundle_digest)
    return max(map(int, away), default=None)


def _ended(signature: Signature, now: dt.datetime) -> bool:
    return parse(signature.expires_at) <= now
