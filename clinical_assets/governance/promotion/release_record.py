"""What the records say was released: the change that made a champion, and the signatures and gates that it rests on.

What belongs here: holding a champion against the ledger before it serves. What does not: whether a model may become
champion (``blockers``), and the steps of the change (``champion_switch``). Nothing heavy is
imported: a rollback waits for it.

A row of promotions counts for nothing by itself. The change is found in the ledger by its content, the entry must be
one of this installation, and a promotion must name verdicts of every gate that did not fail and signatures that their
signers' keys made, as many of each role as were asked for. A change that took effect by itself rests on the promotion
of the champion before it, and that in the end on people. Promotions of version 1 of the records name no keys; they
count as long as the chain up to the upgrade is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.person_keys import PersonKey, is_signed_by
from clinical_assets.governance.signing.roster import sound_roster
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.champion.champion_pointer import Champion, ChampionError
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.appending import is_vouched_for, unsigned_until
from clinical_assets.records.ledger.facts.models import ChampionFacts, GateVerdictFacts


class SignedChange(StoredDocument):
    """What a person's key signs who asks for a rollback or retirement."""

    promotion: str
    cohort: str
    digest: str
    before: str
    since: str
    reason: str
    by: str
    public_key: str


ROLLBACK, RETIREMENT = "rollback", "retirement"
CHANGES = ("promotion", ROLLBACK, RETIREMENT)


def is_recorded(settings: Settings, champion: Champion) -> bool:
    """Whether records and ledger know of the change that made it champion: a pointer written by hand has neither."""
    records = RecordsDatabase(settings)
    with records.read() as connection:
        return _entry_of(connection, settings, champion) is not None


def signed_change(champion: Champion, before: str, reason: str, key: PersonKey) -> ChampionFacts:
    """What the ledger entry of a rollback or retirement says besides: who asked for it, signed with their key."""
    content = SignedChange(
        promotion=champion.promotion,
        cohort=champion.cohort,
        digest=champion.digest,
        before=before,
        since=champion.since,
        reason=reason,
        by=key.login,
        public_key=key.public_key,
    )
    kind = RETIREMENT if champion.retired else ROLLBACK
    signature = key.sign(kind, content.model_dump(mode="json"))
    return ChampionFacts(by=key.login, public_key=key.public_key, signature=signature)


def newest_change(connection: sa.Connection, cohort: str) -> str | None:
    """Id of the newest change of champion of a cohort in the ledger; None where there was none."""
    table = schema.ledger
    row = connection.execute(
        sa.select(table.c.facts)
        .where(table.c.cohort == cohort, table.c.action.in_(CHANGES))
        .order_by(table.c.seq.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else str(_facts(row.facts).promotion)


def refuse_other(settings: Settings, cohort: str, champion: Champion | None) -> None:
    """Refuse a pointer that the newest change did not write: edited, put back from a copy, or gone.

    Parameters
    ----------
    settings : Settings
        Where pointers and records lie.
    cohort : str
        Name of the cohort.
    champion : Champion or None
        What `champion_pointer.last` found.

    Raises
    ------
    ChampionError
        Says which.
    """
    records = RecordsDatabase(settings)
    path = champion_pointer.serving_folder(settings, cohort) / champion_pointer.POINTER
    with records.read() as connection:
        newest = newest_change(connection, cohort)
        if champion is None:
            if newest is not None:
                raise ChampionError(
                    f"{path} is missing, although {cohort} has a champion.",
                    cure=f"Restore it from a backup; the newest entry of the ledger for {cohort} says what it held.",
                )
            return
        if _entry_of(connection, settings, champion) is None:
            raise ChampionError(
                f"{path} names a promotion that the records do not know: it was not written by a promotion.",
                cure="Find out who wrote it; roll back, or promote the model that is to serve.",
            )
        changes = schema.ledger
        query = sa.select(changes.c.digest).where(changes.c.cohort == cohort, changes.c.action.in_(CHANGES))
        if not set(champion.previous) <= set(connection.execute(query).scalars()):
            raise ChampionError(
                f"{path} names a champion before it that the ledger of {cohort} does not know: it was edited.",
                cure="Restore it from a backup, or promote a model.",
            )
        if newest != champion.promotion:
            raise ChampionError(
                f"{path} names an older change than the newest of {cohort}: it was put back.",
                cure="Restore the newest one from a backup, or roll back or promote.",
            )


def refuse_unreleased(settings: Settings, cohort: str, digest: str) -> None:
    """Refuse a bundle whose newest promotion does not rest on signatures and gates.

    Raises
    ------
    Refused
        ``unreleased``: says what is missing.
    """
    records = RecordsDatabase(settings)
    with records.read() as connection:
        problem = _problem(connection, records, cohort, digest, before=None, seen=frozenset())
    if problem is not None:
        raise Refused(
            "unreleased",
            f"Bundle {digest} of {cohort} {problem}.",
            cure="Find out who wrote the pointer or the records (clinical-assets audit verify --all); train, sign and "
            "promote a model.",
        )


def _entry_of(connection: sa.Connection, settings: Settings, champion: Champion) -> Any:
    """The ledger entry of the change that made it champion, found by content; None where there is none."""
    rows, ledger = schema.promotions, schema.ledger
    row = connection.execute(sa.select(rows).where(rows.c.id == champion.promotion)).one_or_none()
    if row is None or (row.cohort, row.bundle_digest) != (champion.cohort, champion.digest):
        return None
    entries = connection.execute(
        sa.select(ledger).where(
            ledger.c.cohort == champion.cohort,
            ledger.c.digest == champion.digest,
            ledger.c.action == row.kind,
            ledger.c.action.in_(CHANGES),
        )
    ).all()
    found = [entry for entry in entries if _facts(entry.facts).promotion == champion.promotion]
    if len(found) != 1:
        return None
    (entry,) = found
    facts = _facts(entry.facts)
    same = (row.ledger_seq, row.at, row.actor, row.previous_digest, row.dossier_digest, row.reason) == (
        entry.seq,
        facts.since,
        entry.actor,
        facts.before,
        facts.dossier_digest,
        entry.reason,
    )
    named = (champion.since, champion.by) == (row.at, row.actor)
    stands = champion.retired == (row.kind == RETIREMENT)
    vouched_for = same and named and stands and is_vouched_for(connection, entry, settings)
    return entry if vouched_for and _change_is_signed(connection, settings, entry, facts) else None


def _change_is_signed(connection: sa.Connection, settings: Settings, entry: Any, facts: ChampionFacts) -> bool:
    """Whether the person whom a rollback or retirement names asked for it; true for a promotion.

    A rollback may name nobody; a retirement always has somebody who signed.
    """
    is_named = "by" in facts.model_fields_set
    if entry.action == RETIREMENT and not is_named:
        return False
    if entry.action not in (ROLLBACK, RETIREMENT) or not is_named:
        return True
    signer = sound_roster(connection, settings).at(str(facts.by), entry.seq)
    if signer is None or not signer.active or signer.public_key is None or signer.public_key != facts.public_key:
        return False
    content = SignedChange(
        promotion=str(facts.promotion),
        cohort=entry.cohort,
        digest=entry.digest,
        before=str(facts.before),
        since=str(facts.since),
        reason=str(entry.reason),
        by=str(facts.by),
        public_key=signer.public_key,
    )
    return is_signed_by(signer.public_key, entry.action, content.model_dump(mode="json"), str(facts.signature))


def _facts(text: str) -> ChampionFacts:
    """Facts of a change; empty where somebody changed the text so that it has none any more."""
    return ChampionFacts.found(text) or ChampionFacts()


def _problem(
    connection: sa.Connection,
    records: RecordsDatabase,
    cohort: str,
    digest: str,
    *,
    before: int | None,
    seen: frozenset[str],
) -> str | None:
    """What is missing of the newest promotion of a bundle (before an entry), or None."""
    table = schema.ledger
    query = sa.select(table).where(table.c.cohort == cohort, table.c.action == "promotion", table.c.digest == digest)
    if before is not None:
        query = query.where(table.c.seq < before)
    entry = connection.execute(query.order_by(table.c.seq.desc()).limit(1)).one_or_none()
    if entry is None:
        return "was never promoted, after the audit ledger"
    if not is_vouched_for(connection, entry, records.settings):
        return f"has a promotion, ledger entry {entry.seq}, that this installation did not write"
    facts = _facts(entry.facts)
    given, _ = true_signatures(records, bundle_digest=digest, connection=connection)
    true = {each.id: each for each in given if each.ledger_seq < entry.seq}
    missing = [each for each in facts.signatures if each not in true]
    if missing:
        return f"was promoted on the signature {missing[0]}, which is none"
    if entry.seq < unsigned_until(connection, records.settings):
        return None
    problem = _gates_missing(connection, records, digest, facts.gates, entry.seq)
    if problem is not None:
        return problem
    if facts.unattended:
        parent = facts.before
        if parent is None or parent in seen:
            return "took effect by itself, but rests on no promotion that people signed"
        return _problem(connection, records, cohort, parent, before=entry.seq, seen=seen | {digest})
    approvals = [true[each] for each in facts.signatures if true[each].kind == "approval"]
    held = Counter({each.login: each.role for each in approvals}.values())
    lacking = [role for role, count in facts.required.items() if held[role] < count]
    if lacking or not facts.required:
        return f"was promoted without the signatures that it needs: {', '.join(lacking) or 'none was asked for'}"
    elsewhere = [each for each in approvals if each.dossier_digest != facts.dossier_digest]
    return f"was promoted on a signature of another dossier, {elsewhere[0].id}" if elsewhere else None


def _gates_missing(
    connection: sa.Connection, records: RecordsDatabase, digest: str, gates: Mapping[str, str], promoted: int
) -> str | None:
    table = schema.ledger
    rows = connection.execute(
        sa.select(table).where(table.c.action == "gate_verdict", table.c.digest == digest, table.c.seq < promoted)
    ).all()
    entries: dict[tuple[str, str | None], tuple[Any, GateVerdictFacts]] = {}
    for each in rows:
        facts = GateVerdictFacts.found(each.facts)
        if facts is not None:
            entries[(facts.gate, facts.verdicts_digest)] = (each, facts)
    for gate in GATES:
        entry, judged = entries.get((gate, gates.get(gate)), (None, None))
        if judged is None or judged.summary == "fail" or not is_vouched_for(connection, entry, records.settings):
            return f"was promoted without verdicts of gate {gate} that this installation gave"
    return None
