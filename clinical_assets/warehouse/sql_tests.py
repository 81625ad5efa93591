"""Tests of SQL models: the usual ones of dbt, counted, with the statement that finds the offending rows.

Results never show identifiers: examples hold only columns that no identifier or free text goes into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.errors import SqlModelError
from clinical_assets.warehouse.sql_docs import KINDS, DeclaredTest, Kind, Severity
from clinical_assets.warehouse.sql_errors import explain
from clinical_assets.warehouse.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.warehouse.sql_models import CompiledModel
    from clinical_assets.warehouse.sql_project import SqlProject
    from clinical_assets.warehouse.store import Warehouse

EXAMPLES = 5
_PRIVATE_ROLES = frozenset({"identifier", "note"})


@dataclass(frozen=True)
class SqlTestResult:
    """The verdict of one test.

    Attributes
    ----------
    model : str
        ``layer.name``.
    test : str
        Its kind, such as ``not_null``.
    column : str or None
        The column it is about; None for a test of the whole model.
    detail : str
        What is promised, in words or SQL.
    severity : str
        ``error`` or ``warn``.
    rows : int
        Rows looked at.
    failures : int
        Rows (for ``unique``: groups of rows) that break the promise; 0 is the ideal.
    examples : tuple of dict
        At most 5 distinct offending values, identifiers left out.
    sql : str
        The statement that yields the offending rows; runs by itself on the warehouse.
    """

    model: str
    test: Kind
    column: str | None
    detail: str
    severity: Severity
    rows: int
    failures: int
    examples: tuple[dict[str, Any], ...]
    sql: str

    @property
    def passed(self) -> bool:
        """True when no row breaks the promise."""
        return self.failures == 0


@dataclass(frozen=True)
class _Prepared:
    """One test, ready for any relation: ``{model}`` and ``{other}`` stand for the tables."""

    declared: DeclaredTest
    detail: str
    columns: tuple[str, ...]
    offending: str
    other: tuple[CompiledModel | None, str, str] | None = None


def run_tests(
    project: SqlProject, warehouse: Warehouse, model: str, *, kinds: Sequence[Kind] | None = None
) -> tuple[SqlTestResult, ...]:
    """Run the tests beside a model on the cohort's warehouse.

    Parameters
    ----------
    project : SqlProject
        The models.
    warehouse : Warehouse
        The records.
    model : str
        ``layer.name``, or a bare name that one layer alone has.
    kinds : sequence of str, optional
        Only tests of these kinds.

    Raises
    ------
    SqlModelError
        When the model or a test cannot be run.
    """
    if not _chosen(project, model, kinds):
        return ()
    with warehouse.reader() as connection:
        return run_tests_on(connection, project, model, kinds=kinds)


def run_tests_on(
    connection: duckdb.DuckDBPyConnection, project: SqlProject, model: str, *, kinds: Sequence[Kind] | None = None
) -> tuple[SqlTestResult, ...]:
    """Run the tests beside a model on a connection that has the validated tables; a read-only one will do."""
    declared = _chosen(project, model, kinds)
    if not declared:
        return ()
    compiled = project.compile_for(connection, model)
    types = project.types(model)
    prepared = [_prepare(test, connection, project, compiled, types) for test in declared]
    # The model is computed once, with no more columns than the tests name, and thrown away afterwards.
    columns = list(dict.fromkeys(column for test in prepared for column in test.columns))
    _keep(connection, "sql_test_model", compiled, columns)
    try:
        return tuple(_run(connection, project, compiled, test) for test in prepared)
    finally:
        connection.execute("DROP TABLE IF EXISTS temp.sql_test_model")


def _chosen(project: SqlProject, model: str, kinds: Sequence[Kind] | None) -> list[DeclaredTest]:
    wanted = KINDS if kinds is None else kinds
    return [test for test in project.docs(model).tests if test.kind in wanted]


def _prepare(
    declared: DeclaredTest,
    connection: duckdb.DuckDBPyConnection,
    project: SqlProject,
    compiled: CompiledModel,
    types: Mapping[str, str],
) -> _Prepared:
    test, spec = declared.test, project.spec
    columns: tuple[str, ...] = (declared.column,) if declared.column else ()
    if declared.kind in ("not_null", "unique") and not columns:
        columns = test.columns or spec.key
    if declared.kind == "expression":
        columns = _columns_in(declared, types)
    for column in columns:
        if column not in types:
            raise SqlModelError(
                f"{declared.place}: the test names column {column!r}, which {compiled.name} does not yield.",
                cure=f"It yields: {', '.join(list(types)[:40])}.",
            )
    listed = ", ".join(map(quoted, columns))
    match declared.kind:
        case "not_null":
            wrong = " OR ".join(f"{quoted(column)} IS NULL" for column in columns)
            return _Prepared(declared, "no value missing", columns, f"SELECT {listed} FROM {{model}} WHERE {wrong}")
        case "unique":
            present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
            offending = (
                f"SELECT {listed}, count(*) AS rows_with_it FROM {{model}} WHERE {present} "
                f"GROUP BY {listed} HAVING count(*) > 1"
            )
            return _Prepared(declared, f"{', '.join(columns)} names one row", columns, offending)
        case "accepted_values":
            offending = f"SELECT {listed} FROM {{model}} WHERE {listed} NOT IN {literal(test.values)}"
            return _Prepared(declared, f"one of {', '.join(map(str, test.values))}", columns, offending)
        case "relationships":
            other = _other(declared, connection, project)
            offending = (
                f"SELECT {listed} FROM {{model}} WHERE {listed} IS NOT NULL AND {listed} NOT IN "
                f"(SELECT {quoted(test.field)} FROM {{other}} WHERE {quoted(test.field)} IS NOT NULL)"
            )
            return _Prepared(declared, f"found in {test.to}, {test.field}", columns, offending, other)
        case "expression":
            offending = f"SELECT {listed} FROM {{model}} WHERE NOT ({test.expression})"
            return _Prepared(declared, test.expression, columns, offending)


def _columns_in(declared: DeclaredTest, types: Mapping[str, str]) -> tuple[str, ...]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(declared.test.expression, dialect="duckdb")
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0].get("description", "not understood")
        raise SqlModelError(
            f"{declared.place}: the expression {declared.test.expression!r} cannot be read: {first}.",
            cure="Write an SQL expression over the columns of one row.",
        ) from error
    if tree.find(exp.Query, exp.AggFunc) is not None:
        raise SqlModelError(
            f"{declared.place}: the expression {declared.test.expression!r} is not about one row.",
            cure="Leave out subqueries and aggregates, or write a model that aggregates and test that.",
        )
    lower = {name.lower(): name for name in types}
    named = [lower.get(column.name.lower(), column.name) for column in tree.find_all(exp.Column)]
    if not named:
        raise SqlModelError(f"{declared.place}: the expression {declared.test.expression!r} names no column.")
    return tuple(dict.fromkeys(named))


def _other(
    declared: DeclaredTest, connection: duckdb.DuckDBPyConnection, project: SqlProject
) -> tuple[CompiledModel | None, str, str]:
    """The other side of a relationship: its statement (None for a table), a table name, and itself in brackets."""
    how, name = declared.test.target
    spec = project.spec
    if how == "source":
        if name not in spec.tables or declared.test.field not in spec.tables[name].columns:
            raise SqlModelError(
                f"{declared.place}: cohort {spec.name} has no {name}.{declared.test.field}.",
                cure=f"Tables: {', '.join(spec.tables)}.",
            )
        relation = f"validated.{quoted(name)}"
        return None, relation, relation
    compiled = project.compile_for(connection, name)
    if declared.test.field not in project.types(name):
        raise SqlModelError(
            f"{declared.place}: {compiled.name} yields no column {declared.test.field!r}.",
            cure=f"It yields: {', '.join(list(project.types(name))[:40])}.",
        )
    return compiled, "temp.sql_test_other", f"(\n{compiled.sql}\n)"


def _keep(connection: duckdb.DuckDBPyConnection, table: str, compiled: CompiledModel, columns: Sequence[str]) -> None:
    import duckdb

    listed = ", ".join(map(quoted, columns))
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {listed} FROM (\n{compiled.sql}\n)")
    except duckdb.Error as error:
        raise explain(error, compiled, lines_before=1) from error


def _run(
    connection: duckdb.DuckDBPyConnection, project: SqlProject, compiled: CompiledModel, test: _Prepared
) -> SqlTestResult:
    import duckdb

    other, other_name, other_shown = test.other or (None, "", "")
    if other is not None:
        _keep(connection, "sql_test_other", other, [test.declared.test.field])
    offending = test.offending.replace("{model}", "temp.sql_test_model").replace("{other}", other_name)
    try:
        (failures,) = connection.execute(f"SELECT count(*) FROM ({offending})").fetchone() or (0,)
        (rows,) = connection.execute("SELECT count(*) FROM temp.sql_test_model").fetchone() or (0,)
        examples = _examples(connection, project, compiled, test, offending) if failures else ()
    except duckdb.Error as error:
        words = str(error).split("\n\nLINE")[0]
        raise SqlModelError(f"{test.declared.place}: the test cannot be run: {words}") from error
    finally:
        if other is not None:
            connection.execute("DROP TABLE IF EXISTS temp.sql_test_other")
    return SqlTestResult(
        model=compiled.name,
        test=test.declared.kind,
        column=test.declared.column,
        detail=test.detail,
        severity=test.declared.severity,
        rows=int(rows),
        failures=int(failures),
        examples=examples,
        sql=test.offending.replace("{model}", f"(\n{compiled.sql}\n)").replace("{other}", other_shown),
    )


def _examples(
    connection: duckdb.DuckDBPyConnection,
    project: SqlProject,
    compiled: CompiledModel,
    test: _Prepared,
    offending: str,
) -> tuple[dict[str, Any], ...]:
    origins = project.lineage(compiled.name)
    shown = [column for column in test.columns if _may_be_shown(column, project, origins)]
    if test.declared.kind == "unique":
        shown.append("rows_with_it")
    if not shown:
        return ()
    listed = ", ".join(map(quoted, shown))
    result = connection.execute(f"SELECT DISTINCT {listed} FROM ({offending}) ORDER BY ALL LIMIT {EXAMPLES}")
    return tuple(dict(zip(shown, row, strict=True)) for row in result.fetchall())


def _may_be_shown(column: str, project: SqlProject, origins: Mapping[str, tuple[tuple[str, str], ...]]) -> bool:
    """False for what an identifier or free text goes into, and for what cannot be traced."""
    if column.lower() not in origins:
        return False
    tables = project.spec.tables
    return all(
        table in tables and name in tables[table].columns and not _PRIVATE_ROLES & set(tables[table].columns[name].role)
        for table, name in origins[column.lower()]
    )
