"""Tests of SQL models: the usual ones of dbt, counted, with the statement that finds the offending rows.

Results never show identifiers: examples hold only columns that no identifier or free text goes into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from clinical_assets.foundation.errors import SqlModelError, engine_words
from clinical_assets.warehouse.sql.docs import (
    KINDS,
    AcceptedValues,
    DeclaredTest,
    ExpressionTest,
    NotNull,
    Relationships,
    SqlTestKind,
    SqlTestSeverity,
    Unique,
)
from clinical_assets.warehouse.sql.guard.analysis import check_expression
from clinical_assets.warehouse.sql.guard.confined import write_result
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb


EXAMPLES = 5
_MODEL, _OTHER = "temp.sql_test_model", "temp.sql_test_other"
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
    test: SqlTestKind
    column: str | None
    detail: str
    severity: SqlTestSeverity
    rows: int
    failures: int
    examples: tuple[dict[str, Any], ...]
    sql: str

    @property
    def passed(self) -> bool:
        """True when no row breaks the promise."""
        return self.failures == 0


class SqlAudit(NamedTuple):
    """What a test asks: a promise in words, and one SELECT of the rows that break it.

    Both are filled by ``str.format``: ``listed`` are the columns, ``nulls`` says that one of them is missing, ``model``
    and ``other`` are relations; the rest are the test's own settings.
    """

    promise: str
    failing: str


AUDITS: dict[SqlTestKind, SqlAudit] = {
    "not_null": SqlAudit("no value missing", "SELECT {listed} FROM {model} WHERE {nulls}"),
    "unique": SqlAudit(
        "{names} names one row",
        "SELECT {listed}, count(*) AS rows_with_it FROM {model} WHERE NOT ({nulls}) "
        "GROUP BY {listed} HAVING count(*) > 1",
    ),
    "accepted_values": SqlAudit("one of {shown}", "SELECT {listed} FROM {model} WHERE {listed} NOT IN {values}"),
    "relationships": SqlAudit(
        "found in {to}, {field}",
        "SELECT {listed} FROM {model} WHERE {listed} IS NOT NULL AND {listed} NOT IN "
        '(SELECT "{field}" FROM {other} WHERE "{field}" IS NOT NULL)',
    ),
    "expression": SqlAudit("{expression}", "SELECT {listed} FROM {model} WHERE NOT ({expression})"),
}


@dataclass(frozen=True)
class _Prepared:
    """One test with the columns it needs and, for a relationship, the other side."""

    declared: DeclaredTest
    columns: tuple[str, ...]
    other: CompiledModel | str | None

    def filled(self, text: str, *, model: str = "", other: str = "") -> str:
        """A promise or SELECT of its audit; `model` and `other` stand for the relations."""
        test, listed = self.declared.test, [quoted(column) for column in self.columns]
        settings = test.model_dump()
        if isinstance(test, AcceptedValues):
            settings |= {"values": literal(test.values), "shown": ", ".join(map(str, test.values))}
        return text.format(
            **settings,
            model=model,
            other=other,
            names=", ".join(self.columns),
            listed=", ".join(listed),
            nulls=" OR ".join(f"{column} IS NULL" for column in listed),
        )


def run_tests(
    project: SqlProject, warehouse: Warehouse, model: str, *, kinds: Sequence[SqlTestKind] | None = None
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
    connection: duckdb.DuckDBPyConnection,
    project: SqlProject,
    model: str,
    *,
    kinds: Sequence[SqlTestKind] | None = None,
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
    _keep(connection, _MODEL, compiled, columns)
    try:
        (rows,) = connection.execute(f"SELECT count(*) FROM {_MODEL}").fetchone() or (0,)
        return tuple(_run(connection, project, compiled, test, int(rows)) for test in prepared)
    finally:
        connection.execute(f"DROP TABLE IF EXISTS {_MODEL}")


def _chosen(project: SqlProject, model: str, kinds: Sequence[SqlTestKind] | None) -> list[DeclaredTest]:
    wanted = KINDS if kinds is None else kinds
    return [test for test in project.docs(model).tests if test.kind in wanted]


def _prepare(
    declared: DeclaredTest,
    connection: duckdb.DuckDBPyConnection,
    project: SqlProject,
    compiled: CompiledModel,
    types: Mapping[str, str],
) -> _Prepared:
    test = declared.test
    columns: tuple[str, ...] = (declared.column,) if declared.column else ()
    if isinstance(test, NotNull | Unique) and not columns:
        columns = test.columns or project.spec.key
    elif isinstance(test, ExpressionTest):
        columns = _columns_in(test.expression, declared.place, types)
    for column in columns:
        if column not in types:
            raise SqlModelError(
                f"{declared.place}: the test names column {column!r}, which {compiled.name} does not yield.",
                cure=f"It yields: {', '.join(list(types)[:40])}.",
            )
    other = _other(test, declared.place, connection, project) if isinstance(test, Relationships) else None
    return _Prepared(declared, columns, other)


def _columns_in(expression: str, place: str, types: Mapping[str, str]) -> tuple[str, ...]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    check_expression(expression, place)
    try:
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0].get("description", "not understood")
        raise SqlModelError(
            f"{place}: the expression {expression!r} cannot be read: {first}.",
            cure="Write an SQL expression over the columns of one row.",
        ) from error
    if tree.find(exp.Query, exp.AggFunc) is not None:
        raise SqlModelError(
            f"{place}: the expression {expression!r} is not about one row.",
            cure="Leave out subqueries and aggregates, or write a model that aggregates and test that.",
        )
    lower = {name.lower(): name for name in types}
    named = [lower.get(column.name.lower(), column.name) for column in tree.find_all(exp.Column)]
    if not named:
        raise SqlModelError(f"{place}: the expression {expression!r} names no column.")
    return tuple(dict.fromkeys(named))


def _other(
    test: Relationships, place: str, connection: duckdb.DuckDBPyConnection, project: SqlProject
) -> CompiledModel | str:
    """The other side of a relationship: a compiled model, or the name of a validated table."""
    how, name = test.target
    spec = project.spec
    if how == "source":
        if name not in spec.tables or test.field not in spec.tables[name].columns:
            raise SqlModelError(
                f"{place}: cohort {spec.name} has no {name}.{test.field}.", cure=f"Tables: {', '.join(spec.tables)}."
            )
        return f"validated.{quoted(name)}"
    compiled = project.compile_for(connection, name)
    if test.field not in project.types(name):
        raise SqlModelError(
            f"{place}: {compiled.name} yields no column {test.field!r}.",
            cure=f"It yields: {', '.join(list(project.types(name))[:40])}.",
        )
    return compiled


def _keep(connection: duckdb.DuckDBPyConnection, table: str, compiled: CompiledModel, columns: Sequence[str]) -> None:
    write_result(connection, table, compiled, columns=[quoted(name) for name in columns], temporary=True)


def _run(
    connection: duckdb.DuckDBPyConnection, project: SqlProject, compiled: CompiledModel, test: _Prepared, rows: int
) -> SqlTestResult:
    import duckdb

    declared, audit, other = test.declared, AUDITS[test.declared.kind], test.other
    if isinstance(declared.test, Relationships) and isinstance(other, CompiledModel):
        _keep(connection, _OTHER, other, [declared.test.field])
    # On the tables that were computed once, and as a statement that runs by itself.
    failing = test.filled(audit.failing, model=_MODEL, other=other if isinstance(other, str) else _OTHER)
    whole = f"(\n{other.sql}\n)" if isinstance(other, CompiledModel) else other or ""
    try:
        (failures,) = connection.execute(f"SELECT count(*) FROM ({failing})").fetchone() or (0,)
        examples = _examples(connection, project, compiled, test, failing) if failures else ()
    except duckdb.Error as error:
        words = engine_words(error, known=failing)
        raise SqlModelError(f"{declared.place}: the test cannot be run: {words}") from None
    finally:
        connection.execute(f"DROP TABLE IF EXISTS {_OTHER}")
    return SqlTestResult(
        model=compiled.name,
        test=declared.kind,
        column=declared.column,
        detail=test.filled(audit.promise),
        severity=declared.test.severity,
        rows=rows,
        failures=int(failures),
        examples=examples,
        sql=test.filled(audit.failing, model=f"(\n{compiled.sql}\n)", other=whole),
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
