"""The report on identifiers: what the description announces, what it does not, and who is named in logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.team.erasable import GONE, Erasable, erasable
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.safe_harbor.deidentify import deidentify, named_in_files, scan_cohort
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.workspace import Workspace


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, settings: Settings) -> Erasable:
    return erasable(tmp_path_factory, tmp_path, settings)


def test_described_identifiers_dates_and_notes_are_expected_in_validated_tables(made: Erasable) -> None:
    found = deidentify(Workspace(made.settings, made.catalogue).cohort(made.name))

    columns = {f"{each.relation}.{each.column}" for each in found.expected}
    assert {"validated.subjects.patient_id", "validated.visits.patient_id", "validated.subjects.admitted_on"} <= columns
    assert {each.relation for each in found.unexpected} <= {
        "model.features",
        "validated.subjects",
        f"reference.{'ab' * 8}",
    }
    assert {each.rule for each in found.unexpected} <= {"age over 89"}
    (entry,) = Ledger(RecordsDatabase(made.settings)).entries(action="deidentification")
    assert GONE not in str(entry.facts)


def test_what_a_feature_or_monitoring_table_must_not_hold_is_found_with_rows(made: Erasable) -> None:
    before = set(scan_cohort(made.spec, settings=made.settings))
    with made.warehouse.writer() as connection:
        connection.execute(
            "CREATE TABLE monitoring.letters AS SELECT patient_id, 'a@b.org' AS sent_to, DATE '2024-01-02' AS sent_on "
            "FROM model.features LIMIT 3"
        )

    found = set(scan_cohort(made.spec, settings=made.settings)) - before

    assert {(each.column, each.identifier_class, each.rows) for each in found} == {
        ("sent_to", "e-mail", 3),
        ("sent_on", "dates and ages", 3),
    }


def test_logs_event_stores_and_reports_that_name_subjects_are_found(made: Erasable) -> None:
    files, looked_at = named_in_files(made.spec, settings=made.settings)

    named = {each.file: each.subjects for each in files}
    # The log and the event store also name another subject.
    assert named["dagster/run.log"] == 2
    assert named["dagster/events.db"] == 2
    assert named[f"models/{made.name}/first/report/results.json"] == 1
    assert looked_at >= len(named)


def test_the_platforms_own_processing_times_are_expected_and_dates_that_somebody_put_there_are_not(
    made: Erasable,
) -> None:
    before = set(scan_cohort(made.spec, settings=made.settings))
    stamp, later = "2024-01-02T03:04:05.678901+00:00", "2024-01-03T03:04:05.678901+00:00"
    with made.warehouse.writer() as connection:
        connection.execute(
            f"CREATE OR REPLACE TABLE monitoring.scored_records AS SELECT patient_id, DATE '2024-01-02' AS index_date, "
            f"'{stamp}' AS scored_at FROM model.features LIMIT 3"
        )
        connection.execute(
            f"CREATE OR REPLACE TABLE monitoring.outcomes AS SELECT patient_id, '{later}' AS known_at "
            "FROM model.features LIMIT 3"
        )

    found = set(scan_cohort(made.spec, settings=made.settings)) - before
    assert {(each.relation, each.column) for each in found} == {("monitoring.scored_records", "index_date")}
    report = deidentify(Workspace(made.settings, made.catalogue).cohort(made.name))
    stamps = {(each.relation, each.column, each.rule) for each in report.expected if each.rule == "processing time"}
    assert stamps == {
        ("monitoring.scored_records", "scored_at", "processing time"),
        ("monitoring.outcomes", "known_at", "processing time"),
    }

    with made.warehouse.writer() as connection:
        connection.execute("UPDATE monitoring.outcomes SET known_at = '1941-05-06'")
    found = set(scan_cohort(made.spec, settings=made.settings)) - before
    assert ("monitoring.outcomes", "known_at") in {(each.relation, each.column) for each in found}
