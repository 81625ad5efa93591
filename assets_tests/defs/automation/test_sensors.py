"""A complete file starts one run, an update that is due starts one run; nothing else starts any."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets_tests.worlds.ward.state import DIGEST, OTHER_DIGEST, State
from clinical_assets.definitions import load
from clinical_assets.defs import partitions
from clinical_assets.defs.automation import sensors
from clinical_assets.defs.automation.jobs import monitor_cohort, recalibrate_model, train_cohort
from clinical_assets.defs.resources import Platform
from clinical_assets.defs.shared.run_tags import CAUSE_TAG, UPDATE_TAG
from clinical_assets.foundation.settings import INBOX_SETTLED
from clinical_assets.sources import inbox as inbox_files

# Partitions are listed when definitions load: cohorts that every process of these tests knows.
FIRST, SECOND = "clinical_trial_dropout", "heart_disease"


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None
) -> dg.SensorResult | dg.SkipReason:
    resources = {"platform": Platform()}
    with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=load(), resources=resources) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


class Sensor:
    """A sensor as the daemon holds it: the cursor of one tick is that of the next."""

    def __init__(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.sensor, self.instance, self.cursor = sensor, instance, None

    def tick(self) -> list[dg.RunRequest]:
        found = tick(self.sensor, self.instance, self.cursor)
        if isinstance(found, dg.SkipReason):
            return []
        self.cursor = found.cursor  # type: ignore[assignment]
        return list(found.run_requests or ())


@pytest.fixture
def inbox(state: State, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(sensors.inbox, instance)


@pytest.fixture
def updates(state: State, instance: dg.DagsterInstance) -> Sensor:
    return Sensor(sensors.model_updates, instance)


def busy(instance: dg.DagsterInstance, cohort: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name=monitor_cohort.name, status=status, tags={"dagster/partition": cohort})
    return instance.add_run(run)


def test_a_new_file_asks_for_one_run_of_its_cohort_and_the_same_file_for_none(state: State, inbox: Sensor) -> None:
    assert inbox.tick() == []
    state.drop("one.csv", cohort=FIRST)
    (request,) = inbox.tick()
    assert request.partition_key == FIRST
    assert request.tags["clinical_assets/inbox_files"] == "1"
    assert inbox.tick() == []


def test_the_run_key_is_the_same_for_the_same_file_so_that_a_lost_cursor_starts_no_second_run(
    state: State, inbox: Sensor
) -> None:
    state.drop("one.csv", cohort=FIRST)
    (first,) = inbox.tick()
    inbox.cursor = None
    (again,) = inbox.tick()
    assert first.run_key == again.run_key


def test_another_content_another_name_and_a_file_of_outcomes_are_each_news(state: State, inbox: Sensor) -> None:
    keys = set()
    for name, text in (("one.csv", "a\n1\n"), ("one.csv", "a\n22\n"), ("two.csv", "a\n1\n"), ("outcomes/x.csv", "a\n")):
        state.drop(name, cohort=FIRST, text=text)
        (request,) = inbox.tick()
        keys.add(request.run_key)
    assert len(keys) == 4


def test_files_that_are_not_complete_or_no_data_ask_for_nothing(
    state: State, inbox: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        ".hidden.csv",
        "_going.csv",
        "half.csv.part",
        "half.tmp",
        "Thumbs.db",
        "done/old.csv",
        "refused/bad.csv",
    ):
        path = state.settings.inbox / FIRST / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    assert inbox.tick() == []
    monkeypatch.setenv(INBOX_SETTLED, "3600")
    state.drop("still_growing.csv", cohort=FIRST)
    assert inbox.tick() == []


def test_a_cohort_of_which_a_run_goes_on_is_asked_for_when_it_has_ended(
    state: State, inbox: Sensor, instance: dg.DagsterInstance
) -> None:
    run = busy(instance, FIRST, dg.DagsterRunStatus.STARTED)
    for cohort in (FIRST, SECOND):
        state.drop("one.csv", cohort=cohort)
    assert [request.partition_key for request in inbox.tick()] == [SECOND]
    assert inbox.tick() == []
    instance.report_run_canceled(run)
    assert [request.partition_key for request in inbox.tick()] == [FIRST]


def test_thousands_of_files_are_one_run_at_a_time_until_the_inbox_is_empty(state: State, inbox: Sensor) -> None:
    folder = state.settings.inbox / FIRST
    folder.mkdir(parents=True)
    for number in range(1200):
        (folder / f"{number:05d}.csv").write_text("a\n1\n")
    asked = []
    while requests := inbox.tick():
        (request,) = requests
        asked.append(int(request.tags["clinical_assets/inbox_files"]))
        # What the run does: take a chunk in, move it away.
        for incoming in inbox_files.complete(state.settings, FIRST):
            inbox_files.set_aside(state.settings, FIRST, incoming)
    assert asked == [500, 500, 200]


def test_a_folder_that_no_description_knows_is_told_of_and_asks_for_nothing(
    state: State, inbox: Sensor, caplog: pytest.LogCaptureFixture
) -> None:
    state.drop("one.csv", cohort="nobody_described_me")
    resources = {"platform": Platform()}
    with dg.build_sensor_context(instance=inbox.instance, definitions=load(), resources=resources) as context:
        context.log.addHandler(caplog.handler)
        assert isinstance(sensors.inbox(context), dg.SkipReason)
    assert "nobody_described_me" in caplog.text
    state.drop("one.csv", cohort=FIRST)
    assert [request.partition_key for request in inbox.tick()] == [FIRST]


def test_many_cohorts_are_asked_for_in_portions_and_none_is_forgotten(
    state: State, inbox: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "MOST_REQUESTS", 3)
    names = partitions.cohorts().get_partition_keys()[:8]
    for name in names:
        state.drop("one.csv", cohort=name)
    portions = []
    while requests := inbox.tick():
        portions.append([str(request.partition_key) for request in requests])
    assert [len(portion) for portion in portions] == [3, 3, 2]
    assert sorted(name for portion in portions for name in portion) == sorted(names)


def test_the_cursor_forgets_cohorts_whose_inbox_is_empty(state: State, inbox: Sensor) -> None:
    path = state.drop("one.csv", cohort=FIRST)
    inbox.tick()
    path.unlink()
    state.drop("two.csv", cohort=SECOND)
    inbox.tick()
    assert list(json.loads(str(inbox.cursor))) == [SECOND]


def recommend(state: State, cohort: str, action: str, cause: str, **more: Any) -> None:
    state.report("update_recommendation", action, cohort, action=action, rule="closed_test", cause=cause, **more)


@pytest.mark.parametrize(
    ("action", "job"),
    [
        ("intercept", recalibrate_model.name),
        ("intercept_and_slope", recalibrate_model.name),
        ("refit", train_cohort.name),
    ],
)
def test_an_update_that_is_due_starts_the_run_that_makes_it_once_a_cause(
    state: State, updates: Sensor, action: str, job: str
) -> None:
    state.promote(FIRST)
    recommend(state, FIRST, action, "cause one")
    (request,) = updates.tick()
    assert (request.job_name, request.partition_key) == (job, FIRST)
    assert (request.tags[UPDATE_TAG], request.tags[CAUSE_TAG]) == (action, "cause one")
    assert request.tags["clinical_assets/rule"] == "closed_test"
    # The report is made again every day; its cause stays.
    recommend(state, FIRST, action, "cause one")
    assert updates.tick() == []
    recommend(state, FIRST, action, "cause two")
    (second,) = updates.tick()
    assert second.run_key != request.run_key
    updates.cursor = None
    (again,) = updates.tick()
    assert again.run_key == second.run_key


@pytest.mark.parametrize("action", ["none", "wait", "ask", "repair_data"])
def test_what_is_no_update_starts_nothing(state: State, updates: Sensor, action: str) -> None:
    state.promote(FIRST)
    recommend(state, FIRST, action, "a cause")
    assert updates.tick() == []


def test_a_recommendation_about_a_model_that_does_not_serve_starts_nothing(state: State, updates: Sensor) -> None:
    recommend(state, FIRST, "refit", "a cause")
    assert updates.tick() == []
    state.promote(FIRST, digest=OTHER_DIGEST)
    assert updates.tick() == []
    state.promote(FIRST, digest=DIGEST)
    assert len(updates.tick()) == 1


@pytest.mark.parametrize("ended", [False, True])
def test_a_recommendation_that_did_not_see_an_update_that_goes_on_or_ended_since_starts_nothing(
    state: State, updates: Sensor, instance: dg.DagsterInstance, ended: bool
) -> None:
    state.promote(FIRST)
    recommend(state, FIRST, "intercept", "before the update")
    run = dg.DagsterRun(
        job_name=recalibrate_model.name,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": FIRST, UPDATE_TAG: "intercept"},
    )
    instance.add_run(run)
    if ended:
        instance.report_run_canceled(run)
    assert updates.tick() == []
    # Another cohort's update is none of this one's business.
    state.promote(SECOND)
    recommend(state, SECOND, "intercept", "a cause")
    assert [request.partition_key for request in updates.tick()] == [SECOND]
    if ended:
        time.sleep(0.01)
        recommend(state, FIRST, "intercept", "after the update")
        assert [request.partition_key for request in updates.tick()] == [FIRST]


def test_a_broken_pointer_keeps_no_other_cohort_from_being_updated(state: State, updates: Sensor) -> None:
    for cohort in (FIRST, SECOND):
        state.promote(cohort)
        recommend(state, cohort, "refit", "a cause")
    (state.settings.serving / FIRST / "champion.json").write_text("[]")
    assert [request.partition_key for request in updates.tick()] == [SECOND]


def test_every_sensor_that_reacts_runs_from_the_start_and_says_what_it_does() -> None:
    for sensor in load().sensors or ():
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING, sensor.name
        assert sensor.description, sensor.name


def test_requests_of_a_sensor_name_jobs_and_partitions_that_exist(state: State, inbox: Sensor, updates: Sensor) -> None:
    state.drop("one.csv", cohort=FIRST)
    state.promote(SECOND)
    recommend(state, SECOND, "refit", "a cause")
    for sensor in (inbox, updates):
        for request in sensor.tick():
            job = load().resolve_job_def(request.job_name or monitor_cohort.name)
            assert job.partitions_def == partitions.cohorts()
            assert request.partition_key in partitions.cohorts().get_partition_keys()


def test_a_configured_platform_is_looked_at_by_sensors_and_not_the_folder_of_the_environment(
    state: State, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    state.drop("one.csv", cohort=FIRST)
    for data, asked in ((tmp_path / "elsewhere", []), (state.settings.data, [FIRST])):
        resources = {"platform": Platform(data=str(data))}
        with dg.build_sensor_context(instance=instance, definitions=load(), resources=resources) as context:
            found = sensors.inbox(context)
        requests = [] if isinstance(found, dg.SkipReason) else list(found.run_requests or ())
        assert [request.partition_key for request in requests] == asked
