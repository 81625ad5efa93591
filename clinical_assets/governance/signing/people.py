"""People who may sign: name, roles, keys, and the accounts under which they start runs.

What belongs here: adding and changing people, each change signed by an administrator and entered in the audit ledger.
What does not: whether such entries count (``signing.roster``), proving who somebody is (``signing.login``), what they
signed (``signatures``), who made a model (``authorship``).

The first person is an administrator, and signs for themself. From then on only such a person, or for a password its
owner, changes anything; the last administrator stays. The table holds what is secret and a copy of the rest; what
counts is the ledger, and a row that says something else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.passwords import hash_password
from clinical_assets.governance.signing.person_keys import PersonKey, new_key
from clinical_assets.governance.signing.roster import (
    ADMINISTRATOR,
    PASSWORD,
    WHAT,
    Roster,
    people_changed,
    secrets_digest,
    sound_roster,
)
from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.people import PersonFacts
from clinical_assets.records.ledger.ledger import Ledger

LOGIN = re.compile(r"[a-z][a-z0-9._@-]{0,62}")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Person:
    """Somebody who may sign.

    Attributes
    ----------
    login : str
        Short name, unique for ever: a person who left keeps theirs.
    printed_name : str
        Name as it stands under a signature.
    roles : tuple of str
        What they may sign as.
    accounts : tuple of str
        Accounts under which they start runs, besides ``login``.
    identity_provider : str or None
        Who vouches for them instead of a password.
    active : bool
        False for somebody who may no longer sign; what they signed stays.
    created_at : str
        UTC.
    public_key : str or None
        What their signatures are checked with, as base64; None for somebody entered before version 2 of the records,
        until they get a new password.
    """

    login: str
    printed_name: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...]
    identity_provider: str | None
    active: bool
    created_at: str
    public_key: str | None = None


def add_person(
    records: RecordsDatabase,
    *,
    login: str,
    printed_name: str,
    roles: Sequence[str],
    accounts: Sequence[str] = (),
    password: str | None = None,
    identity_provider: str | None = None,
    actor: str,
    by: PersonKey | None = None,
) -> Person:
    """Add somebody, with a password or with an identity provider that vouches for them.

    Parameters
    ----------
    records : RecordsDatabase
        Where people are kept.
    login : str
        1 to 63 lower-case letters, digits, '.', '_', '-' or '@', beginning with a letter; nobody has had it yet.
    printed_name : str
        As it stands on signatures.
    roles : sequence of str
        What the person may sign for or administer.
    accounts : sequence of str
        Accounts under which the person writes code or starts runs; they tell the authors of a model from its
        reviewers.
    password : str, optional
        For a person who signs in here; either this or an identity provider.
    identity_provider : str, optional
        Who vouches for the person in place of a password.
    actor : str
        Account that does it, for the ledger.
    by : PersonKey, optional
        Key of an administrator, who signs; only the first person, who must be an administrator, needs none.

    Raises
    ------
    Refused
        ``person_exists``, ``not_administrator``, ``first_administrator``, ``weak_password``, ``bad_person``,
        ``people_changed``.
    """
    if not LOGIN.fullmatch(login):
        raise Refused(
            "bad_person",
            f"{login!r} is no login.",
            cure="Take up to 63 lower-case letters, digits, '.', '_', '-' or '@', beginning with a letter.",
        )
    if not printed_name.strip() or len(printed_name) > _NAME_LENGTH or not printed_name.isprintable():
        raise Refused(
            "bad_person",
            f"{login} has no printed name of 1 to {_NAME_LENGTH} characters.",
            cure="Give the name that stands under a signature.",
        )
    if (password is None) == (identity_provider is None):
        raise Refused(
            "bad_person",
            f"{login} needs a password or an identity provider, one of the two.",
            cure="Give a password, or name who vouches for this person.",
        )
    key, private_key = new_key(records.settings, login, password=password)
    values: dict[str, Any] = {
        "login": login,
        "printed_name": printed_name.strip(),
        "roles": json.dumps(_checked(roles)),
        "accounts": json.dumps(sorted({each.strip() for each in accounts if each.strip()})),
        "password_hash": None if password is None else hash_password(password, login=login),
        "identity_provider": identity_provider,
        "active": True,
        "created_at": utc_now(),
        "public_key": key.public_key,
        "private_key": private_key,
    }
    with records.write() as connection:
        roster = sound_roster(connection, records.settings)
        signer = _signer(roster, by, own=key, roles=json.loads(values["roles"]))
        if _row(connection, login) is not None or roster.now(login) is not None:
            raise Refused(
                "person_exists",
                f"There is a person with the login {login} already.",
                cure="Take another login; that of somebody who left is not given away again.",
            )
        connection.execute(schema.people.insert().values(**values))
        return _entered(connection, records, login, change="added", actor=actor, signer=signer)


def set_password(
    records: RecordsDatabase, login: str, password: str, *, actor: str, by: PersonKey | None = None
) -> Person:
    """Give somebody a new password, and with it a new key; only an administrator or the owner may.

    What was signed with the old key stays: it was theirs at that time.
    """
    hashed = hash_password(password, login=login)
    key, private_key = new_key(records.settings, login, password=password)
    values = {
        "password_hash": hashed,
        "identity_provider": None,
        "public_key": key.public_key,
        "private_key": private_key,
    }
    return _change(records, login, values, change=PASSWORD, actor=actor, by=by, own=key)


def set_roles(
    records: RecordsDatabase,
    login: str,
    *,
    roles: Sequence[str] | None = None,
    accounts: Sequence[str] | None = None,
    actor: str,
    by: PersonKey | None = None,
) -> Person:
    """Replace somebody's roles, accounts or both; None leaves them."""
    values: dict[str, Any] = {}
    if roles is not None:
        values["roles"] = json.dumps(_checked(roles))
    if accounts is not None:
        values["accounts"] = json.dumps(sorted({each.strip() for each in accounts if each.strip()}))
    if not values:
        raise Refused("bad_person", f"Nothing is to be changed of {login}.", cure="Name roles or accounts.")
    return _change(records, login, values, change="roles", actor=actor, by=by)


def deactivate(records: RecordsDatabase, login: str, *, actor: str, by: PersonKey | None = None) -> Person:
    """Take away the right to sign; what was signed before stays."""
    return _change(records, login, {"active": False}, change="deactivated", actor=actor, by=by)


def list_people(records: RecordsDatabase) -> tuple[Person, ...]:
    """Everybody, also who left, by login.

    Raises
    ------
    Refused
        ``people_changed``: somebody is not as an administrator made them, was added or removed by other means.
    """
    with records.read() as connection:
        roster = sound_roster(connection, records.settings)
        rows = connection.execute(schema.people.select().order_by(schema.people.c.login)).all()
    missing = sorted(roster.history.keys() - {row.login for row in rows})
    if missing:
        raise people_changed(f"{missing[0]} is in the ledger, but not among the people.")
    return tuple(_true(row, roster) for row in rows)


def find_person(records: RecordsDatabase, login: str, *, connection: sa.Connection | None = None) -> Person | None:
    """Who has this login, or None; inside the caller's transaction where ``connection`` is given.

    Raises
    ------
    Refused
        ``people_changed``: the row is not what administrators signed.
    """
    if connection is None:
        with records.read() as own:
            return find_person(records, login, connection=own)
    row = _row(connection, login)
    return None if row is None else _true(row, sound_roster(connection, records.settings))


def _change(
    records: RecordsDatabase,
    login: str,
    values: dict[str, Any],
    *,
    change: str,
    actor: str,
    by: PersonKey | None,
    own: PersonKey | None = None,
) -> Person:
    with records.write() as connection:
        roster = sound_roster(connection, records.settings)
        row = _row(connection, login)
        before = None if row is None else _true(row, roster)
        if own is not None and by is not None and by.login == login:
            signer = by
        else:
            roles = before.roles if before is not None and before.active else ()
            signer = _signer(roster, by, own=own, roles=roles)
        if before is None:
            raise Refused("unknown_person", f"Nobody has the login {login}.", cure="clinical-assets people list")
        connection.execute(schema.people.update().where(schema.people.c.login == login).values(**values))
        after = _person(_row(connection, login))
        others = [each for each in roster.administrators() if each != login]
        if not others and not (after.active and ADMINISTRATOR in after.roles and after.public_key):
            # Without one nobody could change people again.
            raise Refused(
                "last_administrator",
                f"{login} is the last who holds the role {ADMINISTRATOR}.",
                cure="Give somebody else the role first.",
            )
        return _entered(connection, records, login, change=change, actor=actor, signer=signer)


def _entered(
    connection: sa.Connection, records: RecordsDatabase, login: str, *, change: str, actor: str, signer: PersonKey
) -> Person:
    """Sign the change, enter it within its transaction, and return the person as they now are."""
    row = _row(connection, login)
    person = _person(row)
    before = sound_roster(connection, records.settings).now(login)
    unsigned = PersonFacts(
        change=change,
        number=(before.number if before else 0) + 1,
        login=login,
        printed_name=person.printed_name,
        roles=person.roles,
        accounts=person.accounts,
        identity_provider=person.identity_provider,
        active=person.active,
        public_key=person.public_key,
        secrets_digest=None if row.private_key is None else secrets_digest(row.password_hash, row.private_key),
        by=signer.login,
    )
    facts = unsigned.model_copy(update={"signature": signer.sign(WHAT, unsigned.signed_content())})
    Ledger(records).append("person", actor=actor, facts=facts, connection=connection)
    # The rule by which everybody reads the entry later, asked before it is committed.
    sound_roster(connection, records.settings)
    return person


def _signer(roster: Roster, by: PersonKey | None, *, own: PersonKey | None, roles: Sequence[str]) -> PersonKey:
    """Who signs a change: an administrator, or the first one themself."""
    administrators = roster.administrators()
    if administrators:
        if by is None or by.login not in administrators:
            raise Refused(
                "not_administrator",
                f"People are changed by those who hold the role {ADMINISTRATOR}: {', '.join(administrators)}.",
                cure="Let one of them do it: --as LOGIN.",
            )
        return by
    named = roster.named_administrators()
    if own is None or ADMINISTRATOR not in roles or (named and own.login not in named):
        raise Refused(
            "first_administrator",
            f"Nobody who holds the role {ADMINISTRATOR} has a key yet, and everything else is signed by one.",
            cure=f"Give one of them a new password, which makes a key: clinical-assets people password {named[0]}"
            if named
            else f"Add one first: clinical-assets people add LOGIN --name NAME --role {ADMINISTRATOR}",
        )
    return own


def _true(row: Any, roster: Roster) -> Person:
    """The person in a row, if it says what the ledger says."""
    person, known = _person(row), roster.now(row.login)
    if known is None:
        raise people_changed(f"{row.login} was never added by an administrator.")
    secret = None if row.private_key is None else secrets_digest(row.password_hash, row.private_key)
    differ = [
        name
        for name in ("printed_name", "roles", "accounts", "identity_provider", "active", "public_key")
        if getattr(person, name) != getattr(known, name)
    ]
    if known.public_key is not None and secret != known.secrets_digest:
        differ.append("password or key")
    if differ:
        raise people_changed(f"{row.login} is not as an administrator signed: {', '.join(differ)} changed.")
    return person


def _checked(roles: Sequence[str]) -> list[str]:
    found = sorted(set(roles))
    wrong = [role for role in found if not _ROLE.fullmatch(role)]
    if wrong or not found:
        raise Refused(
            "bad_person",
            f"{wrong[0]!r} is no role." if wrong else "No role is given.",
            cure="Name roles as the cohorts' `approval` does: lower-case letters, digits and '_'.",
        )
    return found


def _row(connection: sa.Connection, login: str) -> Any:
    return connection.execute(schema.people.select().where(schema.people.c.login == login)).one_or_none()


def _person(row: Any) -> Person:
    return Person(
        login=row.login,
        printed_name=row.printed_name,
        roles=tuple(json.loads(row.roles)),
        accounts=tuple(json.loads(row.accounts)),
        identity_provider=row.identity_provider,
        active=bool(row.active),
        created_at=row.created_at,
        public_key=row.public_key,
    )
