"""Proving who somebody is: passwords today, an identity provider behind the same protocol.

What belongs here: hashing, checking, and the lock after refused attempts. What does not: who people are (``people``).

Hashes are argon2id with the parameters of RFC 9106 (low memory), the default of argon2-cffi. Minimum length without
rules of composition follows NIST SP 800-63B.
"""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Protocol

from clinical_assets.governance.people import LOGIN, Person, find_person
from clinical_assets.governance.refusal import Refused

if TYPE_CHECKING:
    import sqlalchemy as sa
    from argon2 import PasswordHasher

    from clinical_assets.records.database import RecordsDatabase

MINIMUM_LENGTH, _MAXIMUM_LENGTH = 12, 1024
ATTEMPTS = 5
WINDOW = dt.timedelta(minutes=15)
# What happened at a refused attempt, as the ledger has it. Only wrong passwords count towards the lock: otherwise
# whoever keeps trying could keep a person out for ever.
_WRONG, _LOCKED = "wrong", "locked"


class Authenticator(Protocol):
    """Whatever can prove who somebody is; every attempt leaves an entry in the ledger."""

    def authenticate(self, login: str, secret: str, *, now: dt.datetime | None = None) -> Person:
        """The person whose secret it is.

        Raises
        ------
        Refused
            It is not, or the person is locked or inactive.
        """


class PasswordAuthenticator:
    """Proof by password.

    Parameters
    ----------
    records : RecordsDatabase
        Where people and the ledger are.
    actor : str
        Account in which the attempt is made, for the ledger.
    """

    def __init__(self, records: RecordsDatabase, *, actor: str) -> None:
        self._records, self._actor = records, actor

    def authenticate(self, login: str, secret: str, *, now: dt.datetime | None = None) -> Person:
        """The active person whose password it is; five refused attempts in 15 minutes lock for 15 minutes.

        Raises
        ------
        Refused
            ``login_refused`` without saying what was wrong, or ``locked`` with the time of its end.
        """
        from clinical_assets.records.ledger import Ledger

        moment = now or dt.datetime.now(dt.UTC)
        # What was typed as a login may be a password; only what can be a login is written down.
        shown = login if LOGIN.fullmatch(login) else None
        ledger = Ledger(self._records)
        # One transaction from counting to writing: attempts side by side are counted one after the other.
        with self._records.write() as connection:
            until = None if shown is None else _locked_until(connection, shown, moment)
            person = None
            if until is None:
                person = self._proven(connection, login, secret)
            facts = {"login": shown, "why": None if person else (_WRONG if until is None else _LOCKED)}
            ledger.append("login" if person else "login_refused", actor=self._actor, facts=facts, connection=connection)
        if until is not None:
            raise Refused(
                "locked",
                f"{login} is locked after {ATTEMPTS} refused attempts until {until.isoformat(timespec='seconds')}.",
                cure="Wait until then. If it was not you who tried, tell whoever administers the installation.",
            )
        if person is None:
            raise Refused(
                "login_refused",
                "Login and password do not belong together, or the person may no longer sign.",
                cure=f"Try again; {ATTEMPTS} refused attempts in {WINDOW.seconds // 60} minutes lock the person.",
            )
        return person

    def _proven(self, connection: sa.Connection, login: str, secret: str) -> Person | None:
        from clinical_assets.records import schema

        person = find_person(self._records, login, connection=connection)
        column = schema.people.c.password_hash
        kept = connection.execute(
            schema.people.select().with_only_columns(column).where(schema.people.c.login == login)
        )
        stored = kept.scalar_one_or_none()
        # Without a person something is checked all the same, so that time does not tell who exists.
        fits = check_password(stored or _nobody(), secret)
        return person if fits and stored is not None and person is not None and person.active else None


def hash_password(password: str, *, login: str) -> str:
    """The argon2id hash of a new password.

    Raises
    ------
    Refused
        ``weak_password``: shorter than 12 characters, longer than 1,024, or made of the login.
    """
    if len(password) < MINIMUM_LENGTH:
        why = f"has fewer than {MINIMUM_LENGTH} characters"
    elif len(password) > _MAXIMUM_LENGTH:
        why = f"has more than {_MAXIMUM_LENGTH} characters"
    elif not password.casefold().replace(login.casefold(), "").strip() or len(set(password)) < 3:
        why = "is the login or one letter over and over"
    else:
        return _hasher().hash(_normal(password))
    raise Refused("weak_password", f"The password {why}.", cure="Take a sentence that only its owner knows.")


def check_password(stored: str, password: str) -> bool:
    """Whether a password belongs to a hash."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > _MAXIMUM_LENGTH:
        return False
    try:
        return _hasher().verify(stored, _normal(password))
    except InvalidHashError as error:
        raise Refused("bad_hash", "The stored password hash cannot be read.", cure="Set the password again.") from error
    except VerificationError:
        return False


def _locked_until(connection: sa.Connection, login: str, now: dt.datetime) -> dt.datetime | None:
    """End of a lock that holds at ``now``, from the refused attempts of the last two windows."""
    from clinical_assets.records import schema
    from clinical_assets.records.clock import parse

    table = schema.ledger
    # Straight from the table: the ledger's own reader would bring every refused login there ever was.
    rows = connection.execute(
        table.select()
        .with_only_columns(table.c.at, table.c.facts)
        .where(
            table.c.cohort.is_(None),
            table.c.action == "login_refused",
            table.c.at >= (now - 2 * WINDOW).astimezone(dt.UTC).isoformat(timespec="microseconds"),
        )
        .order_by(table.c.seq)
    ).all()
    facts = [(parse(row.at), json.loads(row.facts)) for row in rows]
    times = [at for at, fact in facts if fact.get("login") == login and fact.get("why") == _WRONG and at <= now]
    ends = [
        last + WINDOW
        for first, last in zip(times, times[ATTEMPTS - 1 :], strict=False)
        if last - first <= WINDOW and now < last + WINDOW
    ]
    return max(ends, default=None)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    """Hash of nobody's password."""
    import secrets

    return _hasher().hash(secrets.token_hex(32))


def _normal(password: str) -> bytes:
    # One keyboard writes an umlaut as one character, another as two; a terminal may hand over halves of characters.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
