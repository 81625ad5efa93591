"""A Dagster run has one MLflow run, which ends as the Dagster run does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from assets_tests.worlds.descriptions import minimal
from clinical_assets.defs.resources import Platform, as_dagster_failure
from clinical_assets.defs.shared.aftermath import clean_up_after
from clinical_assets.defs.shared.mlflow_tracking import RUN_TAG, MlflowTracking, close_stale
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.settings import TRACKING_URI, Settings
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.modelling.tracking.mlflow_runs import DAGSTER_RUN, PARENT, find_runs, open_run
from clinical_assets.modelling.tracking.mlflow_values import Candidate

COHORTS = dg.StaticPartitionsDefinition(["small_cohort", "other_cohort"])
Body = Callable[[Any], None]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Two described cohorts, and one store for all tests of this module, because its schema takes seconds."""
    catalogue = tmp_path_factory.mktemp("catalogue")
    for name in COHORTS.get_partition_keys():
        (catalogue / f"{name}.yaml").write_text(yaml.safe_dump(minimal(name=name), sort_keys=False))
    return Platform(data=str(tmp_path_factory.mktemp("data")), catalogue=str(catalogue))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster of its own."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests says."""
    monkeypatch.delenv(TRACKING_URI, raising=False)


def _settings(platform: Platform) -> Settings:
    return platform.cohort("small_cohort").settings


def _nothing(run: Any) -> None:
    """A step that says nothing."""


def _materialize(
    platform: Platform,
    instance: dg.DagsterInstance,
    *,
    first: Body = _nothing,
    second: Body = _nothing,
    untracked: Callable[[], None] = lambda: None,
    check: Callable[[], bool] = lambda: True,
    cohort: str = "small_cohort",
    raise_on_error: bool = False,
) -> tuple[bool, str]:
    """Two tracked steps, a blocking check on the second, and a step after them that is not tracked."""

    def body(context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking, do: Body) -> None:
        with as_dagster_failure(), mlflow.run(context, platform.cohort(context.partition_key)) as run:
            do(run)

    @dg.asset(partitions_def=COHORTS)
    def one(context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking) -> None:
        body(context, platform, mlflow, first)

    @dg.asset(partitions_def=COHORTS, deps=[one])
    def two(context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking) -> None:
        body(context, platform, mlflow, second)

    @dg.asset_check(asset=two, blocking=True)
    def holds() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=check())

    @dg.asset(partitions_def=COHORTS, deps=[two])
    def three() -> None:
        untracked()

    known = {run.run_id for run in instance.get_runs()}
    try:
        success = dg.materialize(
            [one, two, holds, three],
            partition_key=cohort,
            instance=instance,
            resources={"platform": platform, "mlflow": MlflowTracking()},
            raise_on_error=raise_on_error,
            run_config=QUIET,
        ).success
    except (dg.Failure, dg.DagsterError, ClinicalAssetsError, KeyboardInterrupt):
        success = False
    (made,) = [run.run_id for run in instance.get_runs() if run.run_id not in known]
    return success, made


def _states(platform: Platform, dagster_run_id: str, cohort: str = "small_cohort") -> list[str]:
    found = find_runs(_settings(platform), cohort=cohort, dagster_run_id=dagster_run_id)
    return [run.info.status for run in found]


def _raising(error: BaseException) -> Callable[..., Any]:
    def body(*_: object) -> None:
        raise error

    return body


def test_steps_of_a_run_write_into_one_run_that_is_finished_at_the_end(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    seen: list[str] = []

    def first(run: Any) -> None:
        seen.append(run.run_id)
        run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": 0.7})])
        assert run.client.get_run(run.run_id).info.status == "RUNNING"

    def second(run: Any) -> None:
        seen.append(run.run_id)
        run.record_metrics({"auroc": 0.71})

    still_open: list[str] = []

    def untracked() -> None:
        still_open.extend(_states(platform, instance.get_runs()[0].run_id))

    success, made = _materialize(platform, instance, first=first, second=second, untracked=untracked)
    assert success
    assert still_open == ["RUNNING"]
    (found,) = find_runs(_settings(platform), cohort="small_cohort", dagster_run_id=made)
    assert seen == [found.info.run_id] * 2
    assert found.info.status == "FINISHED"
    assert found.info.run_name == f"small_cohort {made[:8]} (synthetic)"
    assert found.data.metrics == {"auroc": 0.71}
    assert (found.data.tags[DAGSTER_RUN], found.data.tags["cohort"]) == (made, "small_cohort")
    run = instance.get_run_by_id(made)
    assert run is not None
    assert run.tags[RUN_TAG] == found.info.run_id
    store = mlflow_store.client(_settings(platform))
    children = store.search_runs([found.info.experiment_id], f"tags.`{PARENT}` = '{found.info.run_id}'")
    assert [child.info.status for child in children] == ["FINISHED"]


@pytest.mark.parametrize("raise_on_error", [False, True])
@pytest.mark.parametrize(
    "failing",
    [
        {"first": _raising(InsufficientData("2 events."))},
        {"second": _raising(ZeroDivisionError())},
        {"untracked": _raising(dg.Failure("no"))},
        {"check": lambda: False},
        {"second": _raising(KeyboardInterrupt())},
    ],
    ids=["first tracked step", "second tracked step", "step that is not tracked", "blocking check", "interrupt"],
)
def test_whatever_fails_the_run_is_closed_as_failed(
    platform: Platform, instance: dg.DagsterInstance, failing: dict[str, Any], raise_on_error: bool
) -> None:
    success, made = _materialize(platform, instance, **failing, raise_on_error=raise_on_error)
    assert not success
    assert _states(platform, made) == ["FAILED"]


def test_runs_of_one_process_do_not_write_into_each_other(platform: Platform, instance: dg.DagsterInstance) -> None:
    cohorts = ("small_cohort", "other_cohort", "small_cohort")
    made = [
        _materialize(
            platform,
            instance,
            cohort=cohort,
            first=lambda run, number=number: run.record_metrics({"number": number}),
            second=_raising(InsufficientData("2 events.")) if number == 0 else _nothing,
        )[1]
        for number, cohort in enumerate(cohorts)
    ]
    for number, (cohort, run_id) in enumerate(zip(cohorts, made, strict=True)):
        (found,) = find_runs(_settings(platform), cohort=cohort, dagster_run_id=run_id)
        assert found.data.metrics == {"number": number}
        assert found.info.status == ("FAILED" if number == 0 else "FINISHED")


def test_what_mlflow_itself_logs_goes_into_the_run_and_none_stays_active(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    import mlflow

    _, made = _materialize(platform, instance, second=lambda _: mlflow.log_metric("by_mlflow", 3.0))
    (found,) = find_runs(_settings(platform), cohort="small_cohort", dagster_run_id=made)
    assert found.data.metrics == {"by_mlflow": 3.0}
    assert mlflow.active_run() is None


def test_a_run_that_is_active_already_is_refused_and_left_alone(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    import mlflow

    foreign = open_run(_settings(platform), cohort="other_cohort", dagster_run_id="foreign-1", synthetic=True)
    mlflow.set_tracking_uri(mlflow_store.tracking_uri(_settings(platform)))
    mlflow.set_experiment("other_cohort")
    with mlflow.start_run(run_id=foreign.run_id):
        success, made = _materialize(platform, instance, first=lambda run: run.record_metrics({"mine": 1.0}))
    assert not success
    assert _states(platform, made) == []
    kept = foreign.client.get_run(foreign.run_id)
    assert kept.data.metrics == {}
    assert kept.data.tags[DAGSTER_RUN] == "foreign-1"


def test_a_run_whose_process_died_is_closed_by_the_next_training(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    @dg.asset
    def killed() -> None:
        raise dg.Failure("killed")

    dead = dg.materialize([killed], instance=instance, raise_on_error=False, run_config=QUIET).run_id
    for run_id in (dead, "unknown-to-this-dagster"):
        open_run(_settings(platform), cohort="small_cohort", dagster_run_id=run_id, synthetic=True)
    _materialize(platform, instance)
    assert _states(platform, dead) == ["FAILED"]
    assert _states(platform, "unknown-to-this-dagster") == ["RUNNING"]
    assert close_stale(instance, _settings(platform), "small_cohort") == ()


def test_whoever_ends_a_run_without_a_process_closes_its_mlflow_run_and_sweeps_what_it_left(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    @dg.asset
    def killed() -> None:
        raise dg.Failure("killed")

    settings = _settings(platform)
    dead = dg.materialize([killed], instance=instance, raise_on_error=False, run_config=QUIET).run_id
    opened = open_run(settings, cohort="small_cohort", dagster_run_id=dead, synthetic=True)
    left = settings.data / "models" / ".bundle-1-0123456789abcdef"
    left.mkdir(parents=True)
    left.with_name(f"{left.name}.lock").touch()
    (run,) = instance.get_runs(dg.RunsFilter(run_ids=[dead]))
    clean_up_after(instance, settings, [])
    assert left.exists()
    clean_up_after(instance, settings, [run])  # without the tag it never was tracked
    assert _states(platform, dead) == ["RUNNING"]
    assert not left.exists()
    instance.add_run_tags(dead, {RUN_TAG: opened.run_id, "dagster/partition": "small_cohort"})
    (run,) = instance.get_runs(dg.RunsFilter(run_ids=[dead]))
    clean_up_after(instance, settings, [run])
    assert _states(platform, dead) == ["FAILED"]


def test_a_step_that_is_tried_again_and_succeeds_leaves_a_finished_run(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    tries: list[str] = []

    @dg.asset(partitions_def=COHORTS, retry_policy=dg.RetryPolicy(max_retries=1))
    def shaky(context: dg.AssetExecutionContext, platform: Platform, mlflow: MlflowTracking) -> None:
        with mlflow.run(context, platform.cohort(context.partition_key)) as run:
            tries.append(run.run_id)
            run.record_parameters({"C": 1.0})
            if len(tries) == 1:
                raise OSError("the disk was away")

    made = dg.materialize(
        [shaky],
        partition_key="small_cohort",
        instance=instance,
        resources={"platform": platform, "mlflow": MlflowTracking()},
        run_config=QUIET,
    )
    assert made.success
    assert len(tries) == 2
    assert len(set(tries)) == 1
    assert _states(platform, made.run_id) == ["FINISHED"]


def test_what_mlflow_refuses_is_told_with_a_cure(platform: Platform, instance: dg.DagsterInstance) -> None:
    def changed(run: Any) -> None:
        run.record_parameters({"C": 1.0})
        run.record_parameters({"C": 2.0})

    success, made = _materialize(platform, instance, first=changed)
    assert not success
    (failure,) = instance.all_logs(made, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert "did not keep" in str(failure.dagster_event.step_failure_data.user_failure_data.description)


def test_the_resource_without_dagster_says_how_to_run_it(platform: Platform) -> None:
    with (
        pytest.raises(ClinicalAssetsError, match="has not been started"),
        MlflowTracking().run(dg.build_asset_context(), platform.cohort("small_cohort")),
    ):
        pass


def test_definitions_and_runs_that_track_nothing_do_not_import_mlflow(tmp_path: Path) -> None:
    program = f"""
import sys
import dagster as dg
from clinical_assets.defs.shared.mlflow_tracking import MlflowTracking

@dg.asset
def plain(mlflow: MlflowTracking) -> None: ...

assert dg.materialize([plain], resources={{"mlflow": MlflowTracking()}}, run_config={QUIET!r}).success
print("mlflow" in sys.modules, "dagster_mlflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["False", "False"]
