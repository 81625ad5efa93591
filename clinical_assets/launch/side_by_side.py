"""Running a job for several cohorts at a time, and stopping it cleanly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import ClinicalAssetsError

if TYPE_CHECKING:
    import dagster as dg

    from clinical_assets.launch.due import DueAssets

from clinical_assets.foundation.settings import Settings
from clinical_assets.launch.cohort_run import CohortRun, RunEnded, RunProgress, StepState, failed, not_begun, unchanged
from clinical_assets.launch.instance import open_instance
from clinical_assets.launch.worker import Worker, run_cohort
from clinical_assets.run_liveness import STOPS_WITHIN_S

POLL_S = 0.4


def materialize(
    cohorts: Sequence[str],
    *,
    job: str,
    workers: int,
    progress: RunProgress,
    ended: RunEnded | None = None,
    assets: Sequence[str] = (),
    stale_only: bool = False,
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
    stale_only : bool
        Make only what would not come out as it is (``due``): first what changed itself, in one run, then what hangs on
        that, in a second one if something else came out. Of no use with ``assets``, which are made in any case.

    Returns
    -------
    list of CohortRun
        In the order of ``cohorts``; of a cohort with two runs the second, with the seconds of both. One
        cohort's failure, or the death of its process, leaves the others alone.
    """
    from clinical_assets.defs.shared.aftermath import clean_up_after
    from clinical_assets.run_liveness import end_died

    waiting: SimpleQueue[tuple[int, str]] = SimpleQueue()
    for place, cohort in enumerate(cohorts):
        waiting.put((place, cohort))
    results: dict[int, CohortRun] = {}
    side_by_side = max(1, min(workers, len(cohorts)))
    with open_instance() as instance:
        # What was killed under an earlier command would keep its cohort busy.
        clean_up_after(instance, Settings.from_environment(), end_died(instance))
        under_way = _UnderWay(instance)
        due = None
        if stale_only and not assets:
            from clinical_assets.launch.due import DueAssets

            due = DueAssets(instance, job)

        def serve() -> None:
            with closing(_Server(instance, under_way, job, tuple(assets), due, progress)) as server:
                while True:
                    try:
                        place, cohort = waiting.get_nowait()
                    except Empty:
                        return
                    results[place] = server.run(cohort)
                    if ended is not None:
                        ended(results[place])

        with ThreadPoolExecutor(side_by_side) as threads, _term_like_interrupt():
            served = [threads.submit(serve) for _ in range(side_by_side)]
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


class _Server:
    """Runs cohorts one after another in a worker of its own."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        under_way: _UnderWay,
        job: str,
        assets: tuple[str, ...],
        due: DueAssets | None,
        progress: RunProgress,
    ) -> None:
        self._instance, self._under_way = instance, under_way
        self._job, self._assets, self._due, self._progress = job, assets, due, progress
        # Started when there is something to do: a process costs seconds of imports.
        self._worker: Worker | None = None

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.pool.shutdown(cancel_futures=True)

    def run(self, cohort: str) -> CohortRun:
        """Make what is wanted of a cohort."""
        if self._due is None:
            return self._one_run(cohort, self._assets)
        started = time.monotonic()
        first = self._due.first(cohort)
        if not first.assets:
            return unchanged(cohort, time.monotonic() - started, first.standing)
        done = replace(self._one_run(cohort, first.assets), reasons=first.reasons)
        if not done.success or self._under_way.stopped:
            return done
        then = self._due.then(cohort)
        if not then.assets:
            return done
        rest = self._one_run(cohort, then.assets)
        return replace(
            rest,
            seconds=done.seconds + rest.seconds,
            checks=done.checks + rest.checks,
            reasons=first.reasons + then.reasons,
        )

    def _one_run(self, cohort: str, assets: tuple[str, ...]) -> CohortRun:
        from clinical_assets.dagster_private import new_run_id

        worker = self._worker = self._worker or Worker()
        run_id = new_run_id()
        started = time.monotonic()
        with self._under_way.one(run_id, worker):
            future = worker.pool.submit(run_cohort, cohort, self._job, run_id, assets, afresh=not assets)
            try:
                _watch(future, self._instance, cohort, run_id, self._progress)
                return future.result()
            except (BrokenProcessPool, SystemExit):
                self._worker = None
                seconds = time.monotonic() - started
                return _died(self._instance, cohort, run_id, seconds, stopped=self._under_way.stopped)
            except ClinicalAssetsError as error:
                return failed(cohort, run_id, time.monotonic() - started, str(error))


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
