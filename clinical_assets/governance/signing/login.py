"""Proving who somebody is, and unlocking the key that they sign with.

What belongs here: the proof by password, the lock after refused attempts, and what an identity provider must be able
to do. What does not: who people are (``people``), hashes (``passwords``), keys (``person_keys``).
"""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import sqlalchemy as sa

from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.passwords import check_password, nobody
from clinical_assets.governance.signing.people import LOGIN, Person, find_person
from clinical_assets.governance.signing.person_keys import PersonKey, open_key
from clinical_assets.records import schema
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.people import LoginFacts
from clinical_assets.records.ledger.ledger import Ledger

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
            facts = LoginFacts(login=shown, why=None if person else (_WRONG if until is None else _LOCKED))
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
        person = find_person(self._records, login, connection=connection)
        column = schema.people.c.password_hash
        kept = connection.execute(
            schema.people.select().with_only_columns(column).where(schema.people.c.login == login)
        )
        stored = kept.scalar_one_or_none()
        # Without a person something is checked all the same, so that time does not tell who exists.
        fits = check_password(stored or nobody(), secret)
        return person if fits and stored is not None and person is not None and person.active else None


def prove(
    records: RecordsDatabase,
    login: str,
    secret: str,
    *,
    actor: str,
    authenticator: Authenticator | None = None,
    now: dt.datetime | None = None,
) -> PersonKey:
    """Let somebody prove who they are, and unlock their key.

    Parameters
    ----------
    records : RecordsDatabase
        Where people and the ledger are.
    login, secret : str
        What was typed.
    actor : str
        Account in which it happens, for the ledger.
    authenticator : Authenticator, optional
        Who checks the secret; by default passwords.
    now : datetime, optional
        Time of the attempt; by default the present.

    Raises
    ------
    Refused
        ``login_refused``, ``locked``, ``no_key``, ``key_locked``.
    """
    door = authenticator or PasswordAuthenticator(records, actor=actor)
    person = door.authenticate(login, secret, now=now)
    with records.read() as connection:
        column = schema.people.c.private_key
        stored = connection.execute(sa.select(column).where(schema.people.c.login == person.login)).scalar_one_or_none()
    if person.public_key is None or stored is None:
        raise Refused(
            "no_key",
            f"{person.login} was entered before people had keys to sign with.",
            cure="Let an administrator set a new password, which makes a key: clinical-assets people password "
            f"{person.login} --as ADMINISTRATOR",
        )
    password = None if person.identity_provider is not None else secret
    return open_key(records.settings, person.login, public_key=person.public_key, stored=stored, password=password)


def _locked_until(connection: sa.Connection, login: str, now: dt.datetime) -> dt.datetime | None:
    """End of a lock that holds at ``now``, from the refused attempts of the last two windows."""
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
    wrong = LoginFacts(login=login, why=_WRONG)
    times = [at for row in rows if LoginFacts.found(row.facts) == wrong and (at := parse(row.at)) <= now]
    ends = [
        last + WINDOW
        for first, last in zip(times, times[ATTEMPTS - 1 :], strict=False)
        if last - first <= WINDOW and now < last + WINDOW
    ]
    return max(ends, default=None)
