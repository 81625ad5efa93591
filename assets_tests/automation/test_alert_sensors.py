"""A run that failed and a report that turned reach a person by the sensors, once, without the words of the error."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from assets_tests.serving.receivers import WebSink
from assets_tests.serving.state import WARD, State
from clinical_assets.automation import alert_sensors
from clinical_assets.definitions import defs
from clinical_assets.serving import alert_channels
from clinical_assets.settings import ALERT_URLS


@dg.op
def breaks() -> None:
    raise ValueError("SECRET-0001 has a value of 17")


@dg.job(tags={"dagster/partition": WARD})
def broken_job() -> None:
    breaks()


@pytest.fixture(autouse=True)
def _receiver(state: State, web: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALERT_URLS, f"http://127.0.0.1:{web.port}/")
    monkeypatch.setattr(alert_channels, "_PAUSE_S", 0.0)


def fail(instance: dg.DagsterInstance, **tags: str) -> Any:
    result = broken_job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    event = next(each for each in result.all_events if each.is_run_failure)
    return dg.build_run_status_sensor_context(
        sensor_name="run_failures", dagster_event=event, dagster_instance=instance, dagster_run=run
    ).for_run_failure()


def received(web: WebSink) -> list[dict[str, Any]]:
    return [alert for _, _, body in web.requests for alert in json.loads(body)["alerts"]]


def test_a_failed_run_is_told_of_once_a_day_and_step_without_the_words_of_its_error(
    state: State, instance: dg.DagsterInstance, web: WebSink
) -> None:
    for _ in range(2):
        alert_sensors.run_failures(fail(instance))
    (alert,) = received(web)
    assert alert["kind"] == "run_failed"
    assert alert["cohort"] == WARD
    assert alert["title"] == f"{WARD}: run of broken_job failed in step breaks"
    assert "SECRET" not in json.dumps(alert)
    (entry,) = state.ledger.entries(action="alert")
    assert entry.actor == "automation:alerts"


def test_a_run_that_is_tried_again_is_told_of_at_its_last_try(
    state: State, instance: dg.DagsterInstance, web: WebSink
) -> None:
    alert_sensors.run_failures(fail(instance, **{"dagster/will_retry": "true"}))
    assert received(web) == []
    alert_sensors.run_failures(fail(instance, **{"dagster/will_retry": "false"}))
    assert len(received(web)) == 1


def look(instance: dg.DagsterInstance) -> str:
    found = alert_sensors.alerts(dg.build_sensor_context(instance=instance, definitions=defs))
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def test_what_turned_is_told_of_once_and_what_could_not_be_sent_is_sent_later(
    state: State, instance: dg.DagsterInstance, web: WebSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(instance) == "0 new alerts, 0 delivered everywhere."
    state.report("drift_report", "drift")
    web.answers = [503, 503]
    assert look(instance) == "1 new alerts, 0 delivered everywhere."
    assert look(instance) == "0 new alerts, 0 delivered everywhere."
    for path in (state.settings.alerts / "waiting").glob("*.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps({**told, "next_try": told["alert"]["at"]}))
    assert look(instance) == "0 new alerts, 1 delivered everywhere."
    assert [alert["kind"] for alert in received(web)] == ["drift"] * 3
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
    alert_sensors.run_failures(fail(instance))
    assert len(list((state.settings.alerts / "waiting").glob("*.json"))) == 2
