"""What the whole platform's state says, as samples: the audit ledger, and runs.

What belongs here: counting the ledger without reading it anew each time, and verifying it now and then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.verification_record import last_verification
from clinical_assets.observability.metrics.metrics import OTHER, RUN_STATES, MetricSample, bounded, sample
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import ACTIONS, Ledger
from clinical_assets.records.schema import ledger as table

#: Runs by job and state; handed in, because this room does not know what runs them.
RunCounts = Callable[[], Mapping[tuple[str, str], int]]
VERIFY_EVERY_S = 900.0
_log = logging.getLogger(__name__)


class LedgerTally:
    """Counts of the audit ledger: each reading looks at new entries only."""

    def __init__(self, records: RecordsDatabase) -> None:
        self._records = records
        self._clear()

    def _clear(self) -> None:
        self.length = 0
        self._actions: Counter[str] = Counter()
        # The newest entry of each cohort and action: number and time.
        self._newest: dict[tuple[str, str], tuple[int, str]] = {}

    def refresh(self) -> None:
        """Count what came since the last time; a ledger that became shorter is counted anew."""
        columns = (table.c.cohort, table.c.action, sa.func.count(), sa.func.max(table.c.seq), sa.func.max(table.c.at))
        with self._records.read() as connection:
            head = connection.execute(sa.select(sa.func.max(table.c.seq))).scalar() or 0
            if head < self.length:
                self._clear()
            query = sa.select(*columns).where(table.c.seq > self.length, table.c.seq <= head)
            found = connection.execute(query.group_by(table.c.cohort, table.c.action)).all()
        for cohort, action, count, seq, at in found:
            self._actions[action] += count
            if cohort is not None:
                self._newest[cohort, action] = (seq, at)
        self.length = head

    def newest(self, cohort: str, action: str) -> tuple[int, str] | None:
        """Number and time of a cohort's newest entry of an action."""
        return self._newest.get((cohort, action))

    def samples(self, cohorts: Iterable[str]) -> list[MetricSample]:
        """Length, entries by action, and when each cohort was last ingested."""
        made = sample("ledger_length", self.length)
        for action, count in self._actions.items():
            made += sample("ledger_entries", count, bounded(action, ACTIONS))
        for cohort in cohorts:
            found = self.newest(cohort, "ingestion")
            if found is not None:
                made += sample("newest_ingestion_timestamp_seconds", parse(found[1]).timestamp(), cohort)
        return made


class LedgerWatch:
    """Verifies the audit ledger in a thread of its own: it reads every entry, which no scrape can wait for."""

    def __init__(self, records: RecordsDatabase, *, every_s: float = VERIFY_EVERY_S) -> None:
        self._records, self._every_s = records, every_s
        self._last: list[MetricSample] = []
        self._end = threading.Event()

    def look(self) -> None:
        """Verify now. A ledger that cannot be read leaves no verdict, and a line in the log."""
        if not self._records.exists:
            self._last = []
            return
        try:
            found = Ledger(self._records).verify()
        except RecordsError as error:
            _log.warning("The audit ledger could not be verified: %s", error)
            self._last = []
            return
        if not found.intact:
            _log.error("The audit ledger is not intact: %s", found.problem)
        self._last = [
            *sample("ledger_intact", float(found.intact)),
            *sample("ledger_verified_timestamp_seconds", time.time()),
        ]

    def samples(self) -> list[MetricSample]:
        """What the last verification found; nothing before the first."""
        return self._last

    def start(self) -> None:
        """Verify now and again until `stop`."""

        def watch() -> None:
            while not self._end.is_set():
                self.look()
                self._end.wait(self._every_s)

        threading.Thread(target=watch, name="ledger watch", daemon=True).start()

    def stop(self) -> None:
        """End the thread after what it is at."""
        self._end.set()


def evidence(settings: Settings) -> list[MetricSample]:
    """What the newest verification of all evidence found; nothing before the first."""
    newest = last_verification(settings)
    if newest is None:
        return []
    return [
        *sample("evidence_intact", float(not newest.broken)),
        *sample("evidence_verified_timestamp_seconds", parse(newest.made_at).timestamp()),
    ]


def runs(counted: Mapping[tuple[str, str], int], jobs: Iterable[str]) -> list[MetricSample]:
    """Runs by job and state; jobs that nobody named are ``other``."""
    known = frozenset(jobs)
    return [
        each
        for (job, state), count in counted.items()
        for each in sample("runs", count, bounded(job, known), state if state in RUN_STATES else OTHER)
    ]
