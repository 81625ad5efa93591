"""No statement reaches the outcome: the tree refuses what is not on the list, and the connection does not have it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assets_tests.worlds.tables.sql_cohorts import one_table, project_of, validated, with_visits
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.guard.analysis import check_expression
from clinical_assets.warehouse.sql.guard.confined import confined, write_result
from clinical_assets.warehouse.sql.guard.functions import ALLOWED, CHANCE, CLOCK, TABLE_FUNCTIONS
from clinical_assets.warehouse.sql.guard.tree import refusals, syntax_tree

PEOPLE = [("p1", 40, 70.5, True, "F", "", False, "", 1.0), ("p2", 50, 60.5, False, "M", "", True, "", 2.0)]

ATTACKS = {
    "query by a lateral join": (
        "SELECT s.subject_id, q.x FROM {{ source('subjects') }} AS s, "
        "LATERAL query('SELECT died AS x FROM validated.subjects') AS q"
    ),
    "query as a table": "SELECT * FROM query('SELECT subject_id, died FROM validated.subjects')",
    "query_table": "SELECT * FROM query_table(['validated.subjects'])",
    "serialized statement": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1 AS subject_id'))",
    "name that leaks out of its scope": (
        "SELECT s.subject_id, d.died FROM {{ source('subjects') }} AS s, subjects AS d "
        "WHERE EXISTS (WITH subjects AS (SELECT 1 AS one) SELECT one FROM subjects)"
    ),
    "name used before it is made": "WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS subject_id) SELECT * FROM a",
    "name of a sibling query": (
        "SELECT * FROM (WITH subjects AS (SELECT 1 AS subject_id) SELECT * FROM subjects) UNION ALL "
        "SELECT subject_id FROM subjects"
    ),
    "summarize a file": "SUMMARIZE 'records.csv'",
    "summarize in a subquery": "SELECT * FROM (SUMMARIZE validated.subjects)",
    "describe a table": "SELECT * FROM (DESCRIBE validated.subjects)",
    "unnest of a subquery": "SELECT * FROM unnest((SELECT list(died) FROM validated.subjects)) AS t(subject_id)",
    "unnest in a select": "SELECT unnest((SELECT list(died) FROM validated.subjects)) AS subject_id",
    "table method": "SELECT * FROM {{ source('subjects') }} AS s, LATERAL (FROM 'validated.subjects'.query())",
    "scalar subquery": "SELECT subject_id, (SELECT max(died) FROM validated.x) AS x FROM {{ source('subjects') }}",
    "window's order": (
        "SELECT subject_id, rank() OVER (ORDER BY (SELECT max(x) FROM raw.y)) AS x FROM {{ source('subjects') }}"
    ),
    "order by": "SELECT subject_id FROM {{ source('subjects') }} ORDER BY (SELECT died FROM validated.x LIMIT 1)",
    "limit": "SELECT subject_id FROM {{ source('subjects') }} LIMIT (SELECT count(*) FROM validated.subjects)",
    "lambda": (
        "SELECT subject_id, list_transform([1], lambda x: (SELECT count(*) FROM validated.subjects)) AS x "
        "FROM {{ source('subjects') }}"
    ),
    "filter": (
        "SELECT subject_id, count(*) FILTER (EXISTS (FROM validated.x)) AS x FROM {{ source('subjects') }} GROUP BY 1"
    ),
    "pivot": "SELECT * FROM (PIVOT validated.subjects ON died IN (true, false) USING count(*))",
    "values": "SELECT * FROM (VALUES ((SELECT max(died) FROM validated.subjects))) AS t(subject_id)",
    "join condition": (
        "SELECT a.subject_id FROM {{ source('subjects') }} AS a JOIN {{ source('subjects') }} AS b "
        "ON (SELECT max(died) FROM validated.subjects)"
    ),
    "catalog in the name": "SELECT * FROM memory.validated.subjects",
    "another model's name": "SELECT * FROM source__subjects",
    "replacement of a Python variable": "SELECT * FROM spec",
    "file": "SELECT * FROM 'records.parquet'",
    "text of a file": "SELECT content AS subject_id FROM read_text('/etc/hosts')",
    "list of files": "SELECT file AS subject_id FROM glob('*')",
    "environment": "SELECT getenv('HOME') AS subject_id",
    "setting": "SELECT current_setting('memory_limit') AS subject_id",
    "session variable": "SELECT getvariable('x') AS subject_id",
    "catalogue of tables": "SELECT table_name AS subject_id FROM duckdb_tables()",
    "information schema": "SELECT table_name AS subject_id FROM information_schema.tables",
    "error with a value in it": "SELECT error(subject_id) AS subject_id FROM {{ source('subjects') }}",
    "waiting": "SELECT sleep_ms(100000) AS subject_id",
    "parameter": "SELECT ? AS subject_id",
    "sample of rows": "SELECT subject_id FROM {{ source('subjects') }} TABLESAMPLE 50%",
    "recursion over a table": (
        "WITH RECURSIVE r AS (SELECT died FROM validated.x UNION ALL SELECT died FROM r WHERE false) SELECT * FROM r"
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_statement_that_reads_what_it_was_not_given_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SqlModelError, match=r"features/m\.sql"):
        project_of(tmp_path, {"features/m.sql": ATTACKS[name]}).compile("m")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT subject_id FROM {{ source('subjects') }}), b AS (SELECT * FROM a) SELECT * FROM b",
        "WITH a AS (WITH c AS (FROM {{ source('subjects') }}) SELECT * FROM c) SELECT subject_id FROM a",
        "SELECT subject_id FROM {{ source('subjects') }} WHERE EXISTS (WITH a AS (SELECT 1 AS x) SELECT x FROM a)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n AS subject_id FROM r",
        "WITH A AS (FROM {{ source('subjects') }}) SELECT subject_id FROM a",
        "SELECT subject_id, x FROM {{ source('subjects') }}, unnest([age_years, weight_kg]) AS t(x)",
        "SELECT subject_id, age_years // 10 + 2 ** 2 AS x FROM {{ source('subjects') }} WHERE sex LIKE 'F%'",
        "SELECT subject_id, list_transform([age_years], lambda x: x + 1) AS x FROM {{ source('subjects') }}",
        "SELECT subject_id, rank() OVER (ORDER BY age_years) AS r FROM {{ source('subjects') }}",
    ],
)
def test_what_reads_only_its_sources_is_allowed(tmp_path: Path, sql: str) -> None:
    assert "subject_id" in project_of(tmp_path, {"features/m.sql": sql}).types("m")


def test_the_list_of_functions_holds_what_duckdb_has_and_nothing_inconstant() -> None:
    with duckdb.connect() as connection:
        found = connection.execute("SELECT function_name, function_type, stability FROM duckdb_functions()").fetchall()
    by_name: dict[str, set[str]] = {}
    for name, kind, stability in found:
        by_name.setdefault(name, set()).add(stability or kind)
    windows = {"cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile"}
    known = set(by_name) | windows | {"percent_rank", "rank", "row_number", "fill", "rank_dense"}
    assert ALLOWED - known == set()
    inconstant = {name for name, kinds in by_name.items() if kinds & {"VOLATILE", "CONSISTENT_WITHIN_QUERY"}}
    # With two arguments `age` is a difference; with one the tree refuses it.
    assert ALLOWED & inconstant <= {"age"}
    only_tables = {name for name, kind, _ in found if kind in ("table", "pragma", "table_macro")}
    assert only_tables >= TABLE_FUNCTIONS
    harmless = {"generate_series", "histogram", "range", "repeat", "unnest"}  # scalar functions of the same names
    assert (ALLOWED | CLOCK | CHANCE) & only_tables <= harmless


def test_each_kind_of_node_that_is_not_on_the_list_is_refused() -> None:
    (statement,) = syntax_tree("SELECT 1 AS x")
    statement["node"]["from_table"] = {"type": "DELIM_GET", "query_location": 3}
    assert [(found.kind, found.at) for found in refusals(statement, tables=(), repeatable=True)] == [("construct", 3)]


# the connection


def test_the_statement_runs_where_neither_hidden_columns_nor_late_rows_nor_other_tables_exist(tmp_path: Path) -> None:
    spec = with_visits()
    index = dt.date(2020, 1, 1)
    visits = [("p1", number, index + dt.timedelta(days=20 * number), 70.0, False, 1.0) for number in range(4)]
    source = validated(spec, {"subjects": [("p1", index, 50, 1.0, "alive")], "visits": visits})
    sql = (
        "SELECT subject_id, count(*) AS n FROM {{ source('visits') }} JOIN {{ source('subjects') }} "
        "USING (subject_id) GROUP BY 1"
    )
    compiled = project_of(tmp_path, {"features/m.sql": sql}, spec).compile("m")
    with confined(source, compiled) as alone:
        tables = alone.execute("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL").fetchall()
        assert tables == [("main", "known__subjects"), ("main", "known__visits")]
        columns = {name for (name,) in alone.execute("SELECT column_name FROM duckdb_columns()").fetchall()}
        assert not columns & {"status", "_row"}
        assert alone.execute("SELECT count(*) FROM known__visits").fetchall() == [(2,)]
        for reach in ("FROM validated.subjects", "FROM read_text('/etc/hosts')", "SET enable_external_access = true"):
            with pytest.raises(duckdb.Error):
                alone.execute(reach)
        tables = "a variable of this test"
        with pytest.raises(duckdb.Error):
            alone.execute("FROM visits")


def test_a_statement_that_slipped_past_the_tree_finds_no_table(tmp_path: Path) -> None:
    source = validated(one_table(), {"subjects": PEOPLE})
    honest = project_of(tmp_path, {"features/m.sql": "SELECT subject_id FROM {{ source('subjects') }}"}).compile("m")
    forged = (
        "SELECT s.subject_id, q.x FROM known__subjects AS s, query('SELECT died AS x FROM validated.subjects') AS q"
    )
    with pytest.raises(SqlModelError, match="does not exist"):
        write_result(source, "main.result", replace(honest, body=forged))
    write_result(source, "main.result", honest)
    assert source.execute("SELECT count(*) FROM main.result").fetchall() == [(2,)]


def test_body_and_whole_statement_yield_the_same_rows_and_lines(tmp_path: Path) -> None:
    source = validated(one_table(), {"subjects": PEOPLE})
    files = {
        "staging/base.sql": "SELECT * FROM {{ source('subjects') }} -- all",
        "features/m.sql": "SELECT subject_id, age_years::HUGEINT AS a, [weight_kg] AS w\nFROM {{ ref('base') }}",
    }
    compiled = project_of(tmp_path, files).compile("m")
    assert compiled.body.count("\n") == compiled.sql.count("\n")
    write_result(source, "main.result", compiled, order=["subject_id"])
    whole = source.execute(f"SELECT * FROM ({compiled.sql}\n) ORDER BY 1")
    kinds = [column[1] for column in whole.description or ()]
    rows = whole.fetchall()
    written = source.execute("SELECT * FROM main.result")
    assert [column[1] for column in written.description or ()] == kinds
    assert written.fetchall() == rows


def test_an_error_at_run_time_names_the_line_and_quotes_no_value(tmp_path: Path) -> None:
    source = validated(one_table(), {"subjects": PEOPLE})
    sql = "SELECT subject_id,\n  CAST(subject_id AS INTEGER) AS x\nFROM {{ source('subjects') }}"
    compiled = project_of(tmp_path, {"features/m.sql": sql}).compile("m")
    with pytest.raises(SqlModelError) as caught:
        write_result(source, "main.result", compiled)
    assert "p1" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_test_beside_a_model_may_not_reach_further_than_its_row() -> None:
    check_expression("age_years BETWEEN 0 AND 120 AND lower(sex) IN ('f', 'm')", "m.yml")
    for reach in ("age_years > (SELECT max(died) FROM validated.subjects)", "getenv('HOME') = 'x'", "true) FROM x, (y"):
        with pytest.raises(SqlModelError, match=r"m\.yml"):
            check_expression(reach, "m.yml")
