"""Signatures: who said what about which dossier, proven at the moment of signing.

What belongs here: giving an approval, a rejection, its withdrawal or a waiver, reading them back, and holding them
against the ledger. What does not: who people are (``people``), proof (``passwords``), adding up (``tally``).

After 21 CFR 11.50, 11.70 and 11.200: a signature carries the printed name, the time (UTC) and its meaning, is bound to
the digests of what is signed, and its owner proves who they are each time. The approver is not the author.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.governance.passwords import Authenticator, PasswordAuthenticator
from clinical_assets.governance.people import find_person
from clinical_assets.governance.refusal import Refused
from clinical_assets.governance.signing_rules import (
    Kind,
    refuse_author,
    refuse_judged,
    refuse_repeated,
    refuse_wordless,
    role_of,
    verified_dossier,
)
from clinical_assets.governance.tally import Tally, last_rollback, tally

if TYPE_CHECKING:
    import sqlalchemy as sa

    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Action

_ACTIONS: Mapping[Kind, Action] = {
    "approval": "signature",
    "rejection": "rejection",
    "withdrawal": "signature",
    "waiver": "waiver",
}


@dataclass(frozen=True)
class Signature:
    """One signature, as it is kept for good.

    Attributes
    ----------
    id : str
    cohort, bundle_digest, dossier_digest : str
        What was signed.
    kind : str
        ``approval``, ``rejection``, ``withdrawal`` (of one's own rejection) or ``waiver``.
    meaning : str
        What the signer says by signing.
    gate, criterion, reason : str or None
        What a waiver waives; why a waiver, rejection or withdrawal was given.
    login, printed_name, role : str
        Who signed, and as what.
    signed_at, expires_at : str
        UTC.
    ledger_seq : int
        Its entry in the audit ledger.
    """

    id: str
    cohort: str
    bundle_digest: str
    dossier_digest: str
    kind: Kind
    meaning: str
    gate: str | None
    criterion: str | None
    reason: str | None
    login: str
    printed_name: str
    role: str
    signed_at: str
    expires_at: str
    ledger_seq: int

    def facts(self) -> dict[str, Any]:
        """What its ledger entry says: everything but the number of the entry."""
        return {name: value for name, value in asdict(self).items() if name != "ledger_seq"}


@dataclass(frozen=True)
class Proof:
    """What a signer shows: login, secret, and who checks it.

    ``now`` is the time of signing, by default that of the clock; ``role`` chooses among several that would do.
    """

    login: str
    secret: str
    role: str | None = None
    now: dt.datetime | None = None
    authenticator: Authenticator | None = None

    def __repr__(self) -> str:
        return f"Proof(login={self.login!r})"


def approve(candidate: ReleaseCandidate, *, dossier_digest: str, proof: Proof, meaning: str) -> Signature:
    """Sign for the release of a model.

    Raises
    ------
    Refused
        ``wrong_digest``, ``superseded``, ``login_refused``, ``locked``, ``author_signs``, ``author_unknown``,
        ``no_role``, ``role_needed``, ``signed_already``, ``own_rejection``.
    """
    return _sign(candidate, "approval", dossier_digest=dossier_digest, proof=proof, meaning=meaning)


def reject(candidate: ReleaseCandidate, *, dossier_digest: str, proof: Proof, reason: str) -> Signature:
    """Sign against the release; it blocks until there is another dossier or the signer withdraws it."""
    return _sign(candidate, "rejection", dossier_digest=dossier_digest, proof=proof, meaning="Rejected.", reason=reason)


def withdraw_rejection(candidate: ReleaseCandidate, *, dossier_digest: str, proof: Proof, reason: str) -> Signature:
    """Take back one's own rejection of this dossier (``nothing_to_withdraw`` where there is none)."""
    meaning = "I withdraw my rejection."
    return _sign(candidate, "withdrawal", dossier_digest=dossier_digest, proof=proof, meaning=meaning, reason=reason)


def waive(
    candidate: ReleaseCandidate, *, dossier_digest: str, proof: Proof, gate: str, criterion: str, reason: str
) -> Signature:
    """Answer for releasing a model although one question could not be answered.

    Raises
    ------
    Refused
        ``not_waivable``: the criterion was judged, passed or failed, or does not exist; and as for `approve`.
    """
    refuse_judged(candidate, gate, criterion)
    return _sign(
        candidate,
        "waiver",
        dossier_digest=dossier_digest,
        proof=proof,
        meaning=f"I answer for releasing it although {gate}/{criterion} could not be judged.",
        gate=gate,
        criterion=criterion,
        reason=reason,
    )


def signatures_of(
    records: RecordsDatabase, *, bundle_digest: str, connection: sa.Connection | None = None
) -> tuple[Signature, ...]:
    """All signatures on a bundle, in the order in which they were given."""
    import sqlalchemy as sa

    from clinical_assets.records import schema

    if connection is None:
        with records.read() as own:
            return signatures_of(records, bundle_digest=bundle_digest, connection=own)
    table = schema.signatures
    query = sa.select(table).where(table.c.bundle_digest == bundle_digest).order_by(table.c.ledger_seq)
    return tuple(Signature(**row) for row in connection.execute(query).mappings())


def standing_on(
    candidate: ReleaseCandidate,
    dossier_digest: str,
    *,
    now: dt.datetime | None = None,
    connection: sa.Connection | None = None,
) -> Tally:
    """What the signatures on a candidate's dossier add up to at a moment, by default now."""
    records = candidate.records
    return tally(
        signatures_of(records, bundle_digest=candidate.digest, connection=connection),
        candidate.spec.approval,
        dossier_digest=dossier_digest,
        now=now or dt.datetime.now(dt.UTC),
        rolled_back=last_rollback(records, candidate.digest, connection=connection),
    )


def refuse_changed(records: RecordsDatabase, *, bundle_digest: str, signatures: tuple[Signature, ...]) -> None:
    """Hold signatures against their ledger entries, both ways.

    Raises
    ------
    Refused
        ``signatures_changed``: a signature was written, changed or removed by other means than signing.
    """
    from clinical_assets.records.ledger import Ledger

    entries = {
        entry.seq: entry
        for entry in Ledger(records).entries(digest=bundle_digest)
        if entry.action in set(_ACTIONS.values())
    }
    rows = {signature.ledger_seq: signature for signature in signatures}
    for seq in sorted(entries.keys() | rows.keys()):
        row, entry = rows.get(seq), entries.get(seq)
        if row is None or entry is None or entry.action != _ACTIONS[row.kind] or dict(entry.facts) != row.facts():
            what = "is missing" if row is None else "has no ledger entry that says the same"
            raise Refused(
                "signatures_changed",
                f"The signature of ledger entry {seq} {what}.",
                cure="Restore the database of records from a backup and find out who wrote into it.",
            )


def _sign(
    candidate: ReleaseCandidate,
    kind: Kind,
    *,
    dossier_digest: str,
    proof: Proof,
    meaning: str,
    gate: str | None = None,
    criterion: str | None = None,
    reason: str | None = None,
) -> Signature:
    from clinical_assets.records import schema
    from clinical_assets.records.actors import current_actor
    from clinical_assets.records.ledger import Ledger

    refuse_wordless("meaning", meaning)
    if kind != "approval":
        refuse_wordless("reason", reason)
    verified_dossier(candidate, dossier_digest)
    records, policy = candidate.records, candidate.spec.approval
    authenticator = proof.authenticator or PasswordAuthenticator(records, actor=current_actor(candidate.settings))
    login = authenticator.authenticate(proof.login, proof.secret, now=proof.now).login
    if kind in ("approval", "waiver"):
        refuse_author(candidate, login)
    now = (proof.now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    # Two people who sign at once are taken one after the other; each sees what the other signed.
    with records.write() as connection:
        person = find_person(records, login, connection=connection)
        if person is None or not person.active:
            raise Refused("login_refused", f"{login} may no longer sign.", cure="Let somebody else sign.")
        standing = standing_on(candidate, dossier_digest, now=now, connection=connection)
        refuse_repeated(kind, login, standing, gate=gate, criterion=criterion)
        role = role_of(kind, person, policy, standing, wanted=proof.role)
        facts: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "cohort": candidate.cohort,
            "bundle_digest": candidate.digest,
            "dossier_digest": dossier_digest,
            "kind": kind,
            "meaning": meaning.strip(),
            "gate": gate,
            "criterion": criterion,
            "reason": None if reason is None else reason.strip(),
            "login": login,
            "printed_name": person.printed_name,
            "role": role,
            "signed_at": now.isoformat(timespec="microseconds"),
            "expires_at": (now + dt.timedelta(days=policy.valid_days)).isoformat(timespec="microseconds"),
        }
        entry = Ledger(records).append(
            _ACTIONS[kind],
            actor=login,
            cohort=candidate.cohort,
            digest=candidate.digest,
            reason=facts["reason"],
            facts=facts,
            connection=connection,
        )
        connection.execute(schema.signatures.insert().values(**facts, ledger_seq=entry.seq))
    return Signature(**facts, ledger_seq=entry.seq)
