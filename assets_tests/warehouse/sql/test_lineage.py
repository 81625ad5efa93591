"""Every output column is traced to the validated columns that go into it, or said to be untraced."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.tables.sql_cohorts import VISIT_FEATURES, project_of, with_visits
from clinical_assets.warehouse.sql.lineage import Lineage, column_lineage, trace
from clinical_assets.warehouse.sql.schema import readable_schema

SPEC = with_visits()


def lineage(tmp_path: Path, sql: str) -> Lineage:
    return project_of(tmp_path, {"features/m.sql": sql}, SPEC).traced("m")


def test_values_are_followed_through_models_aggregates_and_joins(tmp_path: Path) -> None:
    found = lineage(tmp_path, VISIT_FEATURES)
    assert found.columns == {
        "subject_id": (("subjects", "subject_id"),),
        "age_years": (("subjects", "age_years"),),
        "visits": (),
        "visits_missed": (("visits", "is_missed"),),
        "visits_missed_share": (("visits", "is_missed"),),
        "heart_rate_mean_bpm": (("visits", "heart_rate_bpm"),),
        "heart_rate_last_bpm": (("visits", "heart_rate_bpm"), ("visits", "visit_number")),
    }
    assert found.untraced == ()
    assert found.copies == {"subject_id": ("subjects", "subject_id"), "age_years": ("subjects", "age_years")}


@pytest.mark.parametrize(
    "star", ["*", "s.*", "* EXCLUDE (age_years), age_years", "COLUMNS(*)", "* REPLACE (age_years + 1 AS age_years)"]
)
def test_a_star_stands_for_the_columns_that_the_guard_lets_through_or_is_untraced(tmp_path: Path, star: str) -> None:
    found = lineage(tmp_path, f"SELECT {star} FROM {{{{ source('subjects') }}}} AS s")
    if found.untraced:
        assert star == "COLUMNS(*)"
    else:
        assert set(found.columns) == {"subject_id", "enrolled_at", "age_years"}
        assert found.columns["age_years"] == (("subjects", "age_years"),)


@pytest.mark.parametrize(
    ("expression", "origins"),
    [
        (
            "(SELECT max(v.heart_rate_bpm) FROM {{ source('visits') }} AS v WHERE v.subject_id = s.subject_id)",
            {"heart_rate_bpm"},
        ),
        ("list_transform([s.age_years], x -> x + 1)[1]", {"age_years"}),
        ("CASE WHEN s.age_years > 60 THEN 1 ELSE 0 END", {"age_years"}),
        ("coalesce(s.age_years, 0) AND s.enrolled_at IS NOT NULL", {"age_years", "enrolled_at"}),
        ("1", set()),
    ],
)
def test_expressions_are_traced_to_what_they_project(tmp_path: Path, expression: str, origins: set[str]) -> None:
    found = lineage(tmp_path, f"SELECT subject_id, {expression} AS x FROM {{{{ source('subjects') }}}} AS s")
    assert {column for _, column in found.columns["x"]} == origins


def test_both_sides_of_a_union_count(tmp_path: Path) -> None:
    first = "SELECT age_years AS x FROM {{ source('subjects') }}"
    sql = first + " UNION ALL SELECT heart_rate_bpm FROM {{ source('visits') }}"
    assert lineage(tmp_path, sql).columns["x"] == (("subjects", "age_years"), ("visits", "heart_rate_bpm"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT subject_id, #1 AS x FROM {{ source('subjects') }}",
        "SELECT subject_id, min(COLUMNS('age.*')) AS x FROM {{ source('subjects') }} GROUP BY ALL",
        "WITH v AS (SELECT subject_id, heart_rate_bpm, visit_number FROM {{ source('visits') }}) "
        'SELECT subject_id, "1" AS x FROM (PIVOT v ON visit_number IN (1) USING sum(heart_rate_bpm))',
    ],
)
def test_what_cannot_be_followed_is_untraced_and_not_guessed(tmp_path: Path, sql: str) -> None:
    assert "x" in lineage(tmp_path, sql).untraced


@pytest.mark.parametrize(
    ("expression", "made_of_it"),
    [
        ("count(v.subject_id)", False),
        ("count(DISTINCT v.subject_id)", False),
        ("max(CASE WHEN v.subject_id IS NULL THEN 0 ELSE 1 END)", False),
        ("max(v.subject_id)", True),
        ("hash(max(v.subject_id))", True),
        ("sum(length(v.subject_id))", True),
        ("count(*) FILTER (WHERE v.subject_id LIKE 'A%')", True),
    ],
)
def test_counting_an_identifier_is_not_being_made_of_its_value(
    tmp_path: Path, expression: str, made_of_it: bool
) -> None:
    sql = f"""SELECT s.subject_id, {expression} AS x FROM {{{{ source('subjects') }}}} AS s
              LEFT JOIN {{{{ source('visits') }}}} AS v ON v.subject_id = s.subject_id GROUP BY ALL"""
    compiled = project_of(tmp_path, {"features/m.sql": sql}, SPEC).compile("m")
    values = trace(compiled.sql, readable_schema(SPEC), outputs=["subject_id", "x"], values_only=True)
    assert (("visits", "subject_id") in values.columns["x"]) is made_of_it


@pytest.mark.parametrize(
    "expression",
    [
        "lag(v.heart_rate_bpm) OVER (PARTITION BY v.subject_id ORDER BY v.visit_number)",
        "row_number() OVER (PARTITION BY v.subject_id ORDER BY v.visit_number)",
    ],
)
def test_partitioning_by_an_identifier_is_not_being_made_of_it(tmp_path: Path, expression: str) -> None:
    sql = f"SELECT v.subject_id, {expression} AS x FROM {{{{ source('visits') }}}} AS v"
    compiled = project_of(tmp_path, {"features/m.sql": sql}, SPEC).compile("m")
    values = trace(compiled.sql, readable_schema(SPEC), outputs=["x"], values_only=True)
    assert ("visits", "subject_id") not in values.columns["x"]


def test_a_row_number_ordered_by_an_identifier_is_made_of_it(tmp_path: Path) -> None:
    sql = "SELECT subject_id, row_number() OVER (ORDER BY subject_id) AS x FROM {{ source('subjects') }}"
    compiled = project_of(tmp_path, {"features/m.sql": sql}, SPEC).compile("m")
    values = trace(compiled.sql, readable_schema(SPEC), outputs=["x"], values_only=True)
    assert values.columns["x"] == (("subjects", "subject_id"),)


def test_a_compiled_model_is_traced_by_the_cohorts_own_columns_unless_others_are_given(tmp_path: Path) -> None:
    compiled = project_of(tmp_path, {"features/m.sql": "SELECT * FROM {{ source('subjects') }}"}, SPEC).compile("m")
    assert column_lineage(compiled, SPEC) == column_lineage(compiled, SPEC, readable_schema(SPEC))
    assert column_lineage(compiled, SPEC)["age_years"] == (("subjects", "age_years"),)
