"""The periodic review of who may do what: everybody with roles, key and last proof, confirmed by an administrator.

What belongs here: the list, and its signed confirmation. What does not: changing anybody (``people``).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.people import list_people
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.roster import ADMINISTRATOR, sound_roster
from clinical_assets.records import schema
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.facts.people import LoginFacts, PersonFacts, ReviewFacts
from clinical_assets.records.ledger.ledger import Ledger

WHAT = "review of people"


@dataclass(frozen=True)
class Reviewed:
    """One person as a reviewer sees them.

    Attributes
    ----------
    changed_by, changed_at : str or None
        Administrator who signed the newest change, and its time (UTC).
    last_login : str or None
        Last proof of who they are (UTC).
    remark : str or None
        What a reviewer should look at.
    """

    login: str
    printed_name: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...]
    active: bool
    has_key: bool
    changed_by: str | None
    changed_at: str
    last_login: str | None
    remark: str | None


def people_to_review(records: RecordsDatabase) -> tuple[Reviewed, ...]:
    """Everybody, by login.

    Raises
    ------
    Refused
        ``people_changed``: somebody is not as an administrator signed.
    """
    people = list_people(records)
    table = schema.ledger
    query = sa.select(table.c.at, table.c.action, table.c.facts).where(table.c.action.in_(("login", "person")))
    logins: dict[str, str] = {}
    changes: dict[str, tuple[str | None, str]] = {}
    with records.read() as connection:
        for row in connection.execute(query.order_by(table.c.seq)):
            if row.action == "person" and (changed := PersonFacts.found(row.facts)):
                changes[changed.login] = (changed.by, row.at)
            elif row.action == "login" and (proved := LoginFacts.found(row.facts)) and proved.login:
                logins[proved.login] = row.at
    found = []
    for person in people:
        by, at = changes[person.login]
        remark = None
        if person.active and person.public_key is None:
            remark = "has no key: cannot sign until a new password is set"
        elif person.active and person.login not in logins:
            remark = "has never proven who they are"
        elif person.active and ADMINISTRATOR in person.roles and len(person.roles) > 1:
            remark = "administers people and signs too"
        found.append(
            Reviewed(
                login=person.login,
                printed_name=person.printed_name,
                roles=person.roles,
                accounts=person.accounts,
                active=person.active,
                has_key=person.public_key is not None,
                changed_by=by,
                changed_at=at,
                last_login=logins.get(person.login),
                remark=remark,
            )
        )
    return tuple(found)


def confirm(records: RecordsDatabase, *, by: PersonKey, reason: str, actor: str) -> str:
    """Let an administrator sign that everybody was reviewed; the digest of what they reviewed.

    Raises
    ------
    Refused
        ``not_administrator``, ``no_reason``, ``people_changed``.
    """
    if not reason.strip():
        raise Refused("no_reason", "A review needs words on what was found.", cure="Say it in a sentence: --reason.")
    people = [
        {name: value for name, value in asdict(each).items() if name != "last_login"}
        for each in people_to_review(records)
    ]
    digest = "sha256:" + hashlib.sha256(canonical(people).encode("ascii")).hexdigest()
    with records.write() as connection:
        administrators = sound_roster(connection, records.settings).administrators()
        if by.login not in administrators:
            raise Refused(
                "not_administrator",
                f"People are reviewed by those who hold the role {ADMINISTRATOR}: {', '.join(administrators)}.",
                cure="Let one of them do it: --as LOGIN.",
            )
        unsigned = ReviewFacts(people=digest, count=len(people), by=by.login, reason=reason.strip())
        facts = unsigned.model_copy(update={"signature": by.sign(WHAT, unsigned.signed_content())})
        Ledger(records).append(
            "review", actor=actor, digest=digest, reason=reason.strip(), facts=facts, connection=connection
        )
    return digest
