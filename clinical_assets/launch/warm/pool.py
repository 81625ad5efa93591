"""The warm processes of one launcher: who is free, who has which run, and what becomes of a run whose process died."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from clinical_assets.launch.warm.worker import Said

_log = logging.getLogger(__name__)
# Dagster hears that a run ended milliseconds before its process is free.
_FREE_WITHIN_S = 5.0
_CHECKOUT = Path(__file__).parents[3]


class WarmPool:
    """Processes that execute one run at a time each, and stay for the next.

    How many runs go on at once is the matter of Dagster's queue, not of the pool: it starts a process whenever none is
    free. It keeps `kept` of them at most.

    Parameters
    ----------
    lost : callable
        Called with the id of a run whose process died; from a thread of the pool.
    kept : int
        Processes that stay when they have no run.
    idle_s : float
        Seconds without a run after which a process ends.
    most_runs, most_megabytes : int
        A process is replaced after so many runs, or when its memory has been larger than that.
    """

    def __init__(
        self, *, lost: Callable[[str], None], kept: int, idle_s: float, most_runs: int, most_megabytes: int
    ) -> None:
        self._lost, self._kept, self._idle_s = lost, kept, idle_s
        self._limits = (str(most_runs), str(most_megabytes))
        self._changed = threading.Condition()
        #: Set whenever a process has ended a run; whoever waits for that clears it.
        self.freed = threading.Event()
        self._free: list[_Process] = []
        self._busy: set[_Process] = set()

    def run(self, run_id: str, instance: str) -> None:
        """Hand a run to a free process, or to a new one; returns at once, unless one is just about to be free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or len(self._busy) < self._kept, timeout=_FREE_WITHIN_S)
            process = self._free.pop() if self._free else None
            if process is None:
                process = _Process(self._limits, self._hear)
            self._busy.add(process)
        process.give(run_id, instance)

    def close(self) -> None:
        """Let go of every process: free ones end at once, others after their run."""
        with self._changed:
            for process in (*self._free, *self._busy):
                process.let_go()
            self._free.clear()

    def _hear(self, process: _Process, said: Said | None) -> None:
        """A process said something, or is gone (None)."""
        if said is Said.READY:
            with self._changed:
                self._busy.discard(process)
                if len(self._free) < self._kept:
                    self._free.append(process)
                    process.ends_after(self._idle_s, self._forget)
                else:
                    process.let_go()
                self._changed.notify_all()
            self.freed.set()
            return
        with self._changed:
            self._busy.discard(process)
            if process in self._free:
                self._free.remove(process)
            self._changed.notify_all()
        self.freed.set()
        if process.run is None:
            return
        run_id, instance = process.run
        if process.begun:
            _log.error("The process of run %s is gone.", run_id)
            self._lost(run_id)
        elif process.had_runs or said is Said.STALE:
            # It ended on its own account between two runs; a new one has no reason to.
            self.run(run_id, instance)
        else:
            _log.error("A process for run %s ended before it could begin the run; its words stand above.", run_id)
            self._lost(run_id)

    def _forget(self, process: _Process) -> bool:
        """Take a free process out; False when it has a run meanwhile."""
        with self._changed:
            if process not in self._free:
                return False
            self._free.remove(process)
            return True


class _Process:
    """One process and the thread that listens to it."""

    def __init__(self, limits: tuple[str, str], hear: Callable[[_Process, Said | None], None]) -> None:
        path = os.pathsep.join(part for part in (str(_CHECKOUT), os.environ.get("PYTHONPATH")) if part)
        # A session of its own: Ctrl-C at the daemon's terminal, or its end, is not the end of a run.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clinical_assets.launch.warm.worker", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
            text=True,
        )
        self._hear = hear
        #: The run that it has, and the instance in which that waits.
        self.run: tuple[str, str] | None = None
        self.begun = self.had_runs = False
        self._idle: threading.Timer | None = None
        threading.Thread(target=self._listen, name="warm_worker", daemon=True).start()

    def give(self, run_id: str, instance: str) -> None:
        """Hand over a run; if the process has just ended, its listener hears of that."""
        if self._idle is not None:
            self._idle.cancel()
        self.run, self.begun = (run_id, instance), False
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"run_id": run_id, "instance": instance}) + "\n")
            self._process.stdin.flush()
        except OSError:
            _log.info("A free process was gone when run %s came.", run_id)

    def let_go(self) -> None:
        """Give it no more runs: it ends after the one that it has."""
        if self._idle is not None:
            self._idle.cancel()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def ends_after(self, seconds: float, forget: Callable[[_Process], bool]) -> None:
        """Let go of it when it has no run for so long."""
        self._idle = threading.Timer(seconds, lambda: self.let_go() if forget(self) else None)
        self._idle.daemon = True
        self._idle.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = Said(line.strip())
            if said is Said.BEGUN:
                self.begun = self.had_runs = True
                continue
            if said is Said.STALE:
                self._process.wait()
                self._hear(self, said)
                return
            self.run = None
            if said is Said.READY:
                self._hear(self, said)
        self._process.wait()
        self._hear(self, None)
