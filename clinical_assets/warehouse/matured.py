"""Received units whose outcome is known by now: what the cohort's own outcome model says of them.

Received records, with outcomes filled in, go through the same validation and the same outcome SQL as the cohort's
source. What comes out stands in ``monitoring.outcomes``, and the records behind it join the cohort's source at the next
ingestion (``append_matured``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Table
from clinical_assets.settings import Settings
from clinical_assets.sources.files import workspace
from clinical_assets.warehouse.batch_spec import key_text, later_columns, outcome_spec
from clinical_assets.warehouse.received_tables import (
    BATCH,
    FEEDBACK,
    RAW,
    VALID,
    VALUES,
    append,
    has_table,
    prepare_outcomes,
    utc_now,
)
from clinical_assets.warehouse.sql_schema import ROW_NUMBER, create_validated_tables
from clinical_assets.warehouse.sql_text import literal, quoted
from clinical_assets.warehouse.store import Warehouse
from clinical_assets.warehouse.validation import validate_connection

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from clinical_assets.warehouse.sql_project import SqlProject

OUTCOMES = "monitoring.outcomes"
_UNIT = "_unit"


def mature(spec: CohortSpec, project: SqlProject, *, settings: Settings) -> int:
    """Write ``monitoring.outcomes``: one row per received unit whose outcome is known.

    Columns: key, ``unit`` (the key as text), ``outcome`` (class number), ``known_at`` (UTC, of its last
    part), ``shown`` and ``acted`` (null where nobody said).

    Returns
    -------
    int
        Units with a known outcome.
    """
    warehouse = Warehouse(spec.name, settings)
    with workspace(settings) as work, warehouse.writer() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS monitoring")
        prepare_outcomes(connection)
        if not has_table(connection, RAW, spec.subject_table):
            return 0
        scratch = replace(settings, data=work / "scratch", keys_folder=settings.keys)
        rows = _judged(connection, spec, project, Warehouse(spec.name, scratch))
        connection.execute(f"DROP TABLE IF EXISTS {OUTCOMES}")
        append(connection, OUTCOMES, rows)
        return rows.num_rows


def filled(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str) -> str | None:
    """SELECT of the received rows of a table as they are known now: the newest row of each key, outcomes filled in.

    Columns are the source's, as text, and ``_unit``; None where nothing of the table was received.
    """
    if not has_table(connection, RAW, table):
        return None
    described = spec.tables[table]
    relation = f"{RAW}.{quoted(table)}"
    there = [str(row[0]) for row in connection.execute(f"DESCRIBE {relation}").fetchall()]
    columns = [name for name in there if name not in (BATCH, ROW_NUMBER)]
    later = {described.columns[name].source_name or name: name for name in later_columns(described)}
    is_subject = table == spec.subject_table
    chosen, joins = [], []
    for number, name in enumerate(dict.fromkeys([*columns, *(later if is_subject else ())])):
        own = f"r.{quoted(name)}" if name in columns else "NULL::VARCHAR"
        if is_subject and name in later:
            joins.append(
                f"LEFT JOIN {VALUES} AS o{number} ON o{number}.unit = r.{_UNIT} "
                f"AND o{number}.column_name = {literal(later[name])}"
            )
            own = f"coalesce(o{number}.raw_value, {own})"
        chosen.append(f"{own} AS {quoted(name)}")
    newest = (
        f"SELECT {relation.split('.')[1]}.*, {key_text(described)} AS {_UNIT}, b.received_at "
        f"FROM {relation} JOIN {RAW}.batches AS b USING ({BATCH}) QUALIFY row_number() OVER "
        f"(PARTITION BY {_UNIT} ORDER BY b.received_at DESC, {BATCH}, {ROW_NUMBER}) = 1"
    )
    return f"SELECT r.{_UNIT}, {', '.join(chosen)} FROM ({newest}) AS r {' '.join(joins)}"


def _judged(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, project: SqlProject, scratch: Warehouse
) -> pa.Table:
    import duckdb as db

    late = outcome_spec(spec)
    with scratch.writer() as work:
        present: dict[str, Table] = {}
        for name in spec.tables:
            select = filled(connection, spec, name)
            if select is None:
                continue
            rows = connection.execute(
                f"SELECT row_number() OVER () AS {ROW_NUMBER}, * FROM ({select})"
            ).to_arrow_table()
            work.execute("CREATE SCHEMA IF NOT EXISTS raw")
            append(work, f"raw.{quoted(name)}", _with_columns(rows, late, name))
            present[name] = late.tables[name]
        within = {
            name: table.model_copy(update={"references": tuple(r for r in table.references if r.table in present)})
            for name, table in present.items()
        }
        validate_connection(late.model_copy(update={"tables": within}), work)
    with scratch.reader() as work, db.connect(config={"enable_external_access": "false"}) as memory:
        create_validated_tables(memory, late)
        for name in present:
            memory.register("_rows", work.execute(f"SELECT * FROM validated.{quoted(name)}").to_arrow_table())
            memory.execute(f"INSERT INTO validated.{quoted(name)} BY NAME SELECT * FROM _rows")
            memory.unregister("_rows")
        subjects = quoted(spec.subject_table)
        memory.register("_units", work.execute(f"SELECT {ROW_NUMBER}, {_UNIT} FROM raw.{subjects}").to_arrow_table())
        memory.register("_values", connection.execute(f"SELECT * FROM {VALUES}").to_arrow_table())
        outcome = project.compile(project.outcome_model).sql
        key = ", ".join(f"o.{quoted(name)}" for name in spec.key)
        same = " AND ".join(f"o.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in spec.key)
        feedback = ", ".join(
            f"any_value(TRY_CAST(f.value AS BOOLEAN)) FILTER (f.column_name = {literal(name)}) AS {name}"
            for name in FEEDBACK
        )
        return memory.execute(
            f"SELECT {key}, u.{_UNIT} AS unit, CAST(o.outcome AS INTEGER) AS outcome, "
            f"coalesce(max(f.received_at), {literal(utc_now())}) AS known_at, {feedback} FROM ({outcome}) AS o "
            f"JOIN validated.{subjects} AS s ON {same} JOIN _units AS u USING ({ROW_NUMBER}) "
            f"LEFT JOIN _values AS f ON f.unit = u.{_UNIT} WHERE o.exclusion IS NULL AND o.outcome IS NOT NULL "
            f"GROUP BY {key}, u.{_UNIT}, o.outcome"
        ).to_arrow_table()


def _with_columns(rows: pa.Table, spec: CohortSpec, table: str) -> pa.Table:
    """Described columns that no batch had yet, as empty ones."""
    import pyarrow as pa

    for name, column in spec.tables[table].columns.items():
        spelled = column.source_name or name
        if spelled not in rows.column_names:
            rows = rows.append_column(spelled, pa.nulls(rows.num_rows, pa.string()))
    return rows


def append_matured(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str) -> int:
    """Add received rows of units with a known outcome to ``raw.<table>``, behind the source's own.

    A row whose key the source itself holds by now is left to the source. Values that a typed column cannot hold become
    missing.

    Returns
    -------
    int
        Rows added.
    """
    if not has_table(connection, "monitoring", "outcomes"):
        return 0
    select = filled(connection, spec, table)
    if select is None:
        return 0
    described = spec.tables[table]
    relation = f"raw.{quoted(table)}"
    kinds = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {relation}").fetchall()}
    offered = {str(row[0]) for row in connection.execute(f"DESCRIBE ({select})").fetchall()}
    common = [name for name in kinds if name in offered and name != ROW_NUMBER]
    cast = ", ".join(
        f"n.{quoted(name)}"
        if kinds[name] == "VARCHAR"
        else f"TRY_CAST(n.{quoted(name)} AS {kinds[name]}) AS {quoted(name)}"
        for name in common
    )
    if table == spec.subject_table:
        known = f"n.{_UNIT} IN (SELECT unit FROM {OUTCOMES})"
    else:
        column = described.columns[spec.subject_of(table)]
        subject = spec.subject_of(spec.subject_table)
        known = (
            f"trim(n.{quoted(column.source_name or spec.subject_of(table))}) IN "
            f"(SELECT CAST({quoted(subject)} AS VARCHAR) FROM {_subjects(spec)})"
        )
    before = connection.execute(f"SELECT coalesce(max({ROW_NUMBER}), 0), count(*) FROM {relation}").fetchone() or (0, 0)
    connection.execute(
        f"INSERT INTO {relation} BY NAME SELECT {before[0]} + row_number() OVER (ORDER BY n.{_UNIT}) AS {ROW_NUMBER}, "
        f"{cast} FROM ({select}) AS n WHERE {known} AND n.{_UNIT} NOT IN (SELECT {key_text(described)} FROM {relation})"
    )
    (after,) = connection.execute(f"SELECT count(*) FROM {relation}").fetchone() or (before[1],)
    return int(after) - int(before[1])


def _subjects(spec: CohortSpec) -> str:
    subject = spec.subject_of(spec.subject_table)
    if subject in spec.key:
        return OUTCOMES
    key = ", ".join(quoted(name) for name in spec.key)
    records = f"{VALID}.{quoted(spec.subject_table)}"
    return f"(SELECT s.{quoted(subject)} FROM {records} AS s JOIN {OUTCOMES} USING ({key}))"
