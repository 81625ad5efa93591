"""Signing in and out of the pages: people of the installation, by the password that they sign with.

What belongs here: from a password to a session and from a cookie to a person. What does not: the proof itself
(``governance.signing.login``, which locks after five refused attempts), what a person may do (``visitors``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.login import PasswordAuthenticator
from clinical_assets.governance.signing.people import Person, list_people
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.facts.people import LogoutFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.serving.access.journal import ACTOR, AccessJournal
from clinical_assets.serving.access.key_door import READ_S, STALE_S, KeysUnavailable
from clinical_assets.serving.access.key_store import newest_entry
from clinical_assets.serving.access.rates import Rates, TooManyRequests
from clinical_assets.serving.pages.entrance.tokens import PageSession, PageTokens, new_name


class Sessions:
    """Who is signed in; threads may ask at the same time.

    Parameters
    ----------
    records : RecordsDatabase
        Where people and the ledger are.
    tokens : PageTokens
        Signs cookies.
    rates : Rates
        Limits: attempts per address, requests per person.
    read_s : float
        Seconds after which people are read again: who left, or signed out elsewhere, is refused so soon.
    """

    def __init__(
        self, records: RecordsDatabase, tokens: PageTokens, *, rates: Rates | None = None, read_s: float = READ_S
    ) -> None:
        self.records, self.tokens = records, tokens
        self.rates = rates or Rates()
        self.journal = AccessJournal(Ledger(records))
        self._read_s = read_s
        self._mutex = threading.Lock()
        self._one_at_a_time = asyncio.Lock()
        self._people: Mapping[str, Person] = {}
        self._ended: set[str] = set()
        self._newest = self._read_to = -1
        self._read_at = -1e9

    async def begin(self, login: str, password: str, *, address: str) -> PageSession:
        """Sign somebody in; the attempt is in the ledger.

        Raises
        ------
        Refused
            ``login_refused``, ``locked``.
        TooManyRequests
            Too many attempts from this address were refused.
        """
        try:
            self.rates.refuse_busy(address)
        except TooManyRequests:
            self.journal.refused("too many attempts")
            raise
        try:
            # One after the other: each takes 64 MiB for the hash.
            async with self._one_at_a_time:
                return await asyncio.to_thread(self._begun, login, password)
        except Refused:
            self.rates.count_refusal(address)
            raise

    def _begun(self, login: str, password: str) -> PageSession:
        person = PasswordAuthenticator(self.records, actor=ACTOR).authenticate(login, password)
        return PageSession(new_name(), person.login, str(person.public_key), time.time())

    def person(self, session: PageSession) -> Person | None:
        """Who a session is of; None where it ended, or the person may no longer sign.

        Raises
        ------
        TooManyRequests
            The person asks too often.
        KeysUnavailable
            People cannot be read now.
        """
        people = self._current()
        found = people.get(session.login)
        if found is None or not found.active or found.public_key != session.key or session.id in self._ended:
            return None
        self.rates.count(f"person:{found.login}")
        self.journal.asked(f"person:{found.login}")
        return found

    def anybody(self) -> bool:
        """Whether somebody could sign in at all."""
        return any(person.active for person in self._current().values())

    def end(self, session: PageSession) -> None:
        """Sign somebody out, everywhere."""
        self._ended.add(session.id)
        facts = LogoutFacts(login=session.login, session=session.id)
        Ledger(self.records).append("logout", actor=ACTOR, facts=facts)

    def _current(self) -> Mapping[str, Person]:
        with self._mutex:
            if time.monotonic() - self._read_at < self._read_s:
                return self._people
            try:
                newest = newest_entry(self.records)
                if newest != self._newest:
                    self._people = {person.login: person for person in list_people(self.records)}
                    self._ended |= self._ended_since()
                    self._newest = newest
                self._read_at = time.monotonic()
            except Refused as error:
                # The table of people was written by other means: nobody is let in.
                raise KeysUnavailable("People cannot be read now.", cure="Tell the operator.") from error
            except ClinicalAssetsError as error:
                if time.monotonic() - self._read_at > STALE_S:
                    raise KeysUnavailable("People cannot be read now.", cure="Ask again later.") from error
            return self._people

    def _ended_since(self) -> set[str]:
        entries = Ledger(self.records).entries(action="logout", after=self._read_to)
        found = set()
        for entry in entries:
            self._read_to = max(self._read_to, entry.seq)
            facts = LogoutFacts.found(entry.facts)
            if facts is not None:
                found.add(facts.session)
        return found
