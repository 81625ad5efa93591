"""A trial of a cohort's feature model on invented records, so that a check finds what a run would refuse.

What belongs here: filling the validated tables with a few rows that keep the description's promises, running the
model on them and holding the result to the promises of ``feature_checks`` and ``row_independence``. What does not:
records that look like patients (``sources.synthetic``).
"""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.features.feature_checks import FEATURES, check_units
from clinical_assets.warehouse.features.row_independence import check_one_at_a_time
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import ROW_NUMBER, empty_database
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

PERSONS = 24
ROWS_PER_PERSON = 4
MISSING_SHARE = 0.15
_DAYS = 400
_START = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - as recorded, without a zone


def try_models(spec: CohortSpec, project: SqlProject, *, seed: int = 0) -> tuple[str, ...]:
    """Run the feature model on invented records, and refuse what a run would refuse of any records.

    Parameters
    ----------
    spec : CohortSpec
        The cohort.
    project : SqlProject
        Its models.
    seed : int
        Of the values.

    Returns
    -------
    tuple of str
        What invented records cannot decide: units that are lost or repeated among them (real ones may be one row per
        person where the description allows several), or why the model could not be tried (a text that is cast to a
        number, rules that no invented row keeps).

    Raises
    ------
    SqlModelError
        Features that depend on other persons or on what comes later.
    """
    import duckdb

    with empty_database(spec) as connection:
        connection.execute("CREATE SCHEMA model")
        try:
            _fill(connection, spec, random.Random(seed))
            if not _count(connection, f"validated.{quoted(spec.subject_table)}"):
                return ("the feature model was not tried: no invented row keeps the rules of the subject table.",)
            note = _run(connection, spec, project)
        except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
            return (f"the feature model was not tried: invented values do not suit it ({type(error).__name__}).",)
        if note is not None:
            return (note,)
        check_one_at_a_time(connection, spec, project.compile(project.feature_model))
    return ()


def _run(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, project: SqlProject) -> str | None:
    """Write the features as numbers; what is wrong with their units."""
    name = project.feature_model
    compiled = project.compile(name)
    casts = ", ".join(
        f"CAST({quoted(column)} AS DOUBLE) AS {quoted(column)}"
        for column in project.types(name)
        if column not in spec.key
    )
    connection.execute(f"CREATE TABLE {FEATURES} AS SELECT * REPLACE ({casts}) FROM (\n{compiled.sql}\n)")
    try:
        check_units(connection, spec, FEATURES, compiled)
    except SqlModelError as error:
        return f"on invented records, {error.message} A run refuses that; make sure that your records rule it out."
    return None


def _fill(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, draw: random.Random) -> None:
    """Rows in every validated table: the subject table first, so that the others can refer to it."""
    for name in sorted(spec.tables, key=lambda one: one != spec.subject_table):
        table, subject = spec.tables[name], spec.subject_of(name)
        per_person = 1 if table.key == (subject,) or table.columns[subject].unique else ROWS_PER_PERSON
        rows = [
            [number * per_person + place + 1, *_row(spec, table, subject, number, draw)]
            for number in range(PERSONS)
            for place in range(per_person)
        ]
        relation = f"validated.{quoted(name)}"
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"INSERT INTO {relation} VALUES ({marks})", rows)
        _keep_promises(connection, spec, name)


def _row(spec: CohortSpec, table: Table, subject: str, person: int, draw: random.Random) -> list[Any]:
    values = []
    for name, column in table.columns.items():
        if name == subject:
            values.append(_identifier(column, person))
        elif (
            column.nullable
            and name not in (*table.key, table.recorded, spec.index_column)
            and (draw.random() < MISSING_SHARE)
        ):
            values.append(None)
        else:
            values.append(_value(column, draw))
    return values


def _identifier(column: Column, person: int) -> Any:
    if column.type in ("integer", "number"):
        low = column.range[0] if column.range and column.range[0] is not None else 1
        return int(low) + person
    return f"invented-{person:03d}"


def _value(column: Column, draw: random.Random) -> Any:
    if column.categories:
        code = draw.choice(list(column.categories))
        return int(code) if column.type == "integer" else code
    match column.type:
        case "integer" | "number":
            low, high = _limits(column)
            number = draw.uniform(low, high)
            return round(number) if column.type == "integer" else number
        case "boolean":
            return draw.random() < 0.5
        case "date":
            return (_START + dt.timedelta(days=draw.randrange(_DAYS))).date()
        case "datetime":
            return _START + dt.timedelta(minutes=draw.randrange(_DAYS * 24 * 60))
        case _:
            # Digits are a text as well, and suit a statement that reads numbers in a text.
            return str(draw.randrange(1000))


def _limits(column: Column) -> tuple[float, float]:
    low, high = column.range or (None, None)
    if low is None:
        low = 0.0 if high is None else min(0.0, high - 100)
    return low, low + 100.0 if high is None else high


def _keep_promises(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, name: str) -> None:
    """Take out rows that repeat a key or a unique value, break a rule, or refer to nothing."""
    table, relation = spec.tables[name], f"validated.{quoted(name)}"
    unique = [table.key, *((column,) for column, described in table.columns.items() if described.unique)]
    for columns in unique:
        listed = ", ".join(map(quoted, columns))
        first = f"SELECT min({ROW_NUMBER}) FROM {relation} GROUP BY {listed}"
        connection.execute(f"DELETE FROM {relation} WHERE {ROW_NUMBER} NOT IN ({first})")
    for rule in table.rules:
        connection.execute(f"DELETE FROM {relation} WHERE NOT ({rule.expression})")
    for reference in table.references:
        there = reference.to or reference.columns
        pairs = " AND ".join(
            f"o.{quoted(other)} = t.{quoted(own)}" for own, other in zip(reference.columns, there, strict=True)
        )
        connection.execute(
            f"DELETE FROM {relation} AS t WHERE NOT EXISTS "
            f"(SELECT 1 FROM validated.{quoted(reference.table)} AS o WHERE {pairs})"
        )


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(row[0]) if row else 0
