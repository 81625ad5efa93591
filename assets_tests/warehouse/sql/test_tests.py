"""Tests beside models are read strictly, count what breaks them, and never show who it was."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.worlds.tables.sql_cohorts import insert, one_table, project_of, validated, with_visits, write_models
from clinical_assets.foundation.errors import ClinicalAssetsError, SpecError, SqlModelError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import create_validated_tables
from clinical_assets.warehouse.sql.tests import SqlTestResult, run_tests, run_tests_on
from clinical_assets.warehouse.store.warehouse import Warehouse

MODEL = "SELECT subject_id, age_years, weight_kg, sex, remark FROM {{ source('subjects') }}"


COLUMN = """
models:
  - name: m
    description: A person.
    columns:
      - name: {column}
        tests: [{test}]
"""


def person(name: str, age: int | None = 40, weight: float | None = 70.0, sex: str | None = "F") -> tuple[Any, ...]:
    return (name, age, weight, True, sex, "calls herself Ann", False, "A", 1.0)


def results(tmp_path: Path, yml: str, people: list[tuple[Any, ...]], sql: str = MODEL) -> tuple[SqlTestResult, ...]:
    project = project_of(tmp_path, {"features/m.sql": sql, "features/m.yml": yml})
    return run_tests_on(validated(one_table(), {"subjects": people}), project, "m")


def only(tmp_path: Path, test: str, people: list[tuple[Any, ...]], column: str = "age_years") -> SqlTestResult:
    (result,) = results(tmp_path, COLUMN.format(column=column, test=test), people)
    return result


PEOPLE = [person("p1"), person("p2", age=None, sex="X"), person("p3", age=40, weight=-1.0), person("p4", sex=None)]


@pytest.mark.parametrize(
    ("test", "column", "failures", "examples"),
    [
        ("not_null", "age_years", 1, ({"age_years": None},)),
        ("not_null", "weight_kg", 0, ()),
        ("unique", "age_years", 1, ({"age_years": 40, "rows_with_it": 3},)),
        ("unique", "subject_id", 0, ()),
        ("accepted_values: {values: [F, M]}", "sex", 1, ({"sex": "X"},)),
        ("accepted_values: {values: [40]}", "age_years", 0, ()),
        ("expression: weight_kg > 0", "weight_kg", 1, ({"weight_kg": -1.0},)),
        ("expression: age_years > 0", "age_years", 0, ()),
    ],
)
def test_a_test_counts_the_rows_that_break_it(
    tmp_path: Path, test: str, column: str, failures: int, examples: tuple[dict[str, Any], ...]
) -> None:
    result = only(tmp_path, test, PEOPLE, column)
    assert (result.failures, result.rows, result.examples) == (failures, 4, examples)
    assert result.passed is (failures == 0)


def test_a_relationship_counts_the_rows_without_a_partner_in_a_table_or_model(tmp_path: Path) -> None:
    spec = with_visits()
    day = dt.date(2020, 1, 1)
    subjects = [("p1", day, 50, 1.0, "alive"), ("p2", day, 50, 1.0, "alive")]
    visits = [(name, 1, day, 70.0, False, 1.0) for name in ("p1", "p2", "p3")]
    yml = """
models:
  - name: m
    description: A visit.
    columns:
      - name: subject_id
        tests:
          - relationships: {to: "source('subjects')", field: subject_id}
          - relationships: {to: "ref('young')", field: subject_id, severity: warn}
"""
    files = {
        "marts/m.sql": "SELECT * FROM {{ source('visits') }}",
        "marts/m.yml": yml,
        "staging/young.sql": "SELECT subject_id FROM {{ source('subjects') }} WHERE subject_id = 'p1'",
    }
    project = project_of(tmp_path, files, spec)
    connection = validated(spec, {"subjects": subjects, "visits": visits})
    table, model = run_tests_on(connection, project, "m")
    assert (table.failures, table.severity, table.examples) == (1, "error", ())
    assert (model.failures, model.severity, model.examples) == (2, "warn", ())
    assert len(connection.execute(model.sql).fetchall()) == 2


def test_a_test_of_the_whole_model_is_about_the_cohorts_key_unless_it_names_columns(tmp_path: Path) -> None:
    yml = """
models:
  - name: m
    description: A person.
    tests: [not_null, unique, unique: {columns: [age_years, sex]}, expression: {name: sane, expression: weight_kg > 0}]
"""
    found = results(tmp_path, yml, [person("p1"), person("p1"), person("p2", sex="M")])
    assert [(result.test, result.column, result.failures) for result in found] == [
        ("not_null", None, 0),
        ("unique", None, 1),
        ("unique", None, 1),
        ("expression", None, 0),
    ]


def test_examples_never_hold_identifiers_or_free_text(tmp_path: Path) -> None:
    sql = """SELECT subject_id, 'id ' || upper(subject_id) AS label, remark, length(remark) AS n, age_years
             FROM {{ source('subjects') }}"""
    yml = """
models:
  - name: m
    description: A person.
    columns:
      - {name: subject_id, tests: [unique, expression: subject_id <> 'nhs123']}
      - {name: label, tests: [accepted_values: {values: [none]}]}
      - {name: remark, tests: [accepted_values: {values: [none]}]}
      - {name: n, tests: [expression: n < 0 OR age_years < 0]}
"""
    found = results(tmp_path, yml, [person("nhs123"), person("nhs123")], sql)
    assert [result.failures for result in found] == [1, 2, 2, 2, 2]
    assert [result.examples for result in found] == [({"rows_with_it": 2},), (), (), (), ({"age_years": 40},)]


@hypothesis_settings(max_examples=40)
@given(
    ages=st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=12),
    test=st.sampled_from(["not_null", "unique", "accepted_values: {values: [1, 2]}", "expression: age_years > 1"]),
)
def test_the_statement_of_a_result_yields_as_many_rows_as_it_counted(
    tmp_path_factory: pytest.TempPathFactory, ages: list[int | None], test: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "counted"
    yml = COLUMN.format(column="age_years", test=test)
    project = project_of(folder, {"features/m.sql": MODEL, "features/m.yml": yml})
    connection = validated(one_table(), {"subjects": [person(f"p{i}", age) for i, age in enumerate(ages)]})
    (result,) = run_tests_on(connection, project, "m")
    assert len(connection.execute(result.sql).fetchall()) == result.failures
    present = [age for age in ages if age is not None]
    expected = {
        "not_null": len(ages) - len(present),
        "unique": len({age for age in present if present.count(age) > 1}),
        "accepted_values": sum(age not in (1, 2) for age in present),
        "expression": sum(age <= 1 for age in present),
    }
    assert result.failures == expected[result.test]


def test_only_the_wanted_kinds_run(tmp_path: Path) -> None:
    yml = "models: [{name: m, description: A person., tests: [not_null, unique]}]"
    project = project_of(tmp_path, {"features/m.sql": MODEL, "features/m.yml": yml})
    connection = validated(one_table(), {"subjects": PEOPLE})
    assert [result.test for result in run_tests_on(connection, project, "m", kinds=("unique",))] == ["unique"]
    assert run_tests_on(connection, project, "m", kinds=("expression",)) == ()


def test_a_read_only_warehouse_will_do_and_keeps_nothing(tmp_path: Path, settings: Settings) -> None:
    spec = one_table()
    warehouse = Warehouse(spec.name, settings)
    with warehouse.writer() as connection:
        create_validated_tables(connection, spec)
        insert(connection, "subjects", PEOPLE)
    yml = "models: [{name: m, description: A person., tests: [unique]}]"
    project = project_of(tmp_path, {"features/m.sql": MODEL, "features/m.yml": yml})
    before = warehouse.tables()
    assert [result.passed for result in run_tests(project, warehouse, "m")] == [True]
    assert warehouse.tables() == before


# what stands in the YAML


@pytest.mark.parametrize(
    ("yml", "words"),
    [
        ("models:\n  - name: m\n    description: A.\n    colums: []", r"m\.yml:4: .*colums.*Did you mean `columns`"),
        ("models:\n  - name: m", r"m\.yml:2: .*description.*missing key"),
        (
            "models:\n  - name: x\n    description: A.",
            r"m\.yml:2: describes the model 'x', but there is no features/x\.sql",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    columns:\n      - name: a\n        tests:\n"
            "          - not_nul",
            r"m\.yml:7: ",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    columns:\n      - name: a\n        tests:\n"
            "          - accepted_values: {value: [1]}",
            r"m\.yml:7: .*value.*Did you mean `values`",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    columns:\n      - name: a\n        tests:\n"
            "          - relationships: {to: subjects, field: a}",
            r"m\.yml:7: .*write ref",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    tests:\n      - {not_null: {}, unique: {}}",
            r"m\.yml:5: .*a test is one of",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    tests:\n      - accepted_values: {values: [1]}",
            r"m\.yml:5: .*accepted_values is about one column",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    columns:\n      - name: a\n        tests:\n"
            "          - unique: {columns: [b]}",
            r"m\.yml:7: .*a test under a column is about that column alone",
        ),
        (
            "models:\n  - {name: m, description: A.}\n  - {name: m, description: B.}",
            r"m\.yml:3: features\.m is also described at .*m\.yml:2",
        ),
        (
            "models:\n  - name: m\n    description: A.\n    columns:\n      - name: a\n      - name: a",
            r"m\.yml:6: column 'a' is described twice",
        ),
    ],
)
def test_a_mistake_in_the_yaml_is_refused_with_file_and_line(tmp_path: Path, yml: str, words: str) -> None:
    with pytest.raises(ClinicalAssetsError, match=f"(?s){words}"):
        project_of(tmp_path, {"features/m.sql": MODEL, "features/m.yml": yml}).docs("m")


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("expression: wieght_kg > 0", "names column 'wieght_kg', which features.m does not yield"),
        ("expression: weight_kg >", "cannot be read"),
        ("expression: weight_kg > avg(weight_kg)", "is not about one row"),
        ("expression: age_years IN (SELECT 1)", "is not about one row"),
        ("expression: 1 = 1", "names no column"),
        ("relationships: {to: \"source('nothing')\", field: a}", "has no nothing.a"),
        ("relationships: {to: \"ref('declared_columns')\", field: a}", "yields no column 'a'"),
        ("expression: remark + 1 > 0", "the test cannot be run"),
    ],
)
def test_a_test_that_cannot_be_run_is_an_error_with_its_place(tmp_path: Path, test: str, words: str) -> None:
    with pytest.raises(SqlModelError, match=rf"features/m\.yml:7: .*{words}"):
        only(tmp_path, test, PEOPLE)


def test_a_test_on_a_column_that_the_model_does_not_yield_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SqlModelError, match=r"m\.yml:7: the test names column 'heigth_m'"):
        only(tmp_path, "not_null", PEOPLE, column="heigth_m")


def test_a_mistake_in_another_models_own_file_does_not_stop_this_one(tmp_path: Path) -> None:
    yml = "models: [{name: m, description: A person., tests: [unique]}]"
    files = {"features/m.sql": MODEL, "features/m.yml": yml, "features/n.sql": MODEL, "features/n.yml": "models: 1"}
    project = project_of(tmp_path, files)
    assert len(project.docs("m").tests) == 1
    with pytest.raises(SpecError, match=r"n\.yml:1"):
        project.docs("n")


def test_a_model_that_overrides_a_shipped_one_does_not_inherit_its_tests(tmp_path: Path) -> None:
    shipped = write_models(
        tmp_path / "shipped",
        {"features/m.sql": MODEL, "features/m.yml": "models: [{name: m, description: A., tests: [unique]}]"},
    )
    own = write_models(tmp_path / "own", {"m.sql": MODEL})
    assert SqlProject([own, shipped], one_table()).docs("m").tests == ()
    assert len(SqlProject([shipped], one_table()).docs("m").tests) == 1


def test_a_failing_model_is_an_error_and_not_a_failed_test(tmp_path: Path) -> None:
    sql = "SELECT subject_id, CAST(remark AS INTEGER) AS age_years FROM {{ source('subjects') }}"
    yml = "models: [{name: m, description: A person., columns: [{name: age_years, tests: [not_null]}]}]"
    with pytest.raises(SqlModelError, match=r"m\.sql:1: Could not convert"):
        results(tmp_path, yml, PEOPLE, sql)


def test_a_missing_table_is_an_error_and_not_a_passed_test(tmp_path: Path) -> None:
    yml = "models: [{name: m, description: A person., tests: [unique]}]"
    project = project_of(tmp_path, {"features/m.sql": MODEL, "features/m.yml": yml})
    with duckdb.connect() as connection, pytest.raises(SqlModelError, match="does not exist"):
        run_tests_on(connection, project, "m")
