"""One MLflow run for one Dagster run, through dagster-mlflow.

``dagster_mlflow.mlflow_tracking`` (0.29.27) opens its run with the resource, before any step and under one experiment
for all; finds it by tag, so that two processes can make two; writes into a foreign run that is active in the thread;
and ends it only when an exception passes, which Dagster's executors prevent. Therefore the run is found or made here,
when a step first asks for it, in the cohort's experiment and under the cohort's lock, and its id is passed in; a
foreign run is refused; and the run is ended with the resource, as what the steps came to. The tag ``dagster_run_id``,
the active run for ``mlflow.log_...`` and MLflow's exit handler stay the work of dagster-mlflow.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.modelling.tracking.mlflow_runs import Ending, TrackedRun

RUN_TAG = "mlflow/run_id"


class MlflowTracking(dg.ConfigurableResource):
    """The MLflow run of the Dagster run at hand; it follows the settings of the cohort that asks.

    An asset with ``tracked=True`` gets the run as its third argument, opened before anything that can fail, so that a
    failure leaves a trace in MLflow too.
    """

    #: Open runs by cohort, each with the resource of dagster-mlflow around it; None outside of a Dagster run.
    _open: dict[str, tuple[TrackedRun, Any]] | None = PrivateAttr(default=None)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[MlflowTracking]:
        """Called by Dagster around all steps of a run (around each, where every step has a process of its own)."""
        self._open = {}
        try:
            yield self
        finally:
            opened, self._open = self._open, None
            with contextlib.ExitStack() as all_of_them:
                for run, resource in opened.values():
                    all_of_them.callback(_end, context, run, resource)

    @contextlib.contextmanager
    def run(self, context: dg.AssetExecutionContext, cohort: CohortHandle) -> Iterator[TrackedRun]:
        """The run to write into; made at the first call of a Dagster run, found at the next ones.

        Raises
        ------
        ClinicalAssetsError
            The store cannot be used, or the resource was not started by Dagster.
        """
        from mlflow.exceptions import MlflowException

        if self._open is None:
            raise ClinicalAssetsError(
                "The MLflow resource has not been started.", cure="Run the asset by dg.materialize or a job."
            )
        if cohort.name not in self._open:
            self._open[cohort.name] = _begin(context, cohort)
        try:
            yield self._open[cohort.name][0]
        except MlflowException as error:
            raise ClinicalAssetsError(
                f"MLflow did not keep what was given to it: {error.message}",
                cure="Look whether its store or server is reachable and writable; the run can be started again.",
            ) from error


def close_stale(instance: dg.DagsterInstance, settings: Settings, cohort: str) -> tuple[str, ...]:
    """End the MLflow runs of a cohort whose Dagster run is over but whose process could not say so.

    Every training does it for its cohort; whoever finds a dead process may do it at once. A run that this instance
    does not know is left alone: another instance may be at work on it.
    """
    from clinical_assets.modelling.tracking.mlflow_runs import close_stale_runs

    def ended(dagster_run_id: str) -> Ending | None:
        run = instance.get_run_by_id(dagster_run_id)
        if run is None or not run.is_finished:
            return None
        return "FINISHED" if run.is_success else "FAILED"

    return close_stale_runs(settings, cohort=cohort, ended=ended)


def _begin(context: dg.AssetExecutionContext, cohort: CohortHandle) -> tuple[TrackedRun, Any]:
    import mlflow
    from dagster_mlflow import mlflow_tracking

    from clinical_assets.modelling.tracking import mlflow_runs, mlflow_store

    mlflow_store.prepare_store(cohort.settings)
    close_stale(context.instance, cohort.settings, cohort.name)
    if (active := mlflow.active_run()) is not None:
        raise ClinicalAssetsError(
            f"The MLflow run {active.info.run_id} is active in this process, so that another would be written into it.",
            cure="End it with mlflow.end_run() before the assets run.",
        )
    synthetic = cohort.spec.synthetic
    run = mlflow_runs.open_run(
        cohort.settings, cohort=cohort.name, dagster_run_id=context.run.run_id, synthetic=synthetic
    )
    configured = mlflow_tracking.configured(
        {
            "experiment_name": mlflow_store.cohort_experiment(run.cohort),
            "mlflow_tracking_uri": mlflow_store.tracking_uri(run.settings),
            "mlflow_run_id": run.run_id,
            "env": {},
            "extra_tags": {"dagster_job": context.run.job_name},
        }
    )
    with warnings.catch_warnings():
        # It reads the Dagster run by names that Dagster has since changed.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Its end is ours to say, so it is left without waiting for its own.
        with dg.build_resources(
            {"mlflow": configured}, instance=context.instance, dagster_run=context.run, log_manager=context.log
        ) as resources:
            resource = resources.mlflow
    # dagster-mlflow names the run like the job, which tells runs of one job apart by nothing.
    name = mlflow_runs.run_name(cohort.name, run.dagster_run_id, synthetic=synthetic)
    run.client.update_run(run.run_id, name=name)
    context.instance.add_run_tags(run.dagster_run_id, {RUN_TAG: run.run_id})
    return run, resource


def _end(context: dg.InitResourceContext, run: TrackedRun, resource: Any) -> None:
    assert context.instance is not None
    steps = context.instance.get_run_step_stats(run.dagster_run_id)
    failed = any(step.status is not None and step.status.value == "FAILURE" for step in steps)
    resource.end_run(status="FAILED" if failed else "FINISHED")
