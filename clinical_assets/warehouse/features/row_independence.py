"""Whether a feature statement gives a unit the same numbers alone as among all others.

A statement that ranks, averages or counts over the cohort would give a patient other features at the bedside than in
training. Such statistics belong in the fitted pipeline, inside the folds. What the same person had before is known at
the bedside, and may be looked at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.errors import explain
from clinical_assets.warehouse.sql.guard.confined import confined
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.schema import create_validated_tables, table_types
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb


UNITS = 8


def check_one_at_a_time(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, compiled: CompiledModel, *, units: int = UNITS
) -> int:
    """Compute some units alone, each in a database that holds only what its own person had by then, and compare.

    Where a person has several units and an index says when each was, the earlier ones of the same person are part of
    what was known: ``lag(x) OVER (PARTITION BY patient ORDER BY day)`` is a history, not a statistic over the cohort.
    A window that looks ahead of the index, or at other persons, gives another value alone.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has ``validated.*`` and the result of the statement for all units as ``model.features``.
    spec : CohortSpec
        The cohort.
    compiled : CompiledModel
        The feature statement.
    units : int
        How many units to try, chosen by a hash of their key; where persons have several, so many more, each the first
        of a person with the most.

    Returns
    -------
    int
        How many were compared.

    Raises
    ------
    SqlModelError
        Naming the features that differ. Differences of rounding (relative 1e-9) are none.
    """
    import duckdb

    key = [quoted(name) for name in spec.key]
    where = " AND ".join(f"{name} = ?" for name in key)
    chosen = _chosen(connection, spec, units)
    with duckdb.connect(config={"threads": "1", "enable_external_access": "false"}) as alone:
        create_validated_tables(alone, spec)
        for unit in chosen:
            names = list(unit[: len(key)])
            together = connection.execute(f"SELECT * FROM model.features WHERE {where}", names)
            columns = [column[0] for column in together.description or ()]
            expected = together.fetchall()
            found = _alone(alone, connection, spec, compiled, columns, where, names, unit[-1])
            if len(found) != 1:
                raise SqlModelError(
                    f"{compiled.parts[-1].model.shown}: a unit that is alone in the tables gets {len(found)} rows.",
                    cure="Every unit must yield one row from its own records alone.",
                )
            differing = [column for column, a, b in zip(columns, expected[0], found[0], strict=True) if not _same(a, b)]
            if differing:
                raise SqlModelError(
                    f"{compiled.parts[-1].model.shown}: {', '.join(differing[:5])} changes when other units are "
                    f"absent, {_the_future(spec)}so a patient would get other features when scored alone than in "
                    "training.",
                    cure="Leave out statistics over the cohort (rank, avg over (), quantiles); what is fitted belongs "
                    f"in the model's pipeline. {_history_cure(spec)}Order values fully where first, last or list "
                    "depend on order.",
                )
    return len(chosen)


def _the_future(spec: CohortSpec) -> str:
    return "" if spec.index_column is None else "or what the same person has later, "


def _history_cure(spec: CohortSpec) -> str:
    if spec.key == (spec.subject_of(spec.subject_table),):
        return ""
    subject = spec.subject_of(spec.subject_table)
    if spec.index_column is None:
        return (
            f"A history inside a person needs `prediction.index_date`, so that earlier and later rows of one {subject} "
            "can be told apart. "
        )
    return (
        f"A history inside a person is a window PARTITION BY {subject} ORDER BY {spec.index_column} whose frame ends "
        "at the current row, such as lag(x). "
    )


def _chosen(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, units: int) -> list[tuple[Any, ...]]:
    """Key and subject of the units to try."""
    key, subject = ", ".join(map(quoted, spec.key)), quoted(spec.subject_of(spec.subject_table))
    subjects = f"validated.{quoted(spec.subject_table)}"
    mixed = f"md5(concat_ws('|', {key})), {key}"
    statements = [f"SELECT * FROM (SELECT {key}, {subject} FROM {subjects} ORDER BY {mixed} LIMIT {units})"]
    if spec.index_column is not None and spec.key != (spec.subject_of(spec.subject_table),):
        statements.append(
            f"SELECT * FROM (SELECT {key}, {subject} FROM {subjects} "
            f"QUALIFY row_number() OVER (PARTITION BY {subject} ORDER BY {quoted(spec.index_column)}, {key}) = 1 "
            f"ORDER BY count(*) OVER (PARTITION BY {subject}) DESC, {mixed} LIMIT {units})"
        )
    return connection.execute(" UNION ".join(statements) + f" ORDER BY {key}").fetchall()


def _alone(
    alone: duckdb.DuckDBPyConnection,
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    compiled: CompiledModel,
    columns: list[str],
    where: str,
    unit: list[Any],
    subject: Any,
) -> list[tuple[Any, ...]]:
    import duckdb

    for table in spec.tables:
        condition, values = f"{quoted(spec.subject_of(table))} = ?", [subject]
        if table == spec.subject_table:
            condition, values = _known_units(spec, where, condition), [*unit, *_by_then(spec, subject, unit)]
        described = ", ".join(map(quoted, table_types(spec, table)))
        rows = connection.execute(
            f"SELECT {described} FROM validated.{quoted(table)} WHERE {condition}", values
        ).to_arrow_table()
        alone.execute(f"TRUNCATE validated.{quoted(table)}")
        alone.register("incoming", rows)
        alone.execute(f"INSERT INTO validated.{quoted(table)} SELECT {described} FROM incoming")
        alone.unregister("incoming")
    listed = ", ".join(quoted(name) if name in spec.key else f"CAST({quoted(name)} AS DOUBLE)" for name in columns)
    try:
        with confined(alone, compiled) as one:
            return one.execute(f"SELECT {listed} FROM (\n{compiled.body}\n) WHERE {where}", unit).fetchall()
    except duckdb.Error as error:
        raise explain(error, compiled, lines_before=1) from None


def _known_units(spec: CohortSpec, where: str, same_subject: str) -> str:
    """Condition on the subject table: the unit itself, and those of the same person whose index is not later."""
    if spec.index_column is None:
        return where
    index, subjects = quoted(spec.index_column), f"validated.{quoted(spec.subject_table)}"
    return f"({where}) OR ({same_subject} AND {index} <= (SELECT {index} FROM {subjects} WHERE {where}))"


def _by_then(spec: CohortSpec, subject: Any, unit: list[Any]) -> list[Any]:
    return [] if spec.index_column is None else [subject, *unit]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
