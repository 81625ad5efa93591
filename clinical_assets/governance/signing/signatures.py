"""Signatures: who said what about which dossier, proven at the moment of signing, and true at the moment of counting.

What belongs here: giving an approval, a rejection, its withdrawal or a waiver, reading them back, and checking each
with the signer's key and against the ledger. What does not: who people are (``people``), proof (``signing.login``),
adding up (``approval_status``).

After 21 CFR 11.50, 11.70 and 11.200: a signature carries the printed name, the time (UTC) and its meaning, is bound to
the digests of what is signed by the signer's key, and its owner proves who they are each time. The approver is not the
author.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.approval_status import ApprovalStatus, approval_status_of, last_rollback
from clinical_assets.governance.signing.login import Authenticator, prove
from clinical_assets.governance.signing.people import find_person
from clinical_assets.governance.signing.person_keys import is_signed_by
from clinical_assets.governance.signing.record import WHAT, Signature, SignatureKind
from clinical_assets.governance.signing.roster import Roster, read_roster
from clinical_assets.governance.signing.rules import (
    refuse_author,
    refuse_judged,
    refuse_repeated,
    refuse_wordless,
    role_of,
    verified_dossier,
)
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.records import schema
from clinical_assets.records.actors import current_actor
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.entries import facts_of
from clinical_assets.records.ledger.facts.people import SignatureFacts
from clinical_assets.records.ledger.ledger import Ledger, LedgerAction

_ACTIONS: Mapping[SignatureKind, LedgerAction] = {
    "approval": "signature",
    "rejection": "rejection",
    "withdrawal": "signature",
    "waiver": "waiver",
}


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


@dataclass(frozen=True)
class _Act:
    """What one signature says, and of which criterion."""

    meaning: str
    gate: str | None = None
    criterion: str | None = None


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
    (signature,) = waive_several(
        candidate, dossier_digest=dossier_digest, proof=proof, criteria=[(gate, criterion)], reason=reason
    )
    return signature


def waive_several(
    candidate: ReleaseCandidate,
    *,
    dossier_digest: str,
    proof: Proof,
    criteria: Sequence[tuple[str, str]],
    reason: str,
) -> tuple[Signature, ...]:
    """Answer for several questions at once: one proof and one reason, a signature for each, all of them or none.

    Parameters
    ----------
    candidate, dossier_digest, proof, reason
        As for `waive`.
    criteria : sequence of (str, str)
        Gate and criterion of each, every one `insufficient`.

    Raises
    ------
    Refused
        ``nothing_to_waive``: none is given; and as for `waive`, for the first that is refused.
    """
    wanted = tuple(dict.fromkeys(criteria))
    if not wanted:
        raise Refused("nothing_to_waive", "No criterion is left to be waived.", cure="Approve, or reject.")
    for gate, criterion in wanted:
        refuse_judged(candidate, gate, criterion)
    acts = [
        _Act(f"I answer for releasing it although {gate}/{criterion} could not be judged.", gate, criterion)
        for gate, criterion in wanted
    ]
    return _sign_each(candidate, "waiver", acts, dossier_digest=dossier_digest, proof=proof, reason=reason)


def open_criteria(candidate: ReleaseCandidate, dossier_digest: str) -> tuple[tuple[str, str], ...]:
    """Gate and criterion of every question that could not be answered and that no standing waiver answers for."""
    runs = latest_verdicts(candidate.records, bundle_digest=candidate.digest)
    waived = {(each.gate, each.criterion) for each in standing_on(candidate, dossier_digest).waivers}
    unanswered = [
        (str(run.gate), each.criterion)
        for run in runs.values()
        for each in run.verdicts
        if each.verdict == "insufficient"
    ]
    return tuple(each for each in unanswered if each not in waived)


def signatures_of(
    records: RecordsDatabase, *, bundle_digest: str, connection: sa.Connection | None = None
) -> tuple[Signature, ...]:
    """All rows of signatures on a bundle, in their own order, whether or not they are true."""
    if connection is None:
        with records.read() as own:
            return signatures_of(records, bundle_digest=bundle_digest, connection=own)
    table = schema.signatures
    query = sa.select(table).where(table.c.bundle_digest == bundle_digest).order_by(table.c.ledger_seq)
    return tuple(Signature(**row) for row in connection.execute(query).mappings())


def true_signatures(
    records: RecordsDatabase, *, bundle_digest: str, connection: sa.Connection | None = None
) -> tuple[tuple[Signature, ...], tuple[str, ...]]:
    """The signatures on a bundle that were given by signing, and what is wrong with everything else.

    An entry of the ledger is found by the content of the row, never by the number that the row names. A signature is
    true if there is exactly one such entry, the row names its number, and the key that its signer had at that moment
    made it. One of version 1, which no key made, is true as a fact of the past if its entry is older than the upgrade.

    Returns
    -------
    tuple
        Signatures in the order of their entries, and words on each row and entry that has no true counterpart.
    """
    if connection is None:
        with records.read() as own:
            return true_signatures(records, bundle_digest=bundle_digest, connection=own)
    roster = read_roster(connection, records.settings)
    table = schema.ledger
    rows = connection.execute(
        sa.select(table.c.seq, table.c.action, table.c.actor, table.c.cohort, table.c.facts)
        .where(table.c.digest == bundle_digest, table.c.action.in_(set(_ACTIONS.values())))
        .order_by(table.c.seq)
    ).all()
    entries = {row.seq: row for row in rows}
    by_content: dict[str, list[int]] = {}
    for seq, row in entries.items():
        by_content.setdefault(_content_key(row.action, facts_of(row.facts)), []).append(seq)
    problems = [] if roster.problem is None else [roster.problem]
    true: list[Signature] = []
    matched: set[int] = set()
    for signature in signatures_of(records, bundle_digest=bundle_digest, connection=connection):
        # A kind that somebody wrote into the row has no action, and no entry.
        action = _ACTIONS.get(signature.kind)
        found = by_content.get(_content_key(action, signature.facts()), []) if action else []
        problem = _problem(signature, [entries[seq] for seq in found], roster)
        matched.update(found)
        if problem is None:
            true.append(signature)
        else:
            problems.append(f"The {signature.kind} {signature.id} of {signature.login} {problem}.")
    problems += [f"The signature of ledger entry {seq} is missing." for seq in sorted(entries.keys() - matched)]
    return tuple(sorted(true, key=lambda each: each.ledger_seq)), tuple(problems)


def standing_on(
    candidate: ReleaseCandidate,
    dossier_digest: str,
    *,
    now: dt.datetime | None = None,
    connection: sa.Connection | None = None,
) -> ApprovalStatus:
    """What the true signatures on a candidate's dossier add up to at a moment, by default now."""
    records = candidate.records
    true, _ = true_signatures(records, bundle_digest=candidate.digest, connection=connection)
    return approval_status_of(
        true,
        candidate.spec.approval,
        dossier_digest=dossier_digest,
        now=now or dt.datetime.now(dt.UTC),
        rolled_back=last_rollback(records, candidate.digest, connection=connection),
    )


def refuse_changed(records: RecordsDatabase, *, bundle_digest: str) -> None:
    """Refuse signatures on a bundle that were written, changed or removed by other means than signing.

    Raises
    ------
    Refused
        ``signatures_changed``: names the first.
    """
    _, problems = true_signatures(records, bundle_digest=bundle_digest)
    if problems:
        raise Refused(
            "signatures_changed",
            problems[0],
            cure="Restore the database of records from a backup and find out who wrote into it.",
        )


def _content_key(action: str, facts: Mapping[str, Any]) -> str:
    return json.dumps([action, dict(facts)], sort_keys=True)


def _problem(signature: Signature, entries: list[Any], roster: Roster) -> str | None:
    """Why a row is not a true signature, or None."""
    if not entries:
        return "has no ledger entry that says the same"
    if len(entries) > 1:
        return f"has several ledger entries: {', '.join(str(entry.seq) for entry in entries)}"
    (entry,) = entries
    if entry.seq != signature.ledger_seq:
        return f"names ledger entry {signature.ledger_seq}, but its own is {entry.seq}"
    if (entry.actor, entry.cohort) != (signature.login, signature.cohort):
        return "has a ledger entry of another person or cohort"
    if not signature.by_key:
        return None if entry.seq < roster.unsigned_until else "was not signed by a key"
    signer = roster.at(signature.login, entry.seq)
    if signer is None or not signer.active or signer.public_key is None:
        return "is of somebody who might not sign then"
    if (signer.public_key, signer.printed_name) != (signature.public_key, signature.printed_name):
        return "has another key or name than its signer had then"
    if signature.role not in signer.roles:
        return f"was given as {signature.role}, which its signer was not then"
    if not is_signed_by(signer.public_key, WHAT, signature.content(), str(signature.signature)):
        return "does not have the signature of its signer's key"
    return None


def _sign(
    candidate: ReleaseCandidate,
    kind: SignatureKind,
    *,
    dossier_digest: str,
    proof: Proof,
    meaning: str,
    reason: str | None = None,
) -> Signature:
    (signature,) = _sign_each(
        candidate, kind, [_Act(meaning)], dossier_digest=dossier_digest, proof=proof, reason=reason
    )
    return signature


def _sign_each(
    candidate: ReleaseCandidate,
    kind: SignatureKind,
    acts: Sequence[_Act],
    *,
    dossier_digest: str,
    proof: Proof,
    reason: str | None,
) -> tuple[Signature, ...]:
    """One signature per act, by one proof and in one transaction."""
    for act in acts:
        refuse_wordless("meaning", act.meaning)
    if kind != "approval":
        refuse_wordless("reason", reason)
    verified_dossier(candidate, dossier_digest)
    records, policy = candidate.records, candidate.spec.approval
    actor = current_actor(candidate.settings)
    key = prove(records, proof.login, proof.secret, actor=actor, authenticator=proof.authenticator, now=proof.now)
    login = key.login
    if kind in ("approval", "waiver"):
        refuse_author(candidate, login)
    now = (proof.now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    # Two people who sign at once are taken one after the other; each sees what the other signed.
    with records.write() as connection:
        person = find_person(records, login, connection=connection)
        if person is None or not person.active or person.public_key != key.public_key:
            raise Refused("login_refused", f"{login} may no longer sign.", cure="Let somebody else sign.")
        standing = standing_on(candidate, dossier_digest, now=now, connection=connection)
        for act in acts:
            refuse_repeated(kind, login, standing, gate=act.gate, criterion=act.criterion)
        role = role_of(kind, person, policy, standing, wanted=proof.role)
        given = []
        for act in acts:
            unsigned = SignatureFacts(
                id=str(uuid.uuid4()),
                cohort=candidate.cohort,
                bundle_digest=candidate.digest,
                dossier_digest=dossier_digest,
                kind=kind,
                meaning=act.meaning.strip(),
                gate=act.gate,
                criterion=act.criterion,
                reason=None if reason is None else reason.strip(),
                login=login,
                printed_name=person.printed_name,
                role=role,
                signed_at=now.isoformat(timespec="microseconds"),
                expires_at=(now + dt.timedelta(days=policy.valid_days)).isoformat(timespec="microseconds"),
                public_key=key.public_key,
            )
            facts = unsigned.model_copy(update={"signature": key.sign(WHAT, unsigned.signed_content())})
            entry = Ledger(records).append(
                _ACTIONS[kind],
                actor=login,
                cohort=candidate.cohort,
                digest=candidate.digest,
                reason=facts.reason,
                facts=facts,
                connection=connection,
            )
            connection.execute(schema.signatures.insert().values(**facts.to_json(), ledger_seq=entry.seq))
            given.append(Signature(**facts.to_json(), ledger_seq=entry.seq))
    return tuple(given)
