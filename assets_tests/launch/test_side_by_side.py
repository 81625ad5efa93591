"""Cohorts side by side: each an ordinary run that fails alone, is named in words, and leaves its tables whole."""

from __future__ import annotations

import os

import dagster as dg
import pytest

from assets_tests.worlds.machine.graphs import files_that_hold
from assets_tests.worlds.team.cohorts import MARK, SUBJECTS
from assets_tests.worlds.team.runs import BROKEN, EVENTLESS, KILLED, SOUND, SideBySide, digests
from clinical_assets.foundation.settings import LOCK_PATIENCE, Settings
from clinical_assets.launch.cohort_run import CohortRun
from clinical_assets.launch.instance import open_instance
from clinical_assets.launch.side_by_side import materialize
from clinical_assets.warehouse.store.warehouse import Warehouse


def _run(side_by_side: SideBySide, cohort: str) -> CohortRun:
    return next(run for run in side_by_side.runs if run.cohort == cohort)


def test_one_broken_cohort_fails_alone_and_says_why_in_words(side_by_side: SideBySide) -> None:
    assert [(run.cohort, run.success) for run in side_by_side.runs] == [
        (SOUND, True),
        (SOUND, True),
        (BROKEN, False),
        (EVENTLESS, False),
        (KILLED, False),
    ]
    broken = _run(side_by_side, BROKEN)
    assert broken.failed_step == "record_validation"
    assert broken.error is not None
    for words in (
        f"Records of cohort {BROKEN} break its description; its validated tables were left as they were.",
        f"table subjects: 3 of {SUBJECTS} records were refused, 5 %; `refused_limit` is 1 %",
        "2 x duplicate_key of patient_id: record 3: one of 2 records with the same key that contradict each other",
        "1 x category of sex: record 6: 'male': not one of the categories f, m. If 'm' is meant, write it so",
        "table visits: 9 of 180 records were refused, 5 %",
        "9 x reference of patient_id: record 7: the record of subjects that it refers to was refused itself",
        "Cure: Correct the source or its description",
    ):
        assert words in broken.error
    for noise in ("Traceback", 'File "', MARK, str(side_by_side.data)):
        assert noise not in broken.error


def test_a_blocking_check_that_fails_stops_what_comes_after_it(side_by_side: SideBySide) -> None:
    run = _run(side_by_side, EVENTLESS)
    assert [(check.asset, check.check, check.severity) for check in run.checks] == [
        ("features", "outcome_has_every_class", "ERROR")
    ]
    assert run.error is not None
    assert run.error.startswith(
        "features fails its check outcome_has_every_class: no unit has the class 'dead'\n  Cure:"
    )
    with side_by_side.environment(), open_instance() as instance:
        states = {stats.step_key: stats.status for stats in instance.get_run_step_stats(run.run_id)}
    assert states["features"] is not None
    assert states["features"].value == "SUCCESS"
    assert states.get("cohort_overview") is None or states["cohort_overview"].value == "SKIPPED"
    tables = {f"{info.schema}.{info.name}" for info in side_by_side.cohort(EVENTLESS).warehouse.tables()}
    assert "model.features" in tables
    assert "marts.cohort_overview" not in tables


def test_each_run_is_stored_as_an_ordinary_run_of_its_partition(side_by_side: SideBySide) -> None:
    with side_by_side.environment(), open_instance() as instance:
        for told in side_by_side.runs:
            stored = instance.get_run_by_id(told.run_id)
            assert stored is not None
            assert stored.job_name == "ingest_cohort"
            assert stored.tags["dagster/partition"] == told.cohort
            assert stored.is_success == told.success
            assert stored.is_finished
        assert instance.get_runs_count() == len(side_by_side.runs)


def test_two_runs_of_one_cohort_queue_and_name_the_same_data(side_by_side: SideBySide) -> None:
    spans, versions = [], []
    with side_by_side.environment(), open_instance() as instance:
        for run in side_by_side.runs[:2]:
            stats = instance.get_run_step_stats(run.run_id)
            spans.append((min(s.start_time for s in stats), max(s.end_time for s in stats)))
            events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
            versions.append(
                {
                    event.asset_key.to_user_string(): event.materialization.tags["dagster/data_version"]
                    for event in events
                    if event.is_step_materialization
                    and event.asset_key is not None
                    and event.asset_key.path != ["cohort_overview"]
                }
            )
    (_, first_ends), (second_begins, _) = sorted(spans)
    assert first_ends <= second_begins
    assert versions[0] == versions[1]
    assert set(versions[0]) == {"raw_records", "validated_records", "quarantined_records", "features"}


def test_a_killed_process_fails_its_run_in_words_and_leaves_every_table_whole(side_by_side: SideBySide) -> None:
    run = _run(side_by_side, KILLED)
    assert run.error is not None
    assert "was killed, most often because memory ran out" in run.error
    assert "Cure: lower CLINICAL_ASSETS_MEMORY" in run.error
    with side_by_side.environment(), open_instance() as instance:
        stored = instance.get_run_by_id(run.run_id)
        assert stored is not None
        assert stored.status is dg.DagsterRunStatus.FAILURE
        assert any("was killed" in entry.message for entry in instance.all_logs(run.run_id))
    with side_by_side.environment():
        assert digests(side_by_side.cohort(KILLED)) == side_by_side.digests_before
    assert {'raw."visits"', 'validated."visits"', 'model."features"'} <= set(side_by_side.digests_before)


def test_nothing_is_written_outside_the_data_folder(side_by_side: SideBySide) -> None:
    assert side_by_side.written_elsewhere == set()
    assert (side_by_side.data / "dagster" / "history" / "runs.db").exists()


def test_no_identifier_is_in_dagsters_files_whatever_failed(side_by_side: SideBySide) -> None:
    assert files_that_hold(side_by_side.data / "warehouse", MARK)
    assert files_that_hold(side_by_side.data / "dagster", MARK) == []


def test_a_run_that_waits_too_long_for_its_cohort_names_who_holds_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCK_PATIENCE, "0")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with Warehouse("heart_disease", settings).exclusive():
        (run,) = materialize(["heart_disease"], job="ingest_cohort", workers=1, progress=lambda *_: None)
    assert not run.success
    assert run.error is not None
    assert run.error.startswith(
        f"Waited 0 s for cohort 'heart_disease'; process {os.getpid()} still holds it.\n  Cure:"
    )
    assert not Warehouse("heart_disease", settings).exists()


def test_progress_names_the_steps_while_they_go_on(side_by_side: SideBySide) -> None:
    assert "features" in side_by_side.steps_seen[KILLED]
    assert "record_validation" in side_by_side.steps_seen[BROKEN]
    assert side_by_side.steps_seen.keys() == {SOUND, BROKEN, EVENTLESS, KILLED}
