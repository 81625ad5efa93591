"""Scores of the model that does not answer, off the hot path: a thread of its own takes what was answered meanwhile.

What belongs here: the queue and its thread. What does not: what a score says (``arms``).

The queue is bounded: a server under a load that leaves no time for it goes on answering, and what was left out is
counted and shows in the reports as answers without a pair. Lines of a round share one flush.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle.record_scoring import TableRows
from clinical_assets.records.prediction_log.lines import LogEntry
from clinical_assets.records.prediction_log.writer import PredictionLog
from clinical_assets.serving.scoring.trials.arms import TrialPart, challenger_scores, shadow_entry
from clinical_assets.serving.scoring.trials.live_trials import LiveTrial

#: Waves that wait at most, and seconds between two rounds.
LARGEST, PAUSE_S = 2000, 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShadowRecord:
    """One record of a wave: where its answer stands."""

    place: tuple[Any, ...]
    part: TrialPart
    request: str
    key: str
    position: int
    record: str
    subject: str


@dataclass(frozen=True)
class ShadowWave:
    """Records that are scored together."""

    trial: LiveTrial
    tables: Mapping[str, TableRows]
    records: Sequence[ShadowRecord]


class ShadowScoring:
    """Scores waves later, and logs them.

    Parameters
    ----------
    log : PredictionLog
        Of the cohort.
    """

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self._waiting: queue.Queue[ShadowWave] = queue.Queue(LARGEST)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.left_out = 0

    def later(self, wave: ShadowWave) -> None:
        """Score a wave when there is time; nobody waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(wave)
        except queue.Full:
            self.left_out += len(wave.records)
            _log.warning("The shadow of %d answers was left out: too many wait.", self.left_out)

    def done(self) -> None:
        """Wait until nothing waits, nor is being scored."""
        self._waiting.join()

    def stop(self) -> None:
        """Score what waits, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            stopping = self._stopping.wait(PAUSE_S)
            self._round()
            if stopping:
                return

    def _round(self) -> None:
        entries: list[LogEntry] = []
        waves = 0
        while True:
            try:
                wave = self._waiting.get_nowait()
            except queue.Empty:
                break
            waves += 1
            entries += _scored(wave)
            time.sleep(0)  # whoever answers goes first
        try:
            if entries:
                self._log.append(entries)
        except ClinicalAssetsError as error:
            self.left_out += len(entries)
            _log.warning("The shadow of %d answers was not logged: %s", len(entries), error.message)
        finally:
            for _ in range(waves):
                self._waiting.task_done()


def _scored(wave: ShadowWave) -> list[LogEntry]:
    scores = challenger_scores(wave.trial, wave.tables) or {}
    return [
        shadow_entry(
            each.part,
            scores.get(each.place),
            bundle=wave.trial.bundle,
            request=each.request,
            key=each.key,
            position=each.position,
            record=each.record,
            subject=each.subject,
        )
        for each in wave.records
    ]
