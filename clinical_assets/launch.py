"""Cohorts side by side: one ordinary Dagster run per cohort in warm worker processes.

This adds to Dagster only what a terminal needs: processes that keep their imports from one cohort to the next, and
the state of each run while it goes on. Each run is stored in the same instance that the UI shows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import DATA, Settings

if TYPE_CHECKING:
    import dagster as dg

    from clinical_assets.governance.signatures import Signature

POLL_S = 0.4
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class StepState:
    """Where a run is: step name, and whether it goes on, is done or failed."""

    step: str
    state: str


@dataclass(frozen=True)
class CheckFailure:
    """A check that did not hold."""

    asset: str
    check: str
    severity: str
    description: str


@dataclass(frozen=True)
class CohortRun:
    """How one cohort's run ended."""

    cohort: str
    run_id: str
    success: bool
    seconds: float
    error: str | None
    failed_step: str | None
    checks: tuple[CheckFailure, ...]


Progress = Callable[[str, tuple[StepState, ...]], None]


class ReportFailed(ClinicalAssetsError):
    """Something that was done and kept, but that Dagster could not be told."""


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that the UI shows: ``DAGSTER_HOME`` if set, else the ``dagster.yaml`` here or the shipped.

    State follows ``CLINICAL_ASSETS_DATA`` in every case but that of a ``DAGSTER_HOME`` with a storage of its own.

    Raises
    ------
    ClinicalAssetsError
        When the data folder cannot be written, or Dagster's files in it cannot be used any more.
    """
    from sqlalchemy.exc import OperationalError

    data = Settings.from_environment().data
    home = data / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClinicalAssetsError(
            f"The data folder {data} cannot be written: {error.strerror}.",
            cure=f"Point {DATA} at a folder that this account may write.",
        ) from error
    try:
        with _instance(home) as instance:
            yield instance
    except OperationalError as error:
        raise ClinicalAssetsError(
            f"Dagster's store of runs cannot be read or written: {error.orig}.",
            cure=f"Free space on the disk of {data}, or end the process that holds the store, and run again.",
        ) from error


def _instance(home: Path) -> dg.DagsterInstance:
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    if os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.get()
    here = Path.cwd()
    # Inside the package when installed, beside it in a checkout.
    shipped = _PACKAGE if (_PACKAGE / "dagster.yaml").exists() else _PACKAGE.parent
    config = here if (here / "dagster.yaml").exists() else shipped
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), config_dir=str(config)))


def materialize(
    cohorts: Sequence[str], *, job: str, workers: int, progress: Progress, assets: Sequence[str] = ()
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

    def serve(instance: dg.DagsterInstance) -> None:
        pool = _pool()
        try:
            while True:
                try:
                    place, cohort = waiting.get_nowait()
                except Empty:
                    return
                run_id = _new_run_id()
                started = time.monotonic()
                future = pool.submit(_run, cohort, job, run_id, tuple(assets))
                try:
                    _watch(future, instance, cohort, run_id, progress)
                    results[place] = future.result()
                except BrokenProcessPool:
                    results[place] = _died(instance, cohort, run_id, time.monotonic() - started)
                    pool = _pool()
                except ClinicalAssetsError as error:
                    results[place] = _failed(cohort, run_id, time.monotonic() - started, str(error))
        finally:
            pool.shutdown(cancel_futures=True)

    with open_instance() as instance, ThreadPoolExecutor(max(1, min(workers, len(cohorts)))) as threads:
        try:
            for served in [threads.submit(serve, instance) for _ in range(max(1, min(workers, len(cohorts))))]:
                served.result()
        finally:
            # After Ctrl-C what runs is finished, and nothing new is begun.
            with suppress(Empty):
                while True:
                    waiting.get_nowait()
    return [results[place] for place in range(len(cohorts))]


def report_approval(signature: Signature) -> None:
    """Show a signature in Dagster: a materialisation of the external asset ``approval``, a rejection an observation.

    It only shows: whatever promotes asks the records again.

    Raises
    ------
    ReportFailed
        Dagster's store cannot be written; the signature is kept all the same.
    """
    import dagster as dg
    from dagster_shared.error import DagsterError
    from sqlalchemy.exc import SQLAlchemyError

    metadata = {
        "printed name": signature.printed_name,
        "role": signature.role,
        "kind": signature.kind,
        "meaning": signature.meaning,
        "signed at (UTC)": signature.signed_at,
        "valid until (UTC)": signature.expires_at,
        "dossier digest": signature.dossier_digest,
        "bundle digest": signature.bundle_digest,
        **{
            name: value
            for name, value in (
                ("gate", signature.gate),
                ("criterion", signature.criterion),
                ("reason", signature.reason),
            )
            if value is not None
        },
    }
    # A materialisation is what automation reacts to; nothing should follow from a rejection.
    kind = dg.AssetObservation if signature.kind == "rejection" else dg.AssetMaterialization
    event = kind(
        "approval",
        partition=signature.cohort,
        metadata=metadata,
        tags={"dagster/data_version": signature.dossier_digest},
    )
    try:
        with open_instance() as instance:
            instance.report_runless_asset_event(event)
    except (ClinicalAssetsError, DagsterError, SQLAlchemyError, OSError) as error:
        words = error.message if isinstance(error, ClinicalAssetsError) else f"{type(error).__name__}: {error}"
        raise ReportFailed(words, cure="Nothing needs to be signed again; promote from the command line.") from error


def _pool() -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process with DuckDB or OpenMP threads can hang. One worker a pool, so that a
    # killed process takes only its own cohort with it.
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_warm)


def _new_run_id() -> str:
    from dagster._core.utils import make_new_run_id

    return make_new_run_id()


def _warm() -> None:
    import signal

    # Ctrl-C reaches the whole group; the parent decides, the worker finishes its transaction.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(cohort: str, job: str, run_id: str, assets: tuple[str, ...]) -> CohortRun:
    import dagster as dg

    from clinical_assets.definitions import defs

    started = time.monotonic()
    with open_instance() as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            partition_key=cohort,
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name) for name in assets] or None,
            tags={"clinical_assets/started_by": "command line"},
            # The terminal shows the steps; the full log is in the UI.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
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
    return CohortRun(
        cohort=cohort,
        run_id=run_id,
        success=result.success,
        seconds=time.monotonic() - started,
        error=_told(ends[0], checks) if ends else None,
        failed_step=failures[0].step_key if failures else None,
        checks=checks,
    )


def _told(event: dg.DagsterEvent, checks: Sequence[CheckFailure]) -> str:
    """The words of a failure: what an asset or resource said of it, else the innermost exception without its stack."""
    import dagster as dg
    from dagster._core.errors import DagsterAssetCheckFailedError

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
    if error.cls_name == DagsterAssetCheckFailedError.__name__:
        broken = [check for check in checks if check.severity == "ERROR"]
        words = [f"{check.asset} fails its check {check.check}: {check.description}" for check in broken]
        return "\n".join(
            [*words, "  Cure: the check shows what it counted in the run; what comes after it was not made."]
        )
    return error.message.strip().removeprefix(f"{dg.Failure.__module__}.{dg.Failure.__name__}: ")


def _watch(
    future: Future[CohortRun], instance: dg.DagsterInstance, cohort: str, run_id: str, progress: Progress
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


def _died(instance: dg.DagsterInstance, cohort: str, run_id: str, seconds: float) -> CohortRun:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "The process that ran this cohort was killed.")
    return _failed(
        cohort,
        run_id,
        seconds,
        "The process that ran this cohort was killed, most often because memory ran out. Tables keep their old "
        "content.\n  Cure: lower CLINICAL_ASSETS_MEMORY or run fewer cohorts side by side with --workers 1.",
    )


def _failed(cohort: str, run_id: str, seconds: float, error: str) -> CohortRun:
    """A run that ended outside of its steps."""
    return CohortRun(
        cohort=cohort, run_id=run_id, success=False, seconds=seconds, error=error, failed_step=None, checks=()
    )
