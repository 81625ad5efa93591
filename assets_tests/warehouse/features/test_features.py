"""Features and outcomes are built whole or not at all, and mean the same for one patient as for all."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.worlds.tables.shipped import representatives
from assets_tests.worlds.tables.sql_cohorts import (
    SHIPPED_SQL,
    VISIT_FEATURES,
    insert,
    one_table,
    project_of,
    validated,
    with_visits,
    write_models,
)
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData, SqlModelError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.features.features import FeatureBuild, build_features, build_on
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import create_validated_tables
from clinical_assets.warehouse.sql.tests import run_tests
from clinical_assets.warehouse.store.warehouse import Warehouse

INDEX = dt.date(2020, 3, 1)
LANDMARK = 28
VISITS = with_visits(landmark_days=LANDMARK)
OUTCOME = "SELECT subject_id, 1 AS outcome, NULL AS exclusion FROM {{ source('subjects') }}"
PEOPLE = [
    ("p1", 40, 70.5, True, "F", "", True, "A", 1.0),
    ("p2", 50, None, False, "M", "", False, "A", 1.0),
    ("p3", 60, 90.0, None, None, "", None, "A", 1.0),
]

heart_rates = st.one_of(st.none(), st.floats(30, 220, width=32))
visit_rows = st.lists(
    st.tuples(st.integers(-60, LANDMARK), heart_rates, st.one_of(st.none(), st.booleans())), max_size=6
)
later_rows = st.lists(st.tuples(st.integers(LANDMARK + 1, 900), heart_rates, st.booleans()), max_size=6)


def subjects(count: int) -> list[tuple[Any, ...]]:
    return [(f"p{i}", INDEX + dt.timedelta(days=i), 40 + i, 10.0 * i, "alive") for i in range(count)]


def visits(person: int, rows: list[tuple[int, float | None, bool | None]], *, first: int = 0) -> list[tuple[Any, ...]]:
    start = INDEX + dt.timedelta(days=person)
    return [
        (f"p{person}", first + number, start + dt.timedelta(days=day), rate, missed, 1.0)
        for number, (day, rate, missed) in enumerate(rows)
    ]


def features(connection: duckdb.DuckDBPyConnection, project: SqlProject) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM ({project.compile(project.feature_model).sql}) ORDER BY 1").fetchall()


def built(
    tmp_path: Path, sql: str, *, outcome: str = OUTCOME, people: Any = None, spec: CohortSpec | None = None
) -> FeatureBuild:
    spec = spec or one_table(features="m", outcome="o")
    project = project_of(tmp_path / "team", {"m.sql": sql, "outcomes/o.sql": outcome}, spec)
    return build_on(validated(spec, {"subjects": PEOPLE if people is None else people}), spec, project)


# the promise: one statement, the same for one as for all, blind to the future


@hypothesis_settings(max_examples=40)
@given(per_person=st.lists(visit_rows, min_size=1, max_size=4))
def test_the_statement_gives_one_patient_alone_what_it_gives_in_a_batch(
    tmp_path_factory: pytest.TempPathFactory, per_person: list[list[tuple[int, float | None, bool | None]]]
) -> None:
    project = project_of(tmp_path_factory.getbasetemp() / "alone", {"visit_features.sql": VISIT_FEATURES}, VISITS)
    people = subjects(len(per_person))
    rows = {i: visits(i, given_rows) for i, given_rows in enumerate(per_person)}
    batch = features(validated(VISITS, {"subjects": people, "visits": list(itertools.chain(*rows.values()))}), project)
    alone = [
        features(validated(VISITS, {"subjects": [person], "visits": rows[i]}), project)[0]
        for i, person in enumerate(people)
    ]
    assert batch == alone


@hypothesis_settings(max_examples=40)
@given(known=visit_rows, later=later_rows)
def test_what_is_recorded_after_the_landmark_changes_no_feature(
    tmp_path_factory: pytest.TempPathFactory,
    known: list[tuple[int, float | None, bool | None]],
    later: list[tuple[int, float | None, bool | None]],
) -> None:
    project = project_of(tmp_path_factory.getbasetemp() / "later", {"visit_features.sql": VISIT_FEATURES}, VISITS)
    connection = validated(VISITS, {"subjects": subjects(1), "visits": visits(0, known)})
    before = features(connection, project)
    insert(connection, "visits", visits(0, later, first=100))
    assert features(connection, project) == before


def test_what_is_recorded_up_to_the_landmark_does_change_features(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"visit_features.sql": VISIT_FEATURES}, VISITS)
    connection = validated(VISITS, {"subjects": subjects(1), "visits": visits(0, [(0, 60.0, False)])})
    assert features(connection, project) == [("p0", 40, 1, 0, 0.0, 60.0, 60.0)]
    insert(connection, "visits", visits(0, [(LANDMARK, 80.0, True)], first=1))
    assert features(connection, project) == [("p0", 40, 2, 1, 0.5, 70.0, 80.0)]


@pytest.mark.parametrize("name", representatives())
def test_a_shipped_cohorts_features_run_on_one_record_in_memory(name: str) -> None:
    spec = Catalogue(folders=(SHIPPED,)).spec(name)
    project = SqlProject([SHIPPED_SQL], spec)
    with duckdb.connect() as connection:
        create_validated_tables(connection, spec)
        places = ", ".join("1" for _ in spec.key)
        connection.execute(f"INSERT INTO validated.{spec.subject_table} ({', '.join(spec.key)}) VALUES ({places})")
        assert len(features(connection, project)) == 1


# what is written


def test_features_are_stored_as_numbers_and_outcomes_with_the_reason_why_a_unit_is_not_used(tmp_path: Path) -> None:
    spec = one_table()
    project = project_of(tmp_path, {}, spec)
    connection = validated(spec, {"subjects": PEOPLE})
    result = build_on(connection, spec, project)
    assert result.feature_columns == ("age_years", "weight_kg", "is_smoker", "sex_is_f", "sex_is_m")
    assert connection.execute("SELECT * FROM model.features").fetchall() == [
        ("p1", 40.0, 70.5, 1.0, 1.0, 0.0),
        ("p2", 50.0, None, 0.0, 0.0, 1.0),
        ("p3", 60.0, 90.0, None, None, None),
    ]
    assert connection.execute("SELECT * FROM model.outcomes").fetchall() == [
        ("p1", 1, None),
        ("p2", 0, None),
        ("p3", None, "outcome missing"),
    ]
    assert (result.rows, result.used, result.compared_alone) == (3, 2, 3)
    assert result.outcome_counts == {"no": 1, "yes": 1}
    assert result.exclusions == {"outcome missing": 1}
    assert result.lineage["sex_is_m"] == (("subjects", "sex"),)
    described = {name: (kind, text) for name, kind, text in result.columns}
    assert described["age_years"] == ("DOUBLE", "Age at admission. [a]")
    assert described["subject_id"][0] == "VARCHAR"
    assert described["sex_is_m"][1].startswith("From subjects.sex: ")


def test_the_digest_follows_the_content_and_the_statement_and_not_the_order_of_records(tmp_path: Path) -> None:
    plain = "SELECT subject_id, age_years FROM {{ source('subjects') }}"
    first = built(tmp_path / "a", plain)
    assert built(tmp_path / "b", plain, people=PEOPLE[::-1]).digest == first.digest
    assert built(tmp_path / "c", plain, people=PEOPLE[:2]).digest != first.digest
    other = built(tmp_path / "d", plain.replace("age_years", "age_years + 0 AS age_years"))
    assert other.features_digest == first.features_digest
    assert other.digest != first.digest


def test_a_refused_build_leaves_the_old_tables_whole(tmp_path: Path, settings: Settings) -> None:
    spec = one_table(features="m", outcome="o")
    warehouse = Warehouse(spec.name, settings)
    with warehouse.writer() as connection:
        create_validated_tables(connection, spec)
        insert(connection, "subjects", PEOPLE)
    folder = write_models(
        tmp_path / "team",
        {"m.sql": "SELECT subject_id, age_years FROM {{ source('subjects') }}", "outcomes/o.sql": OUTCOME},
    )
    first = build_features(spec, SqlProject([folder], spec), warehouse)
    assert first.outcome_counts == {"no": 0, "yes": 3}
    write_models(folder, {"m.sql": "SELECT subject_id, age_years / 0 AS age_years FROM {{ source('subjects') }}"})
    with pytest.raises(SqlModelError, match="infinite"):
        build_features(spec, SqlProject([folder], spec), warehouse)
    stored = warehouse.query("SELECT age_years FROM model.features ORDER BY 1").rows()
    assert stored == [(40.0,), (50.0,), (60.0,)]
    assert build_features(spec, SqlProject([write_models(folder, {"m.sql": first_sql()})], spec), warehouse) == first


def first_sql() -> str:
    return "SELECT subject_id, age_years FROM {{ source('subjects') }}"


# what is refused


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT age_years FROM {{ source('subjects') }}", "does not yield the key column 'subject_id'"),
        ("SELECT subject_id FROM {{ source('subjects') }}", "yields no feature"),
        ("SELECT subject_id, sex FROM {{ source('subjects') }}", "feature 'sex' is VARCHAR, not a number"),
        (
            "SELECT subject_id, age_years AS outcome FROM {{ source('subjects') }}",
            "'outcome' cannot be a feature's name",
        ),
        ("SELECT subject_id, age_years AS \"Age\" FROM {{ source('subjects') }}", "'Age' cannot be a feature's name"),
        (
            "SELECT subject_id, length(subject_id) AS x FROM {{ source('subjects') }}",
            "'x' is made of subjects.subject_id",
        ),
        (
            "SELECT subject_id, h % 7 AS x FROM (SELECT *, hash(subject_id) AS h FROM {{ source('subjects') }})",
            "'x' is made of subjects.subject_id",
        ),
        ("SELECT subject_id, #2 AS x FROM {{ source('subjects') }}", "where x comes from cannot be traced"),
        (
            "SELECT s.*, s.age_years FROM {{ source('subjects') }} AS s",
            "feature 'sex' is VARCHAR, not a number",
        ),
        ("SELECT subject_id, age_years FROM {{ source('subjects') }} WHERE age_years > 45", "1 of 3 units have no row"),
        (
            "SELECT subject_id, age_years FROM {{ source('subjects') }}, range(2)",
            "3 of 6 rows repeat a unit",
        ),
        (
            "SELECT subject_id, 1 AS a FROM {{ source('subjects') }} UNION ALL SELECT 'p9', 2",
            "1 rows are of no unit",
        ),
        (
            "SELECT subject_id, 1 / (age_years - 40) AS x FROM {{ source('subjects') }}",
            r"infinite or not a number: x \(1 units\)",
        ),
        (
            "SELECT subject_id, CAST('nan' AS DOUBLE) AS x FROM {{ source('subjects') }}",
            r"infinite or not a number: x \(3 units\)",
        ),
        (
            "SELECT subject_id, age_years * 1e38 AS x FROM {{ source('subjects') }}",
            r"larger than 3\.4e\+38, the largest number that models compute with: x \(3 units\)",
        ),
        (
            "SELECT subject_id, age_years - avg(age_years) OVER () AS x FROM {{ source('subjects') }}",
            "x changes when other units are absent",
        ),
        (
            "SELECT subject_id, rank() OVER (ORDER BY age_years) AS x FROM {{ source('subjects') }}",
            "x changes when other units are absent",
        ),
        (
            "SELECT subject_id, 1 AS x FROM {{ source('subjects') }} QUALIFY count(*) OVER () > 1",
            "a unit that is alone in the tables gets 0 rows",
        ),
    ],
)
def test_features_that_must_not_reach_a_model_are_refused(tmp_path: Path, sql: str, words: str) -> None:
    with pytest.raises(SqlModelError, match=words) as caught:
        built(tmp_path, sql)
    assert "team/m.sql" in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT subject_id, 1 AS outcome FROM {{ source('subjects') }}", "yields subject_id, outcome"),
        ("SELECT subject_id, 0.5 AS outcome, NULL AS exclusion FROM {{ source('subjects') }}", "not a class number"),
        (
            "SELECT subject_id, 2 AS outcome, NULL AS exclusion FROM {{ source('subjects') }}",
            "3 units have an outcome that is no class",
        ),
        (
            "SELECT subject_id, CAST(died AS INT) AS outcome, NULL AS exclusion FROM {{ source('subjects') }}",
            "1 units have no outcome and no exclusion",
        ),
        (
            "SELECT subject_id, 1 AS outcome, NULL AS exclusion FROM {{ source('subjects') }} WHERE died",
            "2 of 3 units have no row",
        ),
    ],
)
def test_outcomes_that_are_not_what_they_should_be_are_refused(tmp_path: Path, sql: str, words: str) -> None:
    with pytest.raises(SqlModelError, match=words) as caught:
        built(tmp_path, first_sql(), outcome=sql)
    assert "outcomes/o.sql" in caught.value.message
    assert caught.value.cure


def test_a_cohort_of_which_nobody_may_be_used_is_insufficient_with_the_reasons(tmp_path: Path) -> None:
    outcome = "SELECT subject_id, NULL AS outcome, 'too young' AS exclusion FROM {{ source('subjects') }}"
    with pytest.raises(InsufficientData, match="too young: 3"):
        built(tmp_path, first_sql(), outcome=outcome)


def test_counting_and_joining_by_an_identifier_is_allowed(tmp_path: Path) -> None:
    sql = """
    SELECT
        s.subject_id,
        count(t.subject_id) AS rows_of_me,
        max(CASE WHEN t.subject_id IS NULL THEN 0 ELSE 1 END) AS is_here
    FROM {{ source('subjects') }} AS s LEFT JOIN {{ source('subjects') }} AS t ON t.subject_id = s.subject_id
    GROUP BY s.subject_id"""
    assert built(tmp_path, sql).feature_columns == ("rows_of_me", "is_here")


def test_a_unit_that_is_used_but_has_no_index_date_is_refused(tmp_path: Path) -> None:
    people = [*subjects(2), ("p9", None, 30, 500.0, "alive")]
    spec = VISITS.model_copy(update={"outcome": "o"})
    project = project_of(tmp_path, {"visit_features.sql": VISIT_FEATURES, "outcomes/o.sql": OUTCOME}, spec)
    with pytest.raises(ClinicalAssetsError, match=r"1 units are used for training but have no subjects\.enrolled_at"):
        build_on(validated(spec, {"subjects": people, "visits": []}), spec, project)


# the overview


def test_the_overview_counts_the_cohort_in_one_row(tmp_path: Path, settings: Settings) -> None:
    spec = with_visits()
    warehouse = Warehouse(spec.name, settings)
    people = [
        ("p1", INDEX, 40, 50.0, "event"),
        ("p2", INDEX, None, 900.0, "alive"),
        ("p3", INDEX, 60, 60.0, "alive"),
        ("p4", INDEX, 70, 10.0, "event"),
    ]
    seen = [("p1", 1, INDEX, 60.0, False, 1.0), ("p2", 1, INDEX + dt.timedelta(days=400), 60.0, False, 1.0)]
    with warehouse.writer() as connection:
        create_validated_tables(connection, spec)
        insert(connection, "subjects", people)
        insert(connection, "visits", seen)
    project = project_of(tmp_path, {"visit_features.sql": VISIT_FEATURES}, spec)
    assert project.run(warehouse, "cohort_overview").rows == 1
    row = warehouse.query("SELECT * FROM marts.cohort_overview").row(0, named=True)
    assert row["is_synthetic"] is True
    assert (row["subjects"], row["units"], row["units_used"], row["events"], row["event_share"]) == (4, 4, 2, 1, 0.5)
    assert row["units_excluded"] == 2
    assert row["excluded_by_reason"] == '{"censored before the horizon":1,"event before the prediction":1}'
    # Of the two units that are used, p1 has all six features; the other lacks the share missed and both heart rates,
    # and p2 the age as well.
    assert row["features"] == 6
    assert row["missing_share_mean"] == pytest.approx((3 + 1) / 12)
    assert (row["records_refused"], row["ingested_at"]) == (0, None)
    assert row["newest_record_at"] == dt.datetime(2020, 3, 1) + dt.timedelta(days=400)
    assert all(result.passed for result in run_tests(project, warehouse, "cohort_overview"))
