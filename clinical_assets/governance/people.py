"""People who may sign: name, roles, and the accounts under which they start runs.

What belongs here: adding and changing people, each change with its entry in the audit ledger, and who is the author of
a model. What does not: proving who somebody is (``passwords``), what they signed (``signatures``).

Whoever administers the installation may add people, beginning with the first. From the moment that somebody holds the
role ``administrator``, only such a person, or for a password its owner, may change anything; the last one stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.governance.refusal import Refused

if TYPE_CHECKING:
    import sqlalchemy as sa

    from clinical_assets.records.database import RecordsDatabase

ADMINISTRATOR = "administrator"
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
    """

    login: str
    printed_name: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...]
    identity_provider: str | None
    active: bool
    created_at: str


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
    by: Person | None = None,
) -> Person:
    """Add somebody, with a password or with an identity provider that vouches for them.

    Parameters
    ----------
    actor : str
        Account that does it, for the ledger.
    by : Person, optional
        Who proved to be an administrator; needed as soon as there is one.

    Raises
    ------
    Refused
        ``person_exists``, ``not_administrator``, ``weak_password``, ``bad_person``.
    """
    from clinical_assets.governance.passwords import hash_password
    from clinical_assets.records import schema
    from clinical_assets.records.clock import utc_now

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
    values = {
        "login": login,
        "printed_name": printed_name.strip(),
        "roles": json.dumps(_checked(roles)),
        "accounts": json.dumps(sorted({each.strip() for each in accounts if each.strip()})),
        "password_hash": None if password is None else hash_password(password, login=login),
        "identity_provider": identity_provider,
        "active": True,
        "created_at": utc_now(),
    }
    with records.write() as connection:
        _authorise(connection, by)
        if _row(connection, login) is not None:
            raise Refused(
                "person_exists",
                f"There is a person with the login {login} already.",
                cure="Take another login; that of somebody who left is not given away again.",
            )
        connection.execute(schema.people.insert().values(**values))
        return _entered(connection, records, login, change="added", actor=actor, by=by)


def set_password(
    records: RecordsDatabase, login: str, password: str, *, actor: str, by: Person | None = None
) -> Person:
    """Give somebody a new password; with an administrator present, only that one or the owner may."""
    from clinical_assets.governance.passwords import hash_password

    return _change(
        records,
        login,
        {"password_hash": hash_password(password, login=login), "identity_provider": None},
        change="password",
        actor=actor,
        by=by,
        own=True,
    )


def set_roles(
    records: RecordsDatabase,
    login: str,
    *,
    roles: Sequence[str] | None = None,
    accounts: Sequence[str] | None = None,
    actor: str,
    by: Person | None = None,
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


def deactivate(records: RecordsDatabase, login: str, *, actor: str, by: Person | None = None) -> Person:
    """Take away the right to sign; what was signed before stays."""
    return _change(records, login, {"active": False}, change="deactivated", actor=actor, by=by)


def list_people(records: RecordsDatabase) -> tuple[Person, ...]:
    """Everybody, also who left, by login."""
    from clinical_assets.records import schema

    with records.read() as connection:
        rows = connection.execute(schema.people.select().order_by(schema.people.c.login)).all()
    return tuple(_person(row) for row in rows)


def find_person(records: RecordsDatabase, login: str, *, connection: sa.Connection | None = None) -> Person | None:
    """Who has this login, or None; inside the caller's transaction where ``connection`` is given."""
    if connection is None:
        with records.read() as own:
            return find_person(records, login, connection=own)
    row = _row(connection, login)
    return None if row is None else _person(row)


def authors(records: RecordsDatabase, bundle_digest: str) -> tuple[str, ...]:
    """Accounts that started the trainings of a bundle, and of any that it was recalibrated from, after the ledger."""
    from clinical_assets.records.ledger import Ledger

    found: set[str] = set()
    seen: set[str] = set()
    ask = [bundle_digest]
    while ask:
        digest = ask.pop()
        seen.add(digest)
        for entry in Ledger(records).entries(action="training", digest=digest):
            found.add(entry.actor)
            base = entry.facts.get("from")
            if isinstance(base, str) and base not in seen:
                ask.append(base)
    return tuple(sorted(found))


def accounts_ever(records: RecordsDatabase, login: str) -> frozenset[str]:
    """Login and every account that the ledger ever tied to a person: taking one away does not end an authorship."""
    from clinical_assets.records.ledger import Ledger

    found = {login}
    for entry in Ledger(records).entries(action="person"):
        if entry.facts.get("login") == login:
            found.update(str(each) for each in entry.facts.get("accounts", ()))
    return frozenset(found)


def is_author(records: RecordsDatabase, login: str, accounts: Iterable[str]) -> bool:
    """Whether one of these accounts is, or ever was, this person's."""
    return not accounts_ever(records, login).isdisjoint(accounts)


def _change(
    records: RecordsDatabase,
    login: str,
    values: dict[str, Any],
    *,
    change: str,
    actor: str,
    by: Person | None,
    own: bool = False,
) -> Person:
    from clinical_assets.records import schema

    with records.write() as connection:
        if not (own and by is not None and by.login == login):
            _authorise(connection, by)
        if _row(connection, login) is None:
            raise Refused("unknown_person", f"Nobody has the login {login}.", cure="clinical-assets people list")
        before = _administrators(connection)
        connection.execute(schema.people.update().where(schema.people.c.login == login).values(**values))
        if before and not _administrators(connection):
            # Without one anybody might change people again, whoever they are.
            raise Refused(
                "last_administrator",
                f"{login} is the last who holds the role {ADMINISTRATOR}.",
                cure="Give somebody else the role first.",
            )
        return _entered(connection, records, login, change=change, actor=actor, by=by)


def _entered(
    connection: sa.Connection, records: RecordsDatabase, login: str, *, change: str, actor: str, by: Person | None
) -> Person:
    """Write the change into the ledger, within its transaction, and return the person as they now are."""
    from clinical_assets.records.ledger import Ledger

    person = _person(_row(connection, login))
    facts: dict[str, Any] = {
        "change": change,
        "login": login,
        "printed_name": person.printed_name,
        "roles": list(person.roles),
        "accounts": list(person.accounts),
        "identity_provider": person.identity_provider,
        "active": person.active,
        "by": None if by is None else by.login,
    }
    Ledger(records).append("person", actor=actor, facts=facts, connection=connection)
    return person


def _authorise(connection: sa.Connection, by: Person | None) -> None:
    administrators = _administrators(connection)
    if administrators and (by is None or by.login not in administrators):
        raise Refused(
            "not_administrator",
            f"People are changed by those who hold the role {ADMINISTRATOR}: {', '.join(administrators)}.",
            cure="Let one of them do it: --as LOGIN.",
        )


def _administrators(connection: sa.Connection) -> list[str]:
    from clinical_assets.records import schema

    rows = connection.execute(schema.people.select().where(schema.people.c.active)).all()
    return [person.login for person in map(_person, rows) if ADMINISTRATOR in person.roles]


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
    from clinical_assets.records import schema

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
    )
