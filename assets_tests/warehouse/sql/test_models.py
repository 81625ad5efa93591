"""Models are found, rendered, and compiled to one statement that sees only what it may."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from assets_tests.worlds.tables.shipped import representatives
from assets_tests.worlds.tables.sql_cohorts import (
    SHIPPED_SQL,
    column,
    insert,
    one_table,
    project_of,
    validated,
    with_visits,
    write_models,
)
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.features.features import check_models
from clinical_assets.warehouse.sql.files import find_models
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import create_validated_tables
from clinical_assets.warehouse.store.warehouse import Warehouse

SUBJECTS = "SELECT subject_id, age_years FROM {{ source('subjects') }}"
SEEN = "SELECT subject_id, list(visit_number ORDER BY visit_number) AS seen FROM {{ source('visits') }} GROUP BY 1"


def rows(connection: duckdb.DuckDBPyConnection, project: SqlProject, name: str) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM ({project.compile(name).sql}) ORDER BY ALL").fetchall()


# finding


def test_the_first_folder_that_knows_a_model_wins(tmp_path: Path) -> None:
    first = write_models(tmp_path / "a", {"features/m.sql": "SELECT 1 AS a"})
    second = write_models(tmp_path / "b", {"features/m.sql": "SELECT 2 AS a", "features/n.sql": "SELECT 3 AS a"})
    found = find_models([first, second])
    assert found["features.m"].folder == first
    assert found["features.n"].folder == second


def test_sql_beside_a_cohorts_description_is_a_feature_model(tmp_path: Path) -> None:
    folder = write_models(tmp_path, {"stroke.sql": SUBJECTS, "stroke.yaml": "name: stroke"})
    assert list(find_models([folder])) == ["features.stroke"]


def test_a_feature_model_that_lies_twice_in_one_folder_is_refused(tmp_path: Path) -> None:
    folder = write_models(tmp_path, {"m.sql": SUBJECTS, "features/m.sql": SUBJECTS})
    with pytest.raises(SqlModelError, match=r"features/m\.sql.*also lies in.*m\.sql"):
        find_models([folder])


def test_a_file_whose_name_cannot_be_a_table_is_refused(tmp_path: Path) -> None:
    folder = write_models(tmp_path, {"features/My-Model.sql": SUBJECTS})
    with pytest.raises(SqlModelError, match="cannot be a model's name"):
        find_models([folder])


def test_a_bare_name_that_two_layers_have_is_refused_with_the_choices(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"features/m.sql": SUBJECTS, "outcomes/m.sql": SUBJECTS})
    with pytest.raises(SqlModelError, match=r"features\.m or outcomes\.m"):
        project.compile("m")
    assert project.compile("outcomes.m").layer == "outcomes"


def test_an_unknown_model_is_refused_with_near_names(tmp_path: Path) -> None:
    with pytest.raises(SqlModelError, match=r"Did you mean features\.declared_columns"):
        project_of(tmp_path, {}).compile("features.declared_colums")


# compiling


def test_references_are_inlined_once_each_so_that_only_validated_tables_are_read(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        {
            "staging/base.sql": "SELECT subject_id, age_years, weight_kg FROM {{ source('subjects') }}",
            "staging/age.sql": "SELECT subject_id, age_years FROM {{ ref('base') }}",
            "staging/weight.sql": "SELECT subject_id, weight_kg FROM {{ ref('base') }}",
            "features/m.sql": "SELECT subject_id, age_years + weight_kg AS total\n"
            "FROM {{ ref('age') }} JOIN {{ ref('weight') }} USING (subject_id)",
        },
    )
    compiled = project.compile("m")
    assert compiled.refs == ("staging.base", "staging.age", "staging.weight")
    assert compiled.relations == ("validated.subjects",)
    assert compiled.sql.count("staging_known__base AS (") == 1
    connection = validated(one_table(), {"subjects": [("p1", 40, 70.5, True, "F", "", False, "", 1.0)]})
    assert rows(connection, project, "m") == [("p1", 110.5)]


def test_a_circle_of_references_is_refused_with_its_path(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        {
            "staging/a.sql": "SELECT * FROM {{ ref('b') }}",
            "staging/b.sql": "SELECT *\nFROM {{ ref('c') }}",
            "staging/c.sql": "SELECT * FROM {{ ref('a') }}",
        },
    )
    with pytest.raises(SqlModelError, match=r"staging\.a -> staging\.b -> staging\.c -> staging\.a"):
        project.compile("staging.a")


@pytest.mark.parametrize(
    ("layer", "other"), [("features", "outcomes"), ("staging", "features"), ("outcomes", "features")]
)
def test_a_model_may_not_refer_upwards_or_across(tmp_path: Path, layer: str, other: str) -> None:
    files = {f"{layer}/m.sql": f"SELECT * FROM {{{{ ref('{other}.x') }}}}", f"{other}/x.sql": SUBJECTS}
    with pytest.raises(SqlModelError, match=rf"a {layer} model may not refer to {other}\.x"):
        project_of(tmp_path, files).compile(f"{layer}.m")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM validated.subjects",
        "SELECT * FROM subjects",
        "SELECT * FROM 'subjects.parquet'",
        "SELECT * FROM read_csv('subjects.csv')",
        "SELECT * FROM {{ source('subjects') }} WHERE age_years > (SELECT avg(age_years) FROM raw.subjects)",
        "SELECT * FROM query_table('validated.subjects')",
        "WITH known__subjects AS (SELECT 1 AS subject_id) SELECT * FROM known__subjects",
    ],
)
def test_a_table_that_was_not_handed_to_the_model_is_refused(tmp_path: Path, sql: str) -> None:
    with pytest.raises(SqlModelError, match=r"features/m\.sql"):
        project_of(tmp_path, {"features/m.sql": sql}).compile("m")


@pytest.mark.parametrize("sql", ["", "-- nothing", "SELECT 1; SELECT 2", "DROP TABLE x", "SELECT 1) SELECT (1"])
def test_anything_but_one_select_is_refused(tmp_path: Path, sql: str) -> None:
    with pytest.raises(SqlModelError, match=r"features/m\.sql"):
        project_of(tmp_path, {"features/m.sql": sql}).compile("m")


@pytest.mark.parametrize("end", [";", "; -- the end", "\n;\n/* end */\n", " -- no; semicolon", " -- it's"])
def test_a_closing_semicolon_and_comments_do_no_harm(tmp_path: Path, end: str) -> None:
    assert list(project_of(tmp_path, {"features/m.sql": SUBJECTS + end}).types("m")) == ["subject_id", "age_years"]


@pytest.mark.parametrize(
    "expression", ["random()", "extract(year FROM now())", "year(current_date)", "year(today())", "hash(uuid())"]
)
def test_clock_and_chance_are_refused_in_features_and_outcomes_but_not_in_marts(
    tmp_path: Path, expression: str
) -> None:
    sql = f"SELECT subject_id,\n  {expression} AS x FROM {{{{ source('subjects') }}}}"
    project = project_of(tmp_path, {f"{layer}/m_{layer}.sql": sql for layer in ("features", "outcomes", "marts")})
    for layer in ("features", "outcomes"):
        with pytest.raises(SqlModelError, match=r"m_\w+\.sql:2: uses \w+, whose answer differs from run to run"):
            project.compile(f"m_{layer}")
    assert "x" in project.types("m_marts")


# templates


def test_a_variable_comes_from_the_description_or_its_default(tmp_path: Path) -> None:
    sql = "SELECT {{ var('limit_kg') | literal }} AS a, {{ var('other', 'it''s') | literal }} AS b"
    project = project_of(tmp_path, {"staging/m.sql": sql}, one_table(vars={"limit_kg": 90.5}))
    assert rows(duckdb.connect(), project, "m") == [(90.5, "its")]


def test_text_and_lists_are_quoted_as_literals(tmp_path: Path) -> None:
    sql = "SELECT {{ var('words') | literal }} AS a, 'O''Hara' IN {{ var('words') | literal }} AS b"
    project = project_of(tmp_path, {"staging/m.sql": sql}, one_table(vars={"words": ["O'Hara", 'a"b']}))
    assert rows(duckdb.connect(), project, "m") == [(("O'Hara", 'a"b'), True)]


def test_a_template_sees_the_cohort_but_not_the_machine(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"staging/m.sql": "SELECT {{ cohort.name | literal }} AS name"})
    assert project.render("m") == "SELECT 'one_table' AS name"
    for attack in ("{{ cohort.__class__.__mro__ }}", "{{ cohort.model_config.clear() }}", "{% include '/etc/hosts' %}"):
        with pytest.raises(SqlModelError, match=r"staging/m\.sql:1"):
            project_of(tmp_path, {"staging/m.sql": f"SELECT {attack}"}).render("m")


# the time guard


@pytest.mark.parametrize(
    ("kind", "index_kind", "last_known", "first_hidden"),
    [
        ("date", "date", dt.date(2020, 1, 29), dt.date(2020, 1, 30)),
        ("datetime", "datetime", dt.datetime(2020, 1, 29, 9, 30), dt.datetime(2020, 1, 29, 9, 30, 1)),
        ("datetime", "date", dt.datetime(2020, 1, 29, 23, 59), dt.datetime(2020, 1, 30)),
        ("date", "datetime", dt.date(2020, 1, 29), dt.date(2020, 1, 30)),
        ("integer", "date", 28, 29),
    ],
)
def test_features_see_rows_up_to_the_landmark_and_none_after(
    tmp_path: Path, kind: str, index_kind: str, last_known: object, first_hidden: object
) -> None:
    spec = with_visits(kind=kind, index_kind=index_kind)
    index = dt.datetime(2020, 1, 1, 9, 30) if index_kind == "datetime" else dt.date(2020, 1, 1)
    visits = [("p1", number, when, 70.0, False, 1.0) for number, when in enumerate([last_known, first_hidden, None])]
    stranger = ("nobody", 7, last_known, 70.0, False, 1.0)
    connection = validated(spec, {"subjects": [("p1", index, 50, 1.0, "alive")], "visits": [*visits, stranger]})
    project = project_of(tmp_path, {"features/m.sql": SEEN, "marts/n.sql": SEEN}, spec)
    assert rows(connection, project, "m") == [("p1", [0])]
    assert rows(connection, project, "n") == [("nobody", [7]), ("p1", [0, 1, 2])]


def test_a_staging_model_is_guarded_below_a_feature_and_not_below_an_outcome(tmp_path: Path) -> None:
    spec = with_visits()
    day = dt.date(2020, 1, 1)
    visits = [("p1", number, day + dt.timedelta(days=20 * number), 70.0, False, 1.0) for number in range(4)]
    connection = validated(spec, {"subjects": [("p1", day, 50, 1.0, "alive")], "visits": visits})
    through = "SELECT * FROM {{ ref('seen') }}"
    files = {"staging/seen.sql": SEEN, "features/f.sql": through, "outcomes/o.sql": through}
    files["marts/m.sql"] = "SELECT f.seen AS known, s.seen FROM {{ ref('f') }} AS f, {{ ref('seen') }} AS s"
    project = project_of(tmp_path, files, spec)
    assert rows(connection, project, "f") == [("p1", [0, 1])]
    assert rows(connection, project, "o") == [("p1", [0, 1, 2, 3])]
    assert rows(connection, project, "m") == [([0, 1], [0, 1, 2, 3])]


@pytest.mark.parametrize("name", ["died", "ward_after", "secret", "_row"])
def test_columns_known_too_late_do_not_exist_for_features_but_do_for_outcomes(tmp_path: Path, name: str) -> None:
    sql = f"SELECT subject_id, {name} AS x FROM {{{{ source('subjects') }}}}"
    project = project_of(tmp_path, {"features/f.sql": sql, "outcomes/o.sql": sql})
    with pytest.raises(SqlModelError, match=f"'{name}' cannot be used"):
        project.types("f")
    assert "x" in project.types("o")


def _admissions(kind: str = "date", **visit_columns: object) -> CohortSpec:
    """One person, several prediction units."""
    spec = with_visits(kind=kind, landmark_days=0).model_dump(mode="json", by_alias=True)
    spec["tables"]["subjects"]["key"] = ["subject_id", "admission"]
    spec["tables"]["subjects"]["columns"]["admission"] = column("integer", "identifier")
    spec["tables"]["visits"]["columns"] |= visit_columns
    return CohortSpec.model_validate(spec)


def test_with_several_units_of_a_person_an_event_is_seen_by_those_that_could_know_it(tmp_path: Path) -> None:
    spec = _admissions()
    days = [dt.date(2020, month, 1) for month in (1, 2, 3)]
    subjects = [("p1", day, 50, 1.0, "alive", number) for number, day in enumerate(days)]
    visits = [("p1", number, day, 70.0, False, 1.0) for number, day in enumerate(days)]
    connection = validated(spec, {"subjects": subjects, "visits": visits})
    sql = "SELECT subject_id, admission, count(*) AS n FROM {{ source('visits') }} GROUP BY ALL"
    project = project_of(tmp_path, {"features/m.sql": sql}, spec)
    assert rows(connection, project, "m") == [("p1", 0, 1), ("p1", 1, 2), ("p1", 2, 3)]


def test_an_event_that_names_its_unit_is_seen_by_that_unit_alone(tmp_path: Path) -> None:
    spec = _admissions(kind="integer", admission=column("integer", "identifier"))
    subjects = [("p1", dt.date(2020, 1, 1), 50, 1.0, "alive", number) for number in range(2)]
    visits = [("p1", 1, 0, 70.0, False, 1.0, 0), ("p1", 2, 1, 70.0, False, 1.0, 0), ("p1", 3, -5, 70.0, False, 1.0, 1)]
    connection = validated(spec, {"subjects": subjects, "visits": visits})
    sql = "SELECT admission, list(visit_number) AS n FROM {{ source('visits') }} GROUP BY ALL"
    project = project_of(tmp_path, {"features/m.sql": sql}, spec)
    assert rows(connection, project, "m") == [(0, [1]), (1, [3])]


def test_day_numbers_that_do_not_say_whose_index_date_they_count_from_are_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"features/m.sql": SEEN}, _admissions(kind="integer"))
    with pytest.raises(SqlModelError, match="does not say from which one's index date"):
        project.compile("m")


# bookkeeping, running


def test_bookkeeping_tables_are_for_marts_alone(tmp_path: Path) -> None:
    sql = "SELECT count(*) AS n FROM {{ source('quarantine.records') }}"
    project = project_of(tmp_path, {"features/f.sql": sql, "marts/m.sql": sql})
    with pytest.raises(SqlModelError, match="only marts may read it"):
        project.compile("f")
    assert project.compile("m").relations == ("quarantine.records",)


def test_a_bookkeeping_table_that_is_not_there_yet_counts_as_empty(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"marts/m.sql": "SELECT count(*) AS n FROM {{ source('quarantine.records') }}"})
    connection = validated(one_table(), {})
    assert project.run_on(connection, "m").rows == 1
    assert connection.execute("SELECT n FROM marts.m").fetchall() == [(0,)]
    connection.execute("CREATE SCHEMA quarantine")
    connection.execute("CREATE TABLE quarantine.records (table_name VARCHAR, _row BIGINT, record VARCHAR)")
    connection.execute("INSERT INTO quarantine.records VALUES ('subjects', 1, '{}')")
    project.run_on(connection, "m")
    assert connection.execute("SELECT n FROM marts.m").fetchall() == [(1,)]


def test_running_a_model_replaces_its_table_and_a_failing_run_leaves_it(tmp_path: Path, settings: Settings) -> None:
    spec = one_table()
    warehouse = Warehouse(spec.name, settings)
    with warehouse.writer() as connection:
        create_validated_tables(connection, spec)
        insert(connection, "subjects", [("p1", 40, 70.0, True, "F", "", False, "", 1.0)])
    good = project_of(tmp_path, {"staging/m.sql": "SELECT subject_id FROM {{ source('subjects') }}"})
    run = good.run(warehouse, "m")
    assert (run.name, run.rows) == ("staging.m", 1)
    bad = project_of(tmp_path, {"staging/m.sql": "SELECT CAST(subject_id AS INT) AS x FROM {{ source('subjects') }}"})
    with pytest.raises(SqlModelError, match=r"staging/m\.sql:1"):
        bad.run(warehouse, "m")
    assert warehouse.query("SELECT * FROM staging.m").rows() == [("p1",)]


@pytest.mark.parametrize("name", representatives())
def test_the_models_of_every_shipped_cohort_bind_and_yield_what_they_should(name: str) -> None:
    spec = Catalogue(folders=(SHIPPED,)).spec(name)
    project = SqlProject([SHIPPED_SQL], spec)
    assert check_models(spec, project)
    for model in (project.feature_model, project.outcome_model, "marts.cohort_overview", "staging.prediction_units"):
        described = project.columns(model)
        documented = set(project.docs(model).columns or {})
        assert documented <= {column.name for column in described}, "the YAML describes columns that do not exist"
        assert all(column.description for column in described if column.name not in ("outcome", "exclusion"))
