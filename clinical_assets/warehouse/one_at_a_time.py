"""Whether a feature statement gives a unit the same numbers alone as among all others.

A statement that ranks, averages or counts over the cohort would give a patient other features at the bedside than in
training. Such statistics belong in the fitted pipeline, inside the folds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clinical_assets.errors import SqlModelError
from clinical_assets.warehouse.sql_errors import explain
from clinical_assets.warehouse.sql_schema import create_validated_tables, table_types
from clinical_assets.warehouse.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.warehouse.sql_models import CompiledModel

UNITS = 8


def check_one_at_a_time(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, compiled: CompiledModel, *, units: int = UNITS
) -> int:
    """Compute some units alone, each in a database that holds only its rows, and compare.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Has ``validated.*`` and the result of the statement for all units as ``model.features``.
    spec : CohortSpec
        The cohort.
    compiled : CompiledModel
        The feature statement.
    units : int
        How many units to try, chosen by a hash of their key.

    Returns
    -------
    int
        How many were compared.

    Raises
    ------
    SqlModelError
        Naming the features that differ. Differences of rounding (relative 1e-9) are none.
    """
    key = [quoted(name) for name in spec.key]
    subjects = f"validated.{quoted(spec.subject_table)}"
    chosen = connection.execute(
        f"SELECT {', '.join(key)}, {quoted(spec.subject)} FROM {subjects} "
        f"ORDER BY md5(concat_ws('|', {', '.join(key)})), {', '.join(key)} LIMIT {units}"
    ).fetchall()
    where = " AND ".join(f"{name} = ?" for name in key)
    for unit in chosen:
        names = list(unit[: len(key)])
        together = connection.execute(f"SELECT * FROM model.features WHERE {where}", names)
        columns = [column[0] for column in together.description or ()]
        expected = together.fetchall()
        found = _alone(connection, spec, compiled, columns, where, names, unit[-1])
        if len(found) != 1:
            raise SqlModelError(
                f"{compiled.parts[-1].model.shown}: a unit that is alone in the tables gets {len(found)} rows.",
                cure="Every unit must yield one row from its own records alone.",
            )
        differing = [column for column, a, b in zip(columns, expected[0], found[0], strict=True) if not _same(a, b)]
        if differing:
            raise SqlModelError(
                f"{compiled.parts[-1].model.shown}: {', '.join(differing[:5])} changes when other units are absent, "
                "so a patient would get other features when scored alone than in training.",
                cure="Leave out statistics over the cohort (rank, avg over (), quantiles); what is fitted belongs in "
                "the model's pipeline. Order values fully where first, last or list depend on order.",
            )
    return len(chosen)


def _alone(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    compiled: CompiledModel,
    columns: list[str],
    where: str,
    unit: list[Any],
    subject: Any,
) -> list[tuple[Any, ...]]:
    import duckdb

    with duckdb.connect(config={"threads": "1", "enable_external_access": "false"}) as alone:
        create_validated_tables(alone, spec)
        for table in spec.tables:
            condition, values = where, unit
            if table != spec.subject_table:
                condition, values = f"{quoted(spec.subject_of(table))} = ?", [subject]
            described = ", ".join(map(quoted, table_types(spec, table)))
            rows = connection.execute(
                f"SELECT {described} FROM validated.{quoted(table)} WHERE {condition}", values
            ).to_arrow_table()
            alone.register("incoming", rows)
            alone.execute(f"INSERT INTO validated.{quoted(table)} SELECT {described} FROM incoming")
            alone.unregister("incoming")
        listed = ", ".join(quoted(name) if name in spec.key else f"CAST({quoted(name)} AS DOUBLE)" for name in columns)
        try:
            return alone.execute(f"SELECT {listed} FROM (\n{compiled.sql}\n)").fetchall()
        except duckdb.Error as error:
            raise explain(error, compiled, lines_before=1) from error


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
