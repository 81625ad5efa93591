"""A warm process: it executes one run after another, and says after each whether it may have the next.

Started by ``WarmPool`` as ``python -m clinical_assets.launch.warm.worker``. A line of its standard input is a run that
waits in an instance; a line of its standard output is a `Said`. When its starter is gone it finishes the run that it
has, and ends: Dagster and the tables hear of every run that was begun.
"""

from __future__ import annotations

import enum
import gc
import json
import os
import resource
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

from clinical_assets.dagster_private import DataFolderComputeLogs, execute_stored_run, instance_by_reference
from clinical_assets.foundation.settings import private_umask
from clinical_assets.launch.warm.code_state import CodeState
from clinical_assets.run_liveness import hold_run, release_run, stopped_when_asked

if TYPE_CHECKING:
    import dagster as dg


class Said(enum.StrEnum):
    """What a process says of the run that it was given."""

    #: The run holds its lock from now on.
    BEGUN = "begun"
    #: The run has ended; the process may have the next.
    READY = "ready"
    #: The run has ended, and so does the process: it has had many runs or is large.
    WORN = "worn"
    #: Code, descriptions or libraries changed; the run was not begun, and the process ends.
    STALE = "stale"


class _Worker:
    """Executes runs that wait in an instance."""

    def __init__(self, answers: TextIO, *, most_runs: int, most_megabytes: int) -> None:
        self._answers, self._most_runs, self._most_megabytes = answers, most_runs, most_megabytes
        self._code = CodeState()
        self._reference: str | None = None
        self._instance: dg.DagsterInstance | None = None
        self._runs = 0

    def say(self, said: Said) -> bool:
        """Tell the starter; False when it is gone."""
        try:
            self._answers.write(f"{said}\n")
            self._answers.flush()
        except BrokenPipeError:
            return False
        return True

    def serve(self, run_id: str, reference: str) -> Said:
        """Execute one run; returns what to say at its end."""
        if self._code.changed():
            return Said.STALE
        instance = self._opened(reference)
        with ExitStack() as held:
            hold_run(instance, run_id)
            held.callback(release_run)
            self.say(Said.BEGUN)
            held.enter_context(stopped_when_asked(instance, run_id))
            self._execute(instance, run_id)
        self._runs += 1
        if self._runs == 1:
            # Definitions and libraries stay; looking through them for garbage costs more than a short run.
            gc.collect()
            gc.freeze()
        return Said.WORN if self._runs >= self._most_runs or _peak_megabytes() > self._most_megabytes else Said.READY

    def _execute(self, instance: dg.DagsterInstance, run_id: str) -> None:
        import dagster as dg

        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "Stopped before its first step.")
            return
        module = (
            getattr(run.job_code_origin.repository_origin.code_pointer, "module", None) if run.job_code_origin else None
        )
        if module is not None:
            self._code.cover(module)
        execute_stored_run(instance, run_id)

    def _opened(self, reference: str) -> dg.DagsterInstance:
        if self._instance is None or reference != self._reference:
            if self._instance is not None:
                self._instance.dispose()
            self._instance, self._reference = instance_by_reference(reference), reference
        return self._instance


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Serve until the starter closes standard input, or one answer ends the process."""
    most_runs, most_megabytes = (int(each) for each in sys.argv[1:3])
    private_umask()
    # What steps print goes into the files of their run, between runs to the starter's terminal; never into answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    DataFolderComputeLogs.shown_on_terminal = False
    # Whoever wants a run to end asks for it (`ask_to_stop`); a signal for a run that is over means nothing.
    signal.signal(signal.SIGINT, lambda *_: None)
    worker = _Worker(answers, most_runs=most_runs, most_megabytes=most_megabytes)
    for line in sys.stdin:
        asked = json.loads(line)
        said = worker.serve(asked["run_id"], asked["instance"])
        if not worker.say(said) or said is not Said.READY:
            return


if __name__ == "__main__":
    main()
