"""From raw to validated: nothing lost, nothing doubled, and a refusal that says what to do."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from assets_tests.worlds.descriptions import minimal
from assets_tests.worlds.tables.trial_cohort import (
    SUBJECTS,
    VISITS,
    changed,
    cohort,
    findings,
    kept,
    sound,
    subjects,
    visits,
    warehouse_of,
)
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import ValidationFailed
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.report import Failure
from clinical_assets.warehouse.validation.validation import (
    ValidationReport,
    content_digest,
    pandera_schema,
    validate_cohort,
    validate_connection,
)

ONLY_SUBJECTS = cohort({"subjects": SUBJECTS})
NESTED = {"type": "string", "description": "A nested value."}
STRICT = cohort({"subjects": changed(SUBJECTS, refused_limit=0.05)})


def fill(warehouse: Warehouse, **tables: pl.DataFrame) -> None:
    with warehouse.writer() as connection:
        for name, frame in tables.items():
            connection.register("frame", frame)
            connection.execute(f'CREATE OR REPLACE TABLE raw."{name}" AS SELECT * FROM frame')
            connection.unregister("frame")


def failures_of(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> dict[str, Failure]:
    _, failures = validate_connection(spec, connection)
    return {failure.table: failure for failure in failures}


def test_sound_records_go_on_typed_and_the_report_counts_them(settings: Settings) -> None:
    warehouse = Warehouse("small_cohort", settings)
    fill(warehouse, subjects=subjects(("a", "1", " 50", "f", "2020-01-01"), ("b", "2", "-9", "m", None)))
    report = validate_cohort(ONLY_SUBJECTS, warehouse)
    table = report.tables["subjects"]
    assert (table.rows_in, table.rows_valid, table.rows_refused) == (2, 2, 0)
    assert table.missing_made == {"age_years": 1}
    frame = warehouse.query("FROM validated.subjects ORDER BY _row")
    assert frame["age_years"].to_list() == [50, None]
    assert frame.schema["admitted_date"] == pl.Date


def test_records_of_unknown_origin_are_named_by_their_content(settings: Settings) -> None:
    warehouse = Warehouse("small_cohort", settings)
    fill(warehouse, subjects=sound("a", "b"))
    report = validate_cohort(ONLY_SUBJECTS, warehouse)
    with warehouse.reader() as connection:
        assert report.digest == value_digest({"subjects": table_digest(connection, "validated.subjects")})


def test_too_many_refused_records_leave_the_old_table_whole_and_fill_the_quarantine(settings: Settings) -> None:
    warehouse = Warehouse("small_cohort", settings)
    fill(warehouse, subjects=sound("a", "b"))
    validate_cohort(STRICT, warehouse)
    fill(warehouse, subjects=subjects(("secret-7", "1", "999", "f", None), ("b", "2", "50", "f", None)))
    with pytest.raises(ValidationFailed) as failed:
        validate_cohort(STRICT, warehouse)
    assert warehouse.query("SELECT patient_id FROM validated.subjects ORDER BY ALL").rows() == [("a",), ("b",)]
    assert warehouse.query("SELECT _row FROM quarantine.records").rows() == [(1,)]
    assert warehouse.query("SELECT rule, value FROM quarantine.findings").rows() == [("range", "999")]
    message = str(failed.value)
    for part in ("table subjects", "1 of 2 records were refused, 50 %", "range of age_years", "record 1: '999'"):
        assert part in message
    assert failed.value.cure is not None
    leftovers = [table.name for table in warehouse.tables() if table.schema == "validated"]
    assert leftovers == ["subjects"]


def test_the_message_shows_no_value_of_an_identifier() -> None:
    columns = {**SUBJECTS["columns"]}
    columns["insurance_id"] = {**columns["insurance_id"], "pattern": "[0-9]+"}
    spec = cohort({"subjects": changed(SUBJECTS, columns=columns, refused_limit=0)})
    rows = [("Jane Doe", f"secret-{number}", "1", "f", None) for number in (1, 2)]
    connection = warehouse_of(subjects=subjects(*rows))
    failure = failures_of(spec, connection)["subjects"]
    assert "pattern of insurance_id: record 1" in failure.message
    assert "secret" not in failure.message
    assert "Jane" not in failure.message
    stored = connection.execute("SELECT count(*) FROM quarantine.findings WHERE value LIKE 'secret%'").fetchone()
    assert stored == (2,)


def test_a_share_of_refused_records_at_the_limit_passes_and_one_above_it_does_not() -> None:
    rows = [(f"p{i}", None, "50", "f", None) for i in range(19)]
    at_limit = warehouse_of(subjects=subjects(*rows, ("q", None, "999", "f", None)))
    assert failures_of(STRICT, at_limit) == {}
    above = warehouse_of(subjects=subjects(*rows[1:], ("q", None, "999", "f", None)))
    assert set(failures_of(STRICT, above)) == {"subjects"}


def test_a_table_of_which_no_record_is_left_fails_whatever_the_limit() -> None:
    connection = warehouse_of(subjects=subjects(("a", "1", "x", "f", None)))
    assert "1 of 1 records" in failures_of(ONLY_SUBJECTS, connection)["subjects"].message


def test_missing_columns_are_named_with_what_resembles_them_in_the_source() -> None:
    frame = sound("a").rename({"age_years": "AgeYears", "sex": "gender"})
    connection = warehouse_of(subjects=frame)
    message = failures_of(ONLY_SUBJECTS, connection)["subjects"].message
    assert "lacks 2 described columns: age_years (similar: AgeYears), sex" in message
    assert "gender" in message
    assert findings(connection) == [("subjects", None, name, "missing_column") for name in ("age_years", "sex")]


def test_a_column_that_differs_in_case_only_is_missing_and_named() -> None:
    message = failures_of(ONLY_SUBJECTS, warehouse_of(subjects=sound("a").rename({"sex": "Sex"})))["subjects"].message
    assert "sex (similar: Sex)" in message


def test_an_empty_table_and_one_that_was_never_ingested_are_failures_of_their_own() -> None:
    connection = warehouse_of(subjects=sound("a").clear())
    told = failures_of(cohort(), connection)
    assert "no records" in told["subjects"].message
    assert "raw_records" in told["visits"].cure


def test_everything_that_stops_a_cohort_is_told_in_one_message(settings: Settings) -> None:
    warehouse = Warehouse("small_cohort", settings)
    fill(warehouse, subjects=sound("a").drop("sex"), visits=visits())
    with pytest.raises(ValidationFailed, match=r"(?s)table subjects: .*sex.*table visits: the source has no records"):
        validate_cohort(cohort(), warehouse)


def test_undescribed_columns_are_reported_and_not_carried_on() -> None:
    connection = warehouse_of(subjects=sound("a").with_columns(pl.lit("x").alias("free text")))
    report, failures = validate_connection(ONLY_SUBJECTS, connection)
    assert report.tables["subjects"].undeclared == ("free text",)
    assert not failures
    assert "free text" not in connection.execute("FROM validated.subjects").pl().columns


def test_a_refused_record_is_kept_as_it_was_found() -> None:
    frame = sound("a", "b").with_columns(pl.Series("age_years", [" 1", " x "]), note=pl.lit('"'))
    connection = warehouse_of(subjects=frame)
    validate_connection(ONLY_SUBJECTS, connection)
    stored = connection.execute(
        "SELECT record->>'age_years', record->>'note', json_keys(record) FROM quarantine.records"
    ).fetchall()
    assert stored == [(" x ", '"', [*SUBJECTS["columns"], "note"])]


def test_lines_that_could_not_be_read_are_in_quarantine_and_count_against_the_limit() -> None:
    connection = warehouse_of(subjects=sound("a"))
    connection.execute(
        "CREATE TABLE raw._rejects AS SELECT 'subjects' AS table_name, 3::BIGINT AS line, 'too many values' AS reason, "
        "'b,,,,,,' AS text UNION ALL SELECT 'other', 1, 'r', 't'"
    )
    report, failures = validate_connection(STRICT, connection)
    table = report.tables["subjects"]
    assert (table.rows_in, table.rows_valid, table.rows_refused, table.unreadable_lines) == (1, 1, 0, 1)
    assert [failure.table for failure in failures] == ["subjects"]
    assert findings(connection) == [("subjects", None, "line:3", "unreadable_line")]
    stored = connection.execute("SELECT _row, record->>'line', record->>'text' FROM quarantine.records").fetchall()
    assert stored == [(None, "3", "b,,,,,,")]


def test_a_table_that_the_description_no_longer_has_is_dropped_from_the_validated_ones() -> None:
    connection = warehouse_of(subjects=sound("a"), visits=visits(("a", "1", "1", "70")))
    validate_connection(cohort(), connection)
    validate_connection(ONLY_SUBJECTS, connection)
    names = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'validated'").fetchall()
    assert names == [("subjects",)]


def test_one_wrong_value_in_a_million_records_is_found_where_it_is() -> None:
    rows, wrong = 1_000_000, 900_001
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA raw")
    connection.execute(
        f"CREATE TABLE raw.subjects AS SELECT i AS _row, 'P' || i AS patient_id, NULL::VARCHAR AS insurance_id, "
        f"CASE WHEN i = {wrong} THEN 'fifty' ELSE (i % 100)::VARCHAR END AS age_years, 'f' AS sex, "
        f"'2020-01-01' AS admitted_date FROM range(1, {rows + 1}) r(i)"
    )
    report, failures = validate_connection(STRICT, connection)
    assert not failures
    assert (report.tables["subjects"].rows_valid, report.tables["subjects"].rows_refused) == (rows - 1, 1)
    assert connection.execute("SELECT _row, column_name, rule, value FROM quarantine.findings").fetchall() == [
        (wrong, "age_years", "type", "fifty")
    ]


def test_thousands_of_columns_are_validated() -> None:
    genes = {f"gene_{i}": {"type": "number", "range": [0, 100], "description": "Expression."} for i in range(1500)}
    spec = cohort({"subjects": changed(SUBJECTS, columns={**SUBJECTS["columns"], **genes})})
    frame = sound("a", "b", "c").with_columns(pl.lit("1.5").alias(name) for name in genes)
    frame = frame.with_columns(gene_1499=pl.Series(["1.5", "101", "high"]))
    connection = warehouse_of(subjects=pl.concat([frame, frame[:1].with_columns(_row=pl.lit(4, pl.UInt32))]))
    validate_connection(spec, connection)
    assert kept(connection, "subjects") == [1]
    assert findings(connection) == [
        ("subjects", 2, "gene_1499", "range"),
        ("subjects", 3, "gene_1499", "type"),
        ("subjects", 4, "patient_id", "duplicate_row"),
    ]


def test_columns_of_odd_types_are_read_as_text() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA raw")
    connection.execute(
        "CREATE TABLE raw.subjects AS SELECT 1::BIGINT AS _row, NULL AS insurance_id, 50::HUGEINT AS age_years, "
        "'7b0e8ea6-6d0d-4b4f-8a5c-3d7a2b0c1d2e'::UUID AS patient_id, 'f'::ENUM('f', 'm') AS sex, "
        "DATE '2020-01-01' AS admitted_date"
    )
    _, failures = validate_connection(ONLY_SUBJECTS, connection)
    assert not failures
    assert connection.execute("SELECT patient_id, age_years, sex FROM validated.subjects").fetchall() == [
        ("7b0e8ea6-6d0d-4b4f-8a5c-3d7a2b0c1d2e", 50, "f")
    ]


def test_a_column_without_any_value_is_validated_as_missing_throughout() -> None:
    for empty in (pl.lit(None, pl.String), pl.lit(None, pl.Int32), pl.lit("")):
        connection = warehouse_of(subjects=sound("a", "b").with_columns(age_years=empty))
        _, failures = validate_connection(ONLY_SUBJECTS, connection)
        assert not failures
        assert connection.execute("SELECT count(*), count(age_years) FROM validated.subjects").fetchall() == [(2, 0)]


IDS = st.sampled_from(["a", "b", "c", "d", " a", "", None])
SUBJECT_ROWS = st.lists(
    st.tuples(
        IDS,
        st.sampled_from(["1", "2", "3", None]),
        st.sampled_from(["50", "50.0", "51", "999", "x", "-9", None]),
        st.sampled_from(["f", "m", "z", None]),
        st.sampled_from(["2020-01-01", "2020-02-30", None]),
    ),
    max_size=8,
)
VISIT_ROWS = st.lists(
    st.tuples(IDS, st.sampled_from(["1", "2", "x"]), st.sampled_from(["1", None]), st.sampled_from(["70", "7", "700"])),
    max_size=8,
)


def validated(
    subject_rows: list[Any], visit_rows: list[Any], **more: int
) -> tuple[duckdb.DuckDBPyConnection, ValidationReport]:
    """Validate with tables that are never empty, so that only records are judged."""
    rows = [*subject_rows, ("sound", "0", "1", "f", "2020-01-01")]
    connection = warehouse_of(subjects=subjects(*rows), visits=visits(*visit_rows, ("sound", "1", "1", "70")))
    report, failures = validate_connection(cohort(), connection, **more)
    assert not failures
    return connection, report


@budget(max_examples=25)
@given(SUBJECT_ROWS, VISIT_ROWS)
def test_every_raw_record_is_either_validated_or_in_quarantine(subject_rows: list[Any], visit_rows: list[Any]) -> None:
    connection, report = validated(subject_rows, visit_rows)
    for name, rows in (("subjects", len(subject_rows) + 1), ("visits", len(visit_rows) + 1)):
        refused = [
            row
            for (row,) in connection.execute(
                "SELECT _row FROM quarantine.records WHERE table_name = ? ORDER BY _row", [name]
            ).fetchall()
        ]
        assert sorted(kept(connection, name) + refused) == list(range(1, rows + 1))
        assert (report.tables[name].rows_valid, report.tables[name].rows_refused) == (rows - len(refused), len(refused))
        assert sorted({row for table, row, *_ in findings(connection) if table == name}) == refused


@budget(max_examples=25)
@given(SUBJECT_ROWS, VISIT_ROWS)
def test_validated_records_are_sound_when_validated_again(subject_rows: list[Any], visit_rows: list[Any]) -> None:
    connection, _ = validated(subject_rows, visit_rows)
    frames = {name: connection.execute(f"FROM validated.{name}").pl() for name in ("subjects", "visits")}
    once_more = warehouse_of(**frames)
    again, failures = validate_connection(cohort(), once_more)
    assert not failures
    assert [table.rows_refused for table in again.tables.values()] == [0, 0]
    assert content_digest(cohort(), once_more) == content_digest(cohort(), connection)
    for name, frame in frames.items():
        pandera_schema(cohort().tables[name]).validate(frame, lazy=True)


@budget(max_examples=25)
@given(SUBJECT_ROWS, VISIT_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_change_what_is_validated(
    subject_rows: list[Any], visit_rows: list[Any], random: Any
) -> None:
    connection, _ = validated(subject_rows, visit_rows)
    random.shuffle(subject_rows)
    random.shuffle(visit_rows)
    shuffled, _ = validated(subject_rows, visit_rows)
    assert content_digest(cohort(), shuffled) == content_digest(cohort(), connection)


@budget(max_examples=20)
@given(SUBJECT_ROWS, VISIT_ROWS)
def test_the_size_of_the_chunks_changes_nothing(subject_rows: list[Any], visit_rows: list[Any]) -> None:
    whole, report = validated(subject_rows, visit_rows)
    single, again = validated(subject_rows, visit_rows, chunk_bytes=1)
    assert content_digest(cohort(), single) == content_digest(cohort(), whole)
    assert again.quarantine_digest == report.quarantine_digest
    assert findings(single) == findings(whole)


def test_gaps_in_the_row_numbers_lose_nothing() -> None:
    frame = sound(*(f"p{i}" for i in range(40))).with_columns(_row=pl.col("_row").cast(pl.Int64) ** 2)
    connection = warehouse_of(subjects=frame)
    validate_connection(ONLY_SUBJECTS, connection, chunk_bytes=300)
    assert kept(connection, "subjects") == frame["_row"].to_list()


def test_a_cohort_with_visits_needs_the_subjects_it_describes() -> None:
    connection = warehouse_of(subjects=sound("a"), visits=visits(("a", "1", None, "70"), ("a", "2", "3", "70")))
    validate_connection(cohort({"subjects": SUBJECTS, "visits": VISITS}), connection)
    assert findings(connection) == [("visits", 1, "visit_day", "recorded")]


def _clocks(**more: Any) -> CohortSpec:
    plain = {"description": "A.", "type": "datetime", "role": "date"}
    tables = {
        "subjects": changed(
            SUBJECTS,
            key=["patient_id"],
            rules=[],
            columns={
                "patient_id": {"type": "string", "role": "identifier", "description": "I."},
                "admitted": plain,
                "born": {"description": "B.", "type": "date", "role": "date"},
                "ev": {"type": "boolean", "role": "target", "description": "E."},
            },
        )
    }
    values = minimal()
    values |= {"tables": tables, "subject": "patient_id", **more}
    return CohortSpec.model_validate(values)


def test_times_of_two_clocks_stop_the_cohort_until_its_zone_is_described(settings: Settings) -> None:
    frame = pl.DataFrame(
        {
            "patient_id": ["a", "b"],
            "admitted": ["2024-06-01T10:00:00", "2024-06-01T11:00:00+02:00"],
            "born": pl.Series([dt.datetime(1950, 5, 31, 23), None]).dt.replace_time_zone("UTC"),
            "ev": ["1", "0"],
        }
    ).with_row_index("_row", offset=1)
    spec = _clocks()
    warehouse = Warehouse(spec.name, settings)
    fill(warehouse, subjects=frame)
    with pytest.raises(ValidationFailed) as failed:
        validate_cohort(spec, warehouse)
    assert "1 of subjects.admitted with offset; 1 of subjects.admitted without offset" in str(failed.value)
    assert "born is a date, but the source gives moments with a time zone, 1 of them" in str(failed.value)
    assert "Set `timezone`" in str(failed.value.cure)
    validate_cohort(_clocks(timezone="Europe/Berlin"), warehouse)
    rows = warehouse.query("SELECT admitted, born FROM validated.subjects ORDER BY patient_id").rows()
    assert rows == [(dt.datetime(2024, 6, 1, 10), dt.date(1950, 6, 1)), (dt.datetime(2024, 6, 1, 11), None)]


def test_nested_values_are_json_for_sql(settings: Settings) -> None:
    spec = cohort({"subjects": changed(SUBJECTS, columns={**SUBJECTS["columns"], "sex": {**NESTED}})})
    warehouse = Warehouse(spec.name, settings)
    frame = sound("p1").with_columns(sex=pl.Series([{"value": 0.5, "unit": "mg/dL", "of": ["x", None]}]))
    fill(warehouse, subjects=frame)
    validate_cohort(spec, warehouse)
    (row,) = warehouse.query("SELECT sex FROM validated.subjects").rows()
    assert json.loads(row[0]) == {"value": 0.5, "unit": "mg/dL", "of": ["x", None]}


def test_a_nested_identifier_is_refused_with_the_way_to_its_value(settings: Settings) -> None:
    warehouse = Warehouse(ONLY_SUBJECTS.name, settings)
    fill(warehouse, subjects=sound("p1").with_columns(patient_id=pl.Series([{"reference": "Patient/p1"}])))
    with pytest.raises(ValidationFailed, match="identifier patient_id is a nested value") as failed:
        validate_cohort(ONLY_SUBJECTS, warehouse)
    assert "unnest: {patient_id: subject.getReferenceKey()}" in str(failed.value.cure)
    assert "Patient/p1" not in str(failed.value)
