"""Logins and refusals in the audit ledger, counted by window, so that whoever knocks a million times fills one entry.

What belongs here: counting, and entering what was counted. What does not: deciding.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.people import ApiAccessFacts
from clinical_assets.records.ledger.ledger import Ledger

WINDOW_S = 60.0
ACTOR = "automation:prediction-api"
#: Callers that one entry names; the others are added up.
_NAMED = 50
_log = logging.getLogger(__name__)


class AccessJournal:
    """Counts of one process; threads may count at the same time.

    Parameters
    ----------
    ledger : Ledger
        Where counts are entered.
    window_s : float
        Seconds of a window. A caller's logins are entered with the first window in which it asked, and then once per
        hour; refusals and administrative calls with every window that has some.
    """

    def __init__(self, ledger: Ledger, *, window_s: float = WINDOW_S) -> None:
        self._ledger, self._window_s = ledger, window_s
        self._mutex = threading.Lock()
        self._since = utc_now()
        self._refused: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._administrative: Counter[str] = Counter()
        self._entered: dict[str, str] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access journal", daemon=True)

    def start(self) -> None:
        """Begin to enter."""
        self._thread.start()

    def stop(self) -> None:
        """Enter what was counted and end."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self.enter()

    def refused(self, why: str) -> None:
        """Count a refusal by its kind; nothing that a caller wrote."""
        with self._mutex:
            self._refused[why] += 1

    def asked(self, key: str, *, administrative: bool = False) -> None:
        """Count a call of somebody who is known."""
        with self._mutex:
            self._asked[key] += 1
            if administrative:
                self._administrative[key] += 1

    def enter(self) -> None:
        """Enter the window that ends now, if it is worth an entry."""
        with self._mutex:
            until, hour = utc_now(), utc_now()[:13]
            new = [key for key in self._asked if self._entered.get(key) != hour]
            if not (self._refused or self._administrative or new):
                return
            facts = ApiAccessFacts(
                since=self._since,
                until=until,
                refused=_named(self._refused),
                asked=_named(self._asked),
                administrative=_named(self._administrative),
            )
            try:
                self._ledger.append("api_access", actor=ACTOR, facts=facts)
            except ClinicalAssetsError as error:
                # The counts stay and are entered with the next window.
                _log.warning("Logins and refusals were not entered: %s", error.message)
                return
            self._entered = {key: hour for key in (*self._entered, *new) if key in self._asked or key in new}
            for counter in (self._refused, self._asked, self._administrative):
                counter.clear()
            self._since = until

    def _run(self) -> None:
        while not self._ending.wait(self._window_s):
            self.enter()


def _named(counts: Counter[str]) -> dict[str, int]:
    first = counts.most_common(_NAMED)
    rest = counts.total() - sum(number for _, number in first)
    return {**dict(first), **({"others": rest} if rest else {})}
