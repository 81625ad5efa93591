"""Every morning each cohort with a champion is looked at once; sources are read again only where somebody wants it."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from assets_tests.worlds.ward.state import State
from clinical_assets.definitions import load
from clinical_assets.defs.automation.jobs import ingest_cohort, monitor_cohort
from clinical_assets.defs.automation.schedules import daily_monitoring, daily_verification, weekly_ingestion
from clinical_assets.defs.resources import Platform

FIRST, SECOND = "clinical_trial_dropout", "heart_disease"
MORNING = datetime(2030, 1, 6, 5, 0, tzinfo=UTC)


def requests(schedule: dg.ScheduleDefinition, *, at: datetime = MORNING) -> list[dg.RunRequest]:
    repository, resources = load().get_repository_def(), {"platform": Platform()}
    with dg.build_schedule_context(
        scheduled_execution_time=at, repository_def=repository, resources=resources
    ) as context:
        data = schedule.evaluate_tick(context)
    return list(data.run_requests or ())


def test_every_cohort_with_a_champion_is_monitored_once_a_day(state: State) -> None:
    assert requests(daily_monitoring) == []
    for cohort in (FIRST, SECOND):
        state.promote(cohort)
    found = requests(daily_monitoring)
    assert [each.partition_key for each in found] == [FIRST, SECOND]
    # A tick that comes late asks for the runs of its own day.
    late = requests(daily_monitoring, at=MORNING.replace(hour=5))
    assert [each.run_key for each in late] == [each.run_key for each in found]
    tomorrow = requests(daily_monitoring, at=MORNING.replace(day=7))
    assert not {each.run_key for each in tomorrow} & {each.run_key for each in found}
    assert all(each.tags["clinical_assets/schedule"] == "daily" for each in found)


def test_a_broken_pointer_keeps_no_other_cohort_from_being_watched(state: State) -> None:
    for cohort in (FIRST, SECOND):
        state.promote(cohort)
    (state.settings.serving / FIRST / "champion.json").write_text("[]")
    assert [each.partition_key for each in requests(daily_monitoring)] == [SECOND]


def test_only_cohorts_that_were_ingested_before_are_read_again(state: State) -> None:
    assert requests(weekly_ingestion) == []
    state.score(FIRST, tiers={})
    assert [each.partition_key for each in requests(weekly_ingestion)] == [FIRST]


@pytest.mark.parametrize(
    ("schedule", "job", "status"),
    [
        (daily_monitoring, monitor_cohort, dg.DefaultScheduleStatus.RUNNING),
        (weekly_ingestion, ingest_cohort, dg.DefaultScheduleStatus.STOPPED),
    ],
)
def test_schedules_are_known_to_dagster_with_their_job_and_first_state(
    schedule: dg.ScheduleDefinition, job: dg.UnresolvedAssetJobDefinition, status: dg.DefaultScheduleStatus
) -> None:
    known = load().get_repository_def().get_schedule_def(schedule.name)
    assert known.job_name == job.name
    assert known.default_status == status
    assert known.execution_timezone == "UTC"
    assert known.description


def test_assets_that_new_records_go_through_have_a_freshness_policy() -> None:
    with_policy = {spec.key.to_user_string() for spec in load().resolve_all_asset_specs() if spec.freshness_policy}
    assert with_policy == {"raw_records", "incoming_records", "scored_records", "prediction_log"}


def test_evidence_is_verified_once_a_day_once_anything_was_recorded(state: State) -> None:
    assert requests(daily_verification) == []
    state.ledger.append("login", actor="ann")
    (found,) = requests(daily_verification)
    assert found.partition_key is None
    assert found.run_key == "verify:2030-01-06"
    assert daily_verification.job.name == "verify_evidence"
    assert daily_verification.default_status is dg.DefaultScheduleStatus.RUNNING
