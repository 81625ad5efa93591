"""A worker process: it runs cohorts one after another, and ends with whoever started it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from multiprocessing import connection
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

from clinical_assets.launch.cohort_run import CheckFailure, CohortRun
from clinical_assets.launch.instance import open_instance
from clinical_assets.run_liveness import STOPS_WITHIN_S


class Worker:
    """One process that runs cohorts, one after another.

    Spawned, not forked: a fork of a process with DuckDB or OpenMP threads can hang. One process per pool, so that a
    killed one takes only its own cohort with it.
    """

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(
            max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_warm
        )
        self._pid = self.pool.submit(os.getpid)

    def end(self, sent: signal.Signals) -> None:
        """Send a signal to the process, if it still lives."""
        with suppress(ProcessLookupError, BrokenProcessPool):
            os.kill(self._pid.result(), sent)


def _warm() -> None:
    # A session of its own: Ctrl-C reaches the parent alone, which tells Dagster before it stops the worker.
    os.setsid()

    def ended(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    # Both: while a run goes on, Dagster gives SIGTERM the handler of SIGINT, and puts it back afterwards.
    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGTERM, ended)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collect_seldom()


def collect_seldom() -> None:
    """Look for cyclic garbage a hundred times less often than Python does by itself.

    The libraries of a training are some million objects that stay: every full search through them takes half a second,
    and makes up a tenth of a small cohort. What a run leaves in cycles is found a little later.
    """
    gc.set_threshold(70_000, 20, 20)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOPS_WITHIN_S)
    os._exit(1)


def run_cohort(cohort: str, job: str, run_id: str, assets: tuple[str, ...], *, afresh: bool = False) -> CohortRun:
    """Run a job, or some of its assets, for one cohort in this process.

    Parameters
    ----------
    cohort, job, run_id : str
        Of what, which job, and as which run of Dagster.
    assets : tuple of str
        Assets of the job; all where there are none.
    afresh : bool
        Take nothing over from an earlier training.
    """
    import dagster as dg

    from clinical_assets.dagster_private import listed_with_code_location
    from clinical_assets.definitions import load
    from clinical_assets.defs.shared.run_tags import AFRESH_TAG
    from clinical_assets.run_liveness import STARTED_BY_TAG, hold_run, release_run, stopped_when_asked

    started = time.monotonic()
    tags = {STARTED_BY_TAG: "command line", **listed_with_code_location()}
    # Nobody tries it again behind the back of whoever started it.
    tags |= {"dagster/max_retries": "0"} | ({AFRESH_TAG: "command line"} if afresh else {})
    with open_instance() as instance, ExitStack() as held:
        # Before Dagster knows the run, and until it knows how it ended.
        hold_run(instance, run_id)
        held.callback(release_run)
        held.enter_context(stopped_when_asked(instance, run_id))
        result = (
            load()
            .resolve_job_def(job)
            .execute_in_process(
                partition_key=cohort,
                instance=instance,
                run_id=run_id,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                tags=tags,
                # The terminal shows the steps; the full log is in the UI.
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )
        failures = [event for event in result.all_events if event.is_step_failure]
        ends = failures or [event for event in result.all_events if event.is_run_failure]
        checks = tuple(
            CheckFailure(
                asset=evaluation.asset_key.to_user_string(),
                check=evaluation.check_name,
                severity=evaluation.severity.value,
                description=evaluation.description or "",
            )
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed
        )
    if not gc.get_freeze_count():
        gc.freeze()  # what the first run has imported is not searched again
    return CohortRun(
        cohort=cohort,
        run_id=run_id,
        success=result.success,
        seconds=time.monotonic() - started,
        error=_words_of(ends[0], checks) if ends else None,
        failed_step=failures[0].step_key if failures else None,
        checks=checks,
        canceled=any(event.event_type is dg.DagsterEventType.RUN_CANCELED for event in result.all_events),
    )


def _words_of(event: dg.DagsterEvent, checks: Sequence[CheckFailure]) -> str:
    """The words of a failure: what an asset or resource said of it, else the innermost exception without its stack."""
    import dagster as dg

    from clinical_assets.dagster_private import CHECK_FAILED

    if event.is_step_failure:
        said = event.step_failure_data.user_failure_data
        if said is not None and said.description:
            return said.description
        error = event.step_failure_data.error
    else:
        error = event.job_failure_data.error
    while error is not None and error.cause is not None and error.cls_name != dg.Failure.__name__:
        error = error.cause
    if error is None:
        return event.message or "the run failed"
    if error.cls_name == CHECK_FAILED:
        broken = [check for check in checks if check.severity == "ERROR"]
        words = [f"{check.asset} fails its check {check.check}: {check.description}" for check in broken]
        return "\n".join(
            [*words, "  Cure: the check shows what it counted in the run; what comes after it was not made."]
        )
    return error.message.strip().removeprefix(f"{dg.Failure.__module__}.{dg.Failure.__name__}: ")
