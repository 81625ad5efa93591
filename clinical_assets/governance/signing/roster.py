"""Who people are, replayed from the entries of the ledger that administrators signed.

What belongs here: the rule by which each entry changes the roster, and the first entry that breaks it. What does not:
writing entries (``people``), and the table of people, which holds what is secret and is checked against this.

An entry counts when it was signed by somebody who held the role ``administrator``, and a key, at that moment; a new
password also by its owner. The first administrator signs for themself: the installation's seal is all that vouches for
that entry. Entries of a person are numbered, so that an old one that is added again does not count. Entries from before
the upgrade to version 2 have no signature and count up to the upgrade; people have no key from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.person_keys import is_signed_by
from clinical_assets.records import schema
from clinical_assets.records.ledger.appending import unsigned_until
from clinical_assets.records.ledger.facts.people import PersonFacts

ADMINISTRATOR = "administrator"
WHAT = "person"
#: The change that a person may sign themself.
PASSWORD = "password"  # pragma: allowlist secret


@dataclass(frozen=True)
class Enrolment:
    """What an entry says of a person; it holds until the next one.

    Attributes
    ----------
    seq : int
        The ledger entry.
    number : int
        How many entries there are of this person, this one included.
    public_key, secrets_digest : str or None
        Key, and digest of what the table keeps secret; None before version 2.
    """

    seq: int
    number: int
    login: str
    printed_name: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...]
    identity_provider: str | None
    active: bool
    public_key: str | None
    secrets_digest: str | None

    @property
    def administers(self) -> bool:
        """Whether this person may change people."""
        return self.active and self.public_key is not None and ADMINISTRATOR in self.roles


@dataclass(frozen=True)
class Roster:
    """Everybody, at every moment.

    Attributes
    ----------
    history : mapping
        Login to enrolments, the oldest first.
    problem : str or None
        The first entry that does not count; nothing after it was looked at.
    unsigned_until : int
        The entry of the upgrade to version 2; 0 where there was none.
    """

    history: Mapping[str, Sequence[Enrolment]] = field(default_factory=dict)
    problem: str | None = None
    unsigned_until: int = 0

    def now(self, login: str) -> Enrolment | None:
        """Who has this login."""
        found = self.history.get(login)
        return found[-1] if found else None

    def at(self, login: str, seq: int) -> Enrolment | None:
        """Who had this login when an entry was written."""
        return next((each for each in reversed(self.history.get(login, ())) if each.seq < seq), None)

    def administrators(self) -> list[str]:
        """Logins of those who may change people; none before the first."""
        return [login for login, found in self.history.items() if found[-1].administers]

    def named_administrators(self) -> list[str]:
        """Active people with the role, also those without a key."""
        return [login for login, found in self.history.items() if found[-1].active and ADMINISTRATOR in found[-1].roles]


def read_roster(connection: sa.Connection, settings: Settings) -> Roster:
    """Replay every entry about people; the first that does not count ends it, as ``problem``."""
    table = schema.ledger
    columns = (table.c.seq, table.c.facts)
    rows = connection.execute(sa.select(*columns).where(table.c.action == "person").order_by(table.c.seq)).all()
    roster = Roster(unsigned_until=unsigned_until(connection, settings))
    history: dict[str, list[Enrolment]] = {}
    for row in rows:
        roster = Roster(history, None, roster.unsigned_until)
        facts = PersonFacts.found(row.facts)
        if facts is None:
            return Roster(history, f"Ledger entry {row.seq} about a person cannot be read.", roster.unsigned_until)
        found = _enrolment(row.seq, facts, roster)
        problem = _problem(found, facts, roster)
        if problem is not None:
            return Roster(history, f"Ledger entry {row.seq} about a person {problem}.", roster.unsigned_until)
        history.setdefault(found.login, []).append(found)
    return Roster(history, None, roster.unsigned_until)


def sound_roster(connection: sa.Connection, settings: Settings) -> Roster:
    """The same; refused when an entry does not count.

    Raises
    ------
    Refused
        ``people_changed``.
    """
    roster = read_roster(connection, settings)
    if roster.problem is not None:
        raise people_changed(roster.problem)
    return roster


def people_changed(problem: str) -> Refused:
    """The refusal of people whom no administrator made what they are."""
    return Refused(
        "people_changed",
        problem,
        cure="Restore the database of records from a backup and find out who wrote into it: clinical-assets audit "
        "verify --all",
    )


def secrets_digest(password_hash: str | None, private_key: str) -> str:
    """Digest of what only the table of people holds, for the ledger."""
    content = json.dumps([password_hash, private_key]).encode()
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _enrolment(seq: int, facts: PersonFacts, roster: Roster) -> Enrolment:
    known = roster.history.get(facts.login, ())
    return Enrolment(
        seq=seq,
        number=len(known) + 1 if facts.number is None else facts.number,
        login=facts.login,
        printed_name=facts.printed_name,
        roles=facts.roles,
        accounts=facts.accounts,
        identity_provider=facts.identity_provider,
        active=facts.active,
        public_key=facts.public_key,
        secrets_digest=facts.secrets_digest,
    )


def _problem(found: Enrolment, facts: PersonFacts, roster: Roster) -> str | None:
    """Why an entry does not count, or None."""
    if found.seq < roster.unsigned_until:
        keyed = found.public_key or "signature" in facts.model_fields_set
        return "has a key before there were keys" if keyed else None
    if facts.signature is None:
        return "has no signature"
    before = roster.now(found.login)
    if found.number != (before.number if before else 0) + 1:
        return "was added again"
    key = _key_of_signer(found, facts, before, roster)
    if key is None:
        return f"was signed by {facts.by!r}, who might not"
    if not is_signed_by(key, WHAT, facts.signed_content(), facts.signature):
        return f"does not have the signature of {facts.by!r}"
    left = [login for login in roster.administrators() if login != found.login]
    return None if left or found.administers else "leaves no administrator"


def _key_of_signer(found: Enrolment, facts: PersonFacts, before: Enrolment | None, roster: Roster) -> str | None:
    """The public key that had to sign an entry; None where its signer might not."""
    administrators, by = roster.administrators(), facts.by
    if not administrators:
        # The first: their own key, which this entry brings. After an upgrade, one who held the role.
        named = roster.named_administrators()
        allowed = by == found.login and found.administers and (not named or by in named)
        return found.public_key if allowed else None
    signer = None if by is None else roster.now(by)
    if signer is None or signer.public_key is None or not signer.active:
        return None
    if by in administrators:
        return signer.public_key
    own = before is not None and by == found.login and facts.change == PASSWORD and _same_but_key(found, before)
    return signer.public_key if own else None


def _same_but_key(found: Enrolment, before: Enrolment) -> bool:
    def what(each: Enrolment) -> tuple[object, ...]:
        return each.printed_name, each.roles, each.accounts, each.active

    return what(found) == what(before)
