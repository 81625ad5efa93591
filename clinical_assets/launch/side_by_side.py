"""Running a job for several cohorts at a time, and stopping it cleanly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import ClinicalAssetsError

if TYPE_CHECKING:
    import dagster as dg

from clinical_assets.foundation.settings import Settings
from clinical_assets.launch.cohort_run import CohortRun, RunEnded, RunProgress, StepState, failed, not_begun
from clinical_assets.launch.instance import open_instance
from clinical_assets.launch.worker import STOPS_WITHIN_S, Worker, run_cohort

POLL_S = 0.4


def materialize(
    cohorts: Sequence[str],
    *,
    job: str,
    workers: int,
    progress: RunProgress,
    ended: RunEnded | None = None,
    assets: Sequence[str] = (),
) -> list[CohortRun]:
    """Run ``job`` for every cohort, ``workers`` at a time, and say how each ended.

    Parameters
    ----------
    cohorts : sequence of str
        Names; each becomes one run.
    job : str
        Name of a job that is partitioned by cohort.
    workers : int
        Processes side by side.
    progress : callable
        Called with a cohort and the states of its steps while it runs.
    ended : callable, optional
        Called with how a cohort's run ended, as soon as it has.
    assets : sequence of str
        Only these assets of the job; all of them when empty.

    Returns
    -------
    list of CohortRun
        In the order of ``cohorts``. One cohort's failure, or the death of its process, leaves the others alone.
    """
    waiting: SimpleQueue[tuple[int, str]] = SimpleQueue()
    for place, cohort in enumerate(cohorts):
        waiting.put((place, cohort))
    results: dict[int, CohortRun] = {}

    from clinical_assets.dagster_private import new_run_id
    from clinical_assets.defs.shared.aftermath import clean_up_after
    from clinical_assets.run_liveness import end_died

    def serve(instance: dg.DagsterInstance, under_way: _UnderWay) -> None:
        worker = Worker()
        try:
            while True:
                try:
                    place, cohort = waiting.get_nowait()
                except Empty:
                    return
                run_id = new_run_id()
                started = time.monotonic()
                with under_way.one(run_id, worker):
                    future = worker.pool.submit(run_cohort, cohort, job, run_id, tuple(assets))
                    try:
                        _watch(future, instance, cohort, run_id, progress)
                        results[place] = future.result()
                    except (BrokenProcessPool, SystemExit):
                        results[place] = _died(
                            instance, cohort, run_id, time.monotonic() - started, stopped=under_way.stopped
                        )
                        worker = Worker()
                    except ClinicalAssetsError as error:
                        results[place] = failed(cohort, run_id, time.monotonic() - started, str(error))
                if ended is not None:
                    ended(results[place])
        finally:
            worker.pool.shutdown(cancel_futures=True)

    side_by_side = max(1, min(workers, len(cohorts)))
    with open_instance() as instance:
        # What was killed under an earlier command would keep its cohort busy.
        clean_up_after(instance, Settings.from_environment(), end_died(instance))
        under_way = _UnderWay(instance)
        with ThreadPoolExecutor(side_by_side) as threads, _term_like_interrupt():
            served = [threads.submit(serve, instance, under_way) for _ in range(side_by_side)]
            try:
                for each in served:
                    each.result()
            except KeyboardInterrupt:
                with suppress(Empty):
                    while True:
                        waiting.get_nowait()
                under_way.stop()
                for each in served:
                    each.result()
    return [results.get(place) or not_begun(cohort) for place, cohort in enumerate(cohorts)]


class _UnderWay:
    """The runs that go on, and how they are stopped."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._runs: dict[str, Worker] = {}
        self._mutex = threading.Lock()
        self.stopped = False

    @contextmanager
    def one(self, run_id: str, worker: Worker) -> Iterator[None]:
        """Count a run as under way for the time of the block."""
        with self._mutex:
            self._runs[run_id] = worker
        if self.stopped:
            worker.end(signal.SIGTERM)
        try:
            yield
        finally:
            with self._mutex:
                self._runs.pop(run_id)

    def stop(self) -> None:
        """Stop all: Dagster hears of it first, so that it records runs as canceled; who does not end is killed."""
        self.stopped = True
        with self._mutex:
            runs = dict(self._runs)
        for run_id, worker in runs.items():
            run = self._instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self._instance.report_run_canceling(run, "Stopped by a signal to the command line.")
            worker.end(signal.SIGTERM)
        ends_at = time.monotonic() + STOPS_WITHIN_S
        while time.monotonic() < ends_at:
            with self._mutex:
                left = [worker for run_id, worker in runs.items() if run_id in self._runs]
            if not left:
                return
            time.sleep(POLL_S)
        for worker in left:
            worker.end(signal.SIGKILL)


@contextmanager
def _term_like_interrupt() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does; the default would end this process and leave its workers."""

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(
    future: Future[CohortRun], instance: dg.DagsterInstance, cohort: str, run_id: str, progress: RunProgress
) -> None:
    while True:
        try:
            future.exception(timeout=POLL_S)
            done = True
        except NotYet:
            done = False
        if instance.has_run(run_id):
            stats = instance.get_run_step_stats(run_id)
            progress(
                cohort,
                tuple(StepState(s.step_key, s.status.value.lower() if s.status else "in_progress") for s in stats),
            )
        if done:
            return


def _died(instance: dg.DagsterInstance, cohort: str, run_id: str, seconds: float, *, stopped: bool) -> CohortRun:
    """The run of a process that is gone: because it was stopped, or killed by somebody else."""
    run = instance.get_run_by_id(run_id)
    going_on = run is not None and not run.is_finished
    if stopped:
        if run is not None and going_on:
            instance.report_run_canceled(run, "The process of this run was ended.")
        return failed(cohort, run_id, seconds, None, canceled=True)
    if run is not None and going_on:
        instance.report_run_failed(run, "The process that ran this cohort was killed.")
    return failed(
        cohort,
        run_id,
        seconds,
        "The process that ran this cohort was killed, most often because memory ran out. Tables keep their old "
        "content.\n  Cure: lower CLINICAL_ASSETS_MEMORY or run fewer cohorts side by side with --workers 1.",
    )
