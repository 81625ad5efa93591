"""Dagster's queue of runs, which looks again the moment a warm process is free."""

from __future__ import annotations

import threading
import time
from typing import Any

import dagster as dg

from clinical_assets.dagster_private import DEQUEUES, look_at_backfills_every
from clinical_assets.launch.warm.launcher import WarmRunLauncher

#: Seconds until the queue is looked at without a reason: a person or a sensor may have put a run there.
LOOKS_EVERY_S = 1.0
#: Seconds between two looks at backfills, instead of Dagster's 30.
LOOKS_AT_BACKFILLS_EVERY_S = 5


class PromptRunQueue(dg.QueuedRunCoordinator):
    """Dagster's `QueuedRunCoordinator` with another pause between two looks at the queue.

    Dagster's pause is fixed, and half a second at least: with two runs at once that is four short runs per second at
    most. This one ends when a run has ended in a warm process. Limits, priorities and settings are Dagster's own.
    """

    _looked = False

    def __init__(self, *settings: Any, **named_settings: Any) -> None:
        super().__init__(*settings, **named_settings)
        look_at_backfills_every(LOOKS_AT_BACKFILLS_EVERY_S)

    @property
    def dequeue_interval_seconds(self) -> int:
        """No pause of the daemon's own."""
        return 0

    @property
    def dequeue_use_threads(self) -> bool:
        """As configured; the daemon asks once per look, when it knows what to start."""
        self._looked = True
        return super().dequeue_use_threads

    def get_run_queue_config(self) -> Any:
        """Limits of the queue; the daemon's thread asks at the beginning of each look, and waits here for a reason."""
        if self._looked and threading.current_thread().name == DEQUEUES:
            self._looked = False
            launcher = self._instance.run_launcher
            if isinstance(launcher, WarmRunLauncher):
                launcher.wait_until_one_is_free(LOOKS_EVERY_S)
            else:
                time.sleep(LOOKS_EVERY_S)
        return super().get_run_queue_config()
