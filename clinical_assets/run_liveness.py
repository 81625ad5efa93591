"""Which runs have a process: each run holds a lock while it works, and one whose lock is free has died.

What belongs here: taking that lock, asking for it, stopping the process that holds it, and ending runs in Dagster whose
process is gone. What does not: when somebody looks (the run launcher, a sensor, the command line).

Dagster calls a run started until its process says otherwise. A process that was killed, or that went down with the
machine, never does: its run keeps a place in the queue and its cohort busy. The lock is the operating system's and ends
with the process, however that ends; a number of a process would be another's after a restart. It covers one machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from clinical_assets.foundation import locks
from clinical_assets.foundation.errors import ClinicalAssetsError

#: Tag of a run that was ended because its process was gone; the value is the moment, UTC.
PROCESS_GONE_TAG = "clinical_assets/process_gone"
#: Tag of runs that the command line starts; they hold their lock before Dagster knows them.
STARTED_BY_TAG = "clinical_assets/started_by"
#: What is said of such a run.
GONE = (
    "The process of this run is gone: it was killed, memory ran out, or the machine went down. Tables hold what they "
    "held before the step that was under way."
)
# Between the event that a run began and its lock lie milliseconds, on a busy machine seconds.
_TAKES_LOCK_WITHIN_S = 20.0
#: Seconds in which a run that is stopped comes to its end; then its process is killed.
STOPS_WITHIN_S = 30.0
_LOOKS_EVERY_S = 0.25
_PACKAGE = __name__.split(".")[0]
_UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_mine = threading.local()


def lock_of(instance: dg.DagsterInstance, run_id: str) -> Path:
    """The file by whose lock a run shows that it has a process."""
    return Path(instance.root_directory) / "running" / f"{run_id}.lock"


def hold_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Hold a run's lock until its process ends, this thread begins another run, or `release_run` is called.

    Not just for the time of the steps: the lock must outlive the event by which Dagster learns how the run ended.
    Asking again for the same run changes nothing.
    """
    if getattr(_mine, "run_id", None) == run_id:
        return
    release_run()
    held = contextlib.ExitStack()
    path = lock_of(instance, run_id)
    held.enter_context(locks.hold(path, wanted=f"run {run_id}", patience_s=60.0, error=ClinicalAssetsError))
    # Nobody else wants it, so it can go while it is held; a run that has ended leaves nothing to look through.
    held.callback(path.unlink, missing_ok=True)
    _mine.run_id, _mine.held = run_id, held


def release_run() -> None:
    """Give back the lock that this thread holds, if any."""
    held: contextlib.ExitStack | None = getattr(_mine, "held", None)
    _mine.run_id = _mine.held = None
    if held is not None:
        held.close()


def ask_to_stop(instance: dg.DagsterInstance, run_id: str) -> None:
    """Ask the process of a run to stop it, from whichever process of this machine; it cancels the run.

    A file, not a signal to a number: a worker that has just begun its next run must not lose that one instead.
    """
    wish = _wish(instance, run_id)
    wish.parent.mkdir(parents=True, exist_ok=True)
    wish.touch()


@contextlib.contextmanager
def stopped_when_asked(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """For the time of the block, stop this process's run when somebody asks (`ask_to_stop`).

    It interrupts the main thread, which is where runs are executed. A run that does not end then, because a library
    does not let Python in, is killed with its process; tables hold what they held before the step.
    """
    wish, over = _wish(instance, run_id), threading.Event()

    def look() -> None:
        while not over.wait(_LOOKS_EVERY_S):
            if wish.exists():
                os.kill(os.getpid(), signal.SIGINT)
                if not over.wait(STOPS_WITHIN_S):
                    os.kill(os.getpid(), signal.SIGKILL)
                return

    looks = threading.Thread(target=look, name="stopped_when_asked", daemon=True)
    looks.start()
    try:
        yield
    finally:
        over.set()
        # A signal that was sent comes before the next run begins.
        looks.join()
        wish.unlink(missing_ok=True)


def _wish(instance: dg.DagsterInstance, run_id: str) -> Path:
    return lock_of(instance, run_id).with_suffix(".stop")


def has_died(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run that Dagster calls started has no process any more.

    A run of somebody else's code in the same instance holds no lock; nothing is said of it.
    """
    if run.status not in _UNDER_WAY:
        return False
    path = lock_of(instance, run.run_id)
    if path.exists():
        return not locks.is_held(path)
    if STARTED_BY_TAG in run.tags:
        return True
    if run.job_code_origin is None or _PACKAGE not in run.job_code_origin.repository_origin.code_pointer.describe():
        return False
    record = instance.get_run_record_by_id(run.run_id)
    began = None if record is None else record.start_time
    return began is not None and datetime.now(UTC).timestamp() - began > _TAKES_LOCK_WITHIN_S


def died(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that Dagster calls started although their process is gone."""
    return [run for run in instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)) if has_died(instance, run)]


def end_died(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """End these runs in Dagster, so that they keep no place; the runs ended. Locks of finished runs are removed."""
    ended = []
    for run in died(instance):
        now = end_gone(instance, run.run_id)
        if now is not None:
            ended.append(now)
    for path in _free_locks(instance):
        run_of = instance.get_run_by_id(path.stem)
        if run_of is None or run_of.is_finished:
            for litter in (path, path.with_suffix(".holder"), path.with_suffix(".stop")):
                litter.unlink(missing_ok=True)
    return ended


def end_gone(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    """End one run whose process is gone; None when another process has done it since, or the run was deleted."""
    now = instance.get_run_by_id(run_id)
    if now is None or now.is_finished:
        return None
    mark_gone(instance, now)
    if now.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(now, GONE)
    else:
        instance.report_run_failed(now, GONE)
    return now


def mark_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Say with a tag that a run did not fail but lost its process; alerts and pages read it."""
    instance.add_run_tags(run.run_id, {PROCESS_GONE_TAG: datetime.now(UTC).isoformat(timespec="seconds")})


def _free_locks(instance: dg.DagsterInstance) -> Iterator[Path]:
    folder = lock_of(instance, "any").parent
    for path in sorted(folder.glob("*.lock")) if folder.is_dir() else ():
        if not locks.is_held(path):
            yield path
