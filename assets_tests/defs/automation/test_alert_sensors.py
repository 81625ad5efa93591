"""A run that failed and a report that turned reach a person by the sensors, once, without the words of the error."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from assets_tests.worlds.machine.receivers import WebSink
from assets_tests.worlds.ward.state import WARD, State
from clinical_assets.definitions import load
from clinical_assets.defs.automation import alert_sensors
from clinical_assets.defs.resources import Platform
from clinical_assets.defs.shared.run_tags import WAITS_FOR
from clinical_assets.foundation.settings import ALERT_URLS


@dg.op
def breaks() -> None:
    raise ValueError("SECRET-0001 has a value of 17")


@dg.job(tags={"dagster/partition": WARD})
def broken_job() -> None:
    breaks()


@dg.asset
def champion_model() -> None:
    raise dg.Failure("Nobody has signed.", metadata={WAITS_FOR: "1 signature of reviewer"}, allow_retries=False)


@dg.asset
def gate_verdicts() -> None: ...


@dg.asset_check(asset=gate_verdicts, name="security_gate", blocking=True)
def security_gate() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


def release_job(*assets: Any) -> dg.JobDefinition:
    """A job of the release whose last step cannot do its work."""
    defined = dg.Definitions(
        assets=[each for each in assets if not isinstance(each, dg.AssetChecksDefinition)],
        asset_checks=[each for each in assets if isinstance(each, dg.AssetChecksDefinition)],
        jobs=[dg.define_asset_job("release_job", tags={"dagster/partition": WARD})],
    )
    return defined.resolve_job_def("release_job")


@pytest.fixture(autouse=True)
def _receiver(state: State, web: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALERT_URLS, f"http://127.0.0.1:{web.port}/")


def fail(instance: dg.DagsterInstance, *, job: dg.JobDefinition = broken_job, **tags: str) -> None:
    """A run that fails, and the sensor that sees it."""
    result = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    event = next(each for each in result.all_events if each.is_run_failure)
    with dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=run,
        resources={"platform": Platform()},
    ) as context:
        alert_sensors.run_failures(context.for_run_failure())


def received(web: WebSink) -> list[dict[str, Any]]:
    return [alert for _, _, body in web.requests for alert in json.loads(body)["alerts"]]


def test_a_failed_run_is_told_of_once_a_day_and_step_without_the_words_of_its_error(
    state: State, instance: dg.DagsterInstance, web: WebSink
) -> None:
    for _ in range(2):
        fail(instance)
    (alert,) = received(web)
    assert alert["kind"] == "run_failed"
    assert alert["cohort"] == WARD
    assert alert["title"] == f"{WARD}: run of broken_job failed in step breaks"
    assert "SECRET" not in json.dumps(alert)
    (entry,) = state.ledger.entries(action="alert")
    assert entry.actor == "automation:alerts"


@pytest.mark.parametrize("assets", [(champion_model,), (gate_verdicts, security_gate)], ids=["waiting", "gate"])
def test_a_model_that_waits_for_people_and_a_gate_that_failed_are_no_failed_run(
    state: State, instance: dg.DagsterInstance, web: WebSink, assets: tuple[Any, ...]
) -> None:
    fail(instance, job=release_job(*assets))
    assert received(web) == []
    assert state.ledger.entries(action="alert") == ()


def test_a_run_that_is_tried_again_is_told_of_at_its_last_try(
    state: State, instance: dg.DagsterInstance, web: WebSink
) -> None:
    fail(instance, **{"dagster/will_retry": "true"})
    assert received(web) == []
    fail(instance, **{"dagster/will_retry": "false"})
    assert len(received(web)) == 1


def look(instance: dg.DagsterInstance) -> str:
    resources = {"platform": Platform()}
    with dg.build_sensor_context(instance=instance, definitions=load(), resources=resources) as context:
        found = alert_sensors.alerts(context)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def test_what_turned_is_told_of_once_and_what_could_not_be_sent_is_sent_later(
    state: State, instance: dg.DagsterInstance, web: WebSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(instance) == "0 new alerts, 0 delivered everywhere."
    state.report("drift_report", "drift")
    web.answers = [503]
    assert look(instance) == "1 new alerts, 0 delivered everywhere."
    assert look(instance) == "0 new alerts, 0 delivered everywhere."
    for path in (state.settings.alerts / "waiting").glob("*.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps({**told, "next_try": told["alert"]["at"]}))
    assert look(instance) == "0 new alerts, 1 delivered everywhere."
    assert [alert["kind"] for alert in received(web)] == ["drift"] * 2
    assert len(state.ledger.entries(action="alert")) == 1


def test_a_process_that_dies_before_it_noted_what_it_saw_sends_nothing_twice(
    state: State, instance: dg.DagsterInstance, web: WebSink
) -> None:
    look(instance)
    state.report("data_quality_report", "alarm")
    look(instance)
    (state.settings.alerts / "watched.json").unlink()
    look(instance)
    assert [alert["kind"] for alert in received(web)] == ["data_quality"]


def test_a_receiver_that_is_away_fails_no_tick(
    state: State, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALERT_URLS, "http://127.0.0.1:9/, nonsense")
    look(instance)
    state.report("performance_report", "worse")
    assert look(instance) == "1 new alerts, 0 delivered everywhere."
    fail(instance)
    assert len(list((state.settings.alerts / "waiting").glob("*.json"))) == 2
