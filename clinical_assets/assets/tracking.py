"""One MLflow run for one Dagster run, through dagster-mlflow.

How ``dagster_mlflow.mlflow_tracking`` 0.29.27 behaves, and what is done about it here:

- It starts its run when the resource starts, before any step, under one experiment name for all runs, and it imports
  MLflow (4 s) with the definitions. Here it is built when a step first asks for the run, in the cohort's experiment.
- It looks for the run by tag and makes one if it finds none. Two processes that look at once make two, and a nested
  run with the same tag may be found instead. Here the run is found or made under the cohort's lock, and its id is
  passed in.
- Where another run is still active in the thread, it writes into that one, without a word. Here that is refused.
- It closes the run only when an exception passes through it, which Dagster's executors do not let happen. Its hook
  ``end_mlflow_on_run_finished`` closes the run after the last step of the job that is defined, not of the one that is
  selected, and knows nothing of failing checks. Here the run is closed when the resource ends, which is after the last
  step with Dagster's in-process executor, and as what the steps of the Dagster run came to.

The identity (tag ``dagster_run_id``), the active run for ``mlflow.log_...`` and MLflow's exit handler stay its work.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from clinical_assets.assets.resources import Cohort
from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.modelling.mlflow_runs import Ending, TrackedRun

RUN_TAG = "mlflow/run_id"


class MlflowTracking(dg.ConfigurableResource):
    """The MLflow run of the Dagster run at hand.

    It follows the settings of the cohort that asks and needs none of its own. An asset asks for the run first, before
    anything that can fail, so that a failure leaves a trace in MLflow too::

        @dg.asset(...)
        def risk_model(context, platform: Platform, mlflow: MlflowTracking):
            cohort = platform.cohort(context.partition_key)
            with told(), mlflow.run(context, cohort) as run:
                run.record_metrics(...)
    """

    _runs: dict[str, _Open] | None = PrivateAttr(default=None)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[MlflowTracking]:
        """Called by Dagster around all steps of a run (around each, where every step has a process of its own)."""
        self._runs = {}
        try:
            yield self
        finally:
            opened, self._runs = list(self._runs.values()), None
            with contextlib.ExitStack() as all_of_them:
                for run in opened:
                    all_of_them.callback(run.close, context)

    @contextlib.contextmanager
    def run(self, context: dg.AssetExecutionContext, cohort: Cohort) -> Iterator[TrackedRun]:
        """The run to write into; made at the first call of a Dagster run, found at the next ones.

        Raises
        ------
        ClinicalAssetsError
            The store cannot be used, or the resource was not started by Dagster.
        """
        if self._runs is None:
            raise ClinicalAssetsError(
                "The MLflow resource has not been started.", cure="Run the asset by dg.materialize or a job."
            )
        if cohort.name not in self._runs:
            self._runs[cohort.name] = _Open.begin(context, cohort)
        from mlflow.exceptions import MlflowException

        try:
            yield self._runs[cohort.name].run
        except MlflowException as error:
            raise ClinicalAssetsError(
                f"MLflow did not keep what was given to it: {error.message}",
                cure="Look whether its store or server is reachable and writable; the run can be started again.",
            ) from error


class _Open:
    """A run that is open in this process, with dagster-mlflow's resource around it."""

    def __init__(self, run: TrackedRun, resource: Any) -> None:
        self.run = run
        self.resource = resource

    @classmethod
    def begin(cls, context: dg.AssetExecutionContext, cohort: Cohort) -> _Open:
        from clinical_assets.modelling import mlflow_runs, mlflow_store

        synthetic = cohort.spec.synthetic
        mlflow_store.prepare_store(cohort.settings)
        close_stale(context.instance, cohort.settings, cohort.name)
        _refuse_foreign_run()
        run = mlflow_runs.open_run(
            cohort.settings, cohort=cohort.name, dagster_run_id=context.run.run_id, synthetic=synthetic
        )
        resource = _dagster_mlflow(context, run)
        # dagster-mlflow names the run like the job, which tells runs of one job apart by nothing.
        name = mlflow_runs.run_name(cohort.name, run.dagster_run_id, synthetic=synthetic)
        run.client.update_run(run.run_id, name=name)
        context.instance.add_run_tags(run.dagster_run_id, {RUN_TAG: run.run_id})
        return cls(run, resource)

    def close(self, context: dg.InitResourceContext) -> None:
        instance = context.instance
        assert instance is not None
        steps = instance.get_run_step_stats(self.run.dagster_run_id)
        failed = any(step.status is not None and step.status.value == "FAILURE" for step in steps)
        self.resource.end_run(status="FAILED" if failed else "FINISHED")


def close_stale(instance: dg.DagsterInstance, settings: Settings, cohort: str) -> tuple[str, ...]:
    """End the MLflow runs of a cohort whose Dagster run is over but whose process could not say so.

    Every training does it for its cohort; whoever finds a dead process may do it at once. A run that this instance
    does not know is left alone: another instance may be at work on it.
    """
    from clinical_assets.modelling.mlflow_runs import close_stale_runs

    def ended(dagster_run_id: str) -> Ending | None:
        run = instance.get_run_by_id(dagster_run_id)
        if run is None or not run.is_finished:
            return None
        return "FINISHED" if run.is_success else "FAILED"

    return close_stale_runs(settings, cohort=cohort, ended=ended)


def _dagster_mlflow(context: dg.AssetExecutionContext, run: TrackedRun) -> Any:
    """dagster-mlflow's resource on the run: it becomes the active one, with the Dagster run's id as its tag."""
    from dagster_mlflow import mlflow_tracking

    from clinical_assets.modelling.mlflow_store import cohort_experiment, tracking_uri

    configured = mlflow_tracking.configured(
        {
            "experiment_name": cohort_experiment(run.cohort),
            "mlflow_tracking_uri": tracking_uri(run.settings),
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
            return resources.mlflow


def _refuse_foreign_run() -> None:
    import mlflow

    active = mlflow.active_run()
    if active is not None:
        raise ClinicalAssetsError(
            f"The MLflow run {active.info.run_id} is active in this process, so that another would be written into it.",
            cure="End it with mlflow.end_run() before the assets run.",
        )
