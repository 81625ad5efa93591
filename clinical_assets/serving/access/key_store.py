"""Keys of callers: made, listed, revoked; a row counts only as far as the audit ledger says the same.

What belongs here: the table of keys. What does not: asking a request for one (``key_door``).

A key is ``ca_<id>_<secret>``, shown once. The secret has 256 random bits; its SHA-256 is stored, so that nobody who
reads the database can use a key, and nobody who writes there can make one.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.foundation.canonical import parts_digest, value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.appending import is_vouched_for
from clinical_assets.records.ledger.facts.people import ApiKeyFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.serving.access.callers import RIGHTS

ACTION: str = "api_key"
PREFIX = "ca"
_ID_BYTES, _SECRET_BYTES = 5, 32
_LONGEST_DAYS = 3 * 366


class KeyRefused(ClinicalAssetsError):
    """A key that cannot be made, or is not there."""


@dataclass(frozen=True)
class ApiKey:
    """A key of a caller, without its secret.

    Attributes
    ----------
    id : str
        Names it in logs.
    name : str
        Whose it is.
    secret_hash : str
        SHA-256 of the secret.
    rights : tuple of str
        What it may ask for.
    cohorts : tuple of str or None
        Cohorts that it is for; None is all.
    created_at, expires_at : str
        UTC.
    replaces : str or None
        The key that it was made to follow.
    revoked_from : str or None
        UTC; None where it was not revoked.
    """

    id: str
    name: str
    secret_hash: str
    rights: tuple[str, ...]
    cohorts: tuple[str, ...] | None
    created_at: str
    expires_at: str
    replaces: str | None
    revoked_from: str | None = None

    def terms(self) -> dict[str, Any]:
        """What the ledger vouches for."""
        return {
            "id": self.id,
            "name": self.name,
            "secret_hash": self.secret_hash,
            "rights": list(self.rights),
            "cohorts": None if self.cohorts is None else list(self.cohorts),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "replaces": self.replaces,
        }

    def state(self, now: str) -> str:
        """``valid``, ``revoked`` or ``expired`` at a moment."""
        if self.revoked_from is not None and self.revoked_from <= now:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


def make_key(
    records: RecordsDatabase,
    *,
    name: str,
    rights: Sequence[str],
    cohorts: Sequence[str] | None,
    days: int,
    actor: str,
    replaces: str | None = None,
    connection: sa.Connection | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and enter it into the ledger.

    Parameters
    ----------
    records : RecordsDatabase
        Where keys stand.
    name : str
        Whose it is.
    rights : sequence of str
        Among ``callers.RIGHTS``.
    cohorts : sequence of str or None
        Cohorts that it is for; None is all.
    days : int
        Days for which it holds.
    actor : str
        Who makes it.
    replaces : str, optional
        The key before it.
    connection : sqlalchemy.Connection, optional
        Of a transaction that is open.

    Returns
    -------
    tuple of ApiKey and str
        The key, and its text, which is kept nowhere.

    Raises
    ------
    KeyRefused
        A right is unknown, or it would hold for more than three years.
    """
    unknown = sorted(set(rights) - set(RIGHTS))
    if unknown or not rights:
        raise KeyRefused(f"{', '.join(unknown) or 'No right'} is no right.", cure=f"Name some of {', '.join(RIGHTS)}.")
    if not name.strip() or len(name) > 200:
        raise KeyRefused("A key needs a name of at most 200 characters.", cure="Say whose it is.")
    if not 1 <= days <= _LONGEST_DAYS:
        raise KeyRefused(
            f"A key cannot hold for {days} days.", cure=f"Choose 1 to {_LONGEST_DAYS}, and rotate it then."
        )
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    now = dt.datetime.now(dt.UTC)
    key = ApiKey(
        id=secrets.token_hex(_ID_BYTES),
        name=name.strip(),
        secret_hash=hash_of(secret),
        rights=tuple(right for right in RIGHTS if right in rights),
        cohorts=None if cohorts is None else tuple(sorted(set(cohorts))),
        created_at=now.isoformat(timespec="microseconds"),
        expires_at=(now + dt.timedelta(days=days)).isoformat(timespec="microseconds"),
        replaces=replaces,
    )
    if connection is None:
        with records.write() as own:
            _write(records, key, actor, own)
    else:
        _write(records, key, actor, connection)
    return key, f"{PREFIX}_{key.id}_{secret}"


def revoke_key(records: RecordsDatabase, key_id: str, *, actor: str, reason: str) -> None:
    """Revoke a key, at once.

    Raises
    ------
    KeyRefused
        There is none, or it was revoked before.
    """
    with records.write() as connection:
        _revoke(records, connection, key_id, actor=actor, reason=reason, at=utc_now())


def rotate_key(
    records: RecordsDatabase, key_id: str, *, actor: str, days: int, grace_hours: float = 0.0
) -> tuple[ApiKey, str]:
    """Make a key with the rights of another one, which is revoked, at once or after some hours; errors as both."""
    if grace_hours < 0:
        raise KeyRefused("A key cannot be revoked in the past.", cure="Give 0 or more hours.")
    with records.write() as connection:
        old = next((key for key in _keys(connection, records) if key.id == key_id), None)
        if old is None:
            raise _unknown(key_id)
        made = make_key(
            records,
            name=old.name,
            rights=old.rights,
            cohorts=old.cohorts,
            days=days,
            actor=actor,
            replaces=old.id,
            connection=connection,
        )
        end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=grace_hours)
        at = end.isoformat(timespec="microseconds")
        _revoke(records, connection, key_id, actor=actor, reason=f"rotated; {made[0].id} follows", at=at)
    return made


def list_keys(records: RecordsDatabase) -> tuple[ApiKey, ...]:
    """Every key that the ledger vouches for, the oldest first; a row that it does not know is no key."""
    with records.read() as connection:
        return _keys(connection, records)


def newest_entry(records: RecordsDatabase) -> int:
    """Number of the ledger's newest entry: while it stays, keys do."""
    with records.read() as connection:
        return int(connection.execute(sa.select(sa.func.max(schema.ledger.c.seq))).scalar() or 0)


def hash_of(secret: str) -> str:
    """What is stored of a secret."""
    return parts_digest(secret.encode("utf-8", "surrogatepass"))


def _write(records: RecordsDatabase, key: ApiKey, actor: str, connection: sa.Connection) -> None:
    facts = ApiKeyFacts(event="made", id=key.id, terms=value_digest(key.terms()))
    entry = Ledger(records).append("api_key", actor=actor, facts=facts, connection=connection)
    terms = key.terms()
    cohorts = None if key.cohorts is None else json.dumps(terms["cohorts"])
    row = terms | {"rights": json.dumps(terms["rights"]), "cohorts": cohorts, "ledger_seq": entry.seq}
    connection.execute(schema.api_keys.insert().values(**row))


def _revoke(
    records: RecordsDatabase, connection: sa.Connection, key_id: str, *, actor: str, reason: str, at: str
) -> None:
    found = next((key for key in _keys(connection, records) if key.id == key_id), None)
    if found is None:
        raise _unknown(key_id)
    if found.revoked_from is not None and found.revoked_from <= at:
        raise KeyRefused(f"The key {key_id} was revoked before.", cure="clinical-assets keys list shows the others.")
    facts = ApiKeyFacts(event="revoked", id=key_id, start=at)
    Ledger(records).append("api_key", actor=actor, reason=reason, facts=facts, connection=connection)


def _keys(connection: sa.Connection, records: RecordsDatabase) -> tuple[ApiKey, ...]:
    rows, ledger = schema.api_keys, schema.ledger
    made: dict[str, tuple[str, int]] = {}
    revoked: dict[str, str] = {}
    for entry in connection.execute(sa.select(ledger).where(ledger.c.action == ACTION).order_by(ledger.c.seq)):
        facts = ApiKeyFacts.found(entry.facts)
        if facts is None or not is_vouched_for(connection, entry, records.settings):
            continue
        if facts.event == "made":
            made[facts.id] = (str(facts.terms), entry.seq)
        else:
            revoked[facts.id] = min(str(facts.start), revoked.get(facts.id, "9"))
    found = []
    for row in connection.execute(sa.select(rows).order_by(rows.c.ledger_seq)):
        key = ApiKey(
            id=row.id,
            name=row.name,
            secret_hash=row.secret_hash,
            rights=tuple(json.loads(row.rights)),
            cohorts=None if row.cohorts is None else tuple(json.loads(row.cohorts)),
            created_at=row.created_at,
            expires_at=row.expires_at,
            replaces=row.replaces,
            revoked_from=revoked.get(row.id),
        )
        if made.get(key.id) == (value_digest(key.terms()), row.ledger_seq):
            found.append(key)
    return tuple(found)


def _unknown(key_id: str) -> KeyRefused:
    return KeyRefused(f"There is no key {key_id}.", cure="clinical-assets keys list shows their ids.")
