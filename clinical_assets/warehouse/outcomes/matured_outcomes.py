"""Received units whose outcome is known by now: what the cohort's own outcome model says of them.

Received records, with outcomes filled in, go through the same validation and the same outcome SQL as the cohort's
source. What comes out stands in ``monitoring.outcomes``, and the records behind it join the cohort's source at the next
ingestion (``append_matured``).

What belongs here: which received rows count and what is known of them. What does not: taking rows or facts in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import EVENT_CODE, FOLLOW_UP_DAYS
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import workspace
from clinical_assets.warehouse.features.feature_table import CENSORED
from clinical_assets.warehouse.outcomes.batch_spec import as_written, key_text, later_columns, outcome_spec
from clinical_assets.warehouse.outcomes.outcome_facts import arrive_again
from clinical_assets.warehouse.outcomes.received_tables import (
    BATCH,
    BATCHES,
    FEEDBACK,
    RAW,
    VALID,
    VALUES,
    append,
    columns_of,
    has_table,
    prepare_outcomes,
)
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.sql.guard.confined import write_result
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import DUCKDB_TYPES, ROW_NUMBER, create_validated_tables
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.erased_subjects import subject_text
from clinical_assets.warehouse.validation.validation import validate_connection

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


OUTCOMES = "monitoring.outcomes"
_UNIT, _KNOWN, _DATE = "_unit", "_known_at", "_index_date"
# Whether somebody saw or used a score is no part of what became of the patient.
_PART_OF_OUTCOME = f"AND k.column_name NOT IN {literal(FEEDBACK)} "


def mature(spec: CohortSpec, project: SqlProject, *, settings: Settings) -> int:
    """Write ``monitoring.outcomes``: one row per received unit whose outcome is known, or was censored.

    Columns: key, subject, ``unit`` (the key as text), ``index_date`` (null without one), ``outcome`` (class number;
    null for a unit whose horizon is over and that was censored before it), ``follow_up_days`` and ``event_code`` (as
    the outcome model gives them, null where it gives none), ``known_at`` (UTC, when the last part of it first arrived),
    ``shown`` and ``acted`` (null where nobody said).

    Returns
    -------
    int
        Units with a known outcome.
    """
    warehouse = Warehouse(spec.name, settings)
    with workspace(settings) as work, warehouse.writer() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS monitoring")
        prepare_outcomes(connection, spec)
        arrive_again(spec, connection, settings=settings)
        if has_table(connection, VALID, spec.subject_table):
            _name_subjects(spec, connection)
        scratch = replace(settings, data=work / "scratch", keys_folder=settings.keys)
        rows = _judged(connection, spec, project, Warehouse(spec.name, scratch))
        connection.execute(f"DROP TABLE IF EXISTS {OUTCOMES}")
        append(connection, OUTCOMES, rows)
        return int(rows.num_rows - rows["outcome"].null_count)


def matured_digest(warehouse: Warehouse) -> str:
    """Digest of ``monitoring.outcomes`` as it stands."""
    with warehouse.reader() as connection:
        return table_digest(connection, OUTCOMES)


def _name_subjects(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> None:
    """Facts whose file did not say whose they are get the subject of the record."""
    subject = quoted(spec.subject_of(spec.subject_table))
    units = (
        f"SELECT DISTINCT {key_text(spec.subjects, typed=True)} AS unit, CAST({subject} AS VARCHAR) AS subject "
        f"FROM {VALID}.{quoted(spec.subject_table)}"
    )
    connection.execute(
        f"UPDATE {VALUES} AS f SET {subject} = u.subject FROM ({units}) AS u "
        f"WHERE f.{subject} IS NULL AND f.unit = u.unit"
    )


def filled(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    table: str,
    *,
    kinds: Mapping[str, str],
    judged: bool = False,
) -> str | None:
    """SELECT of the received rows of a table as they are known now, one row per key, outcomes filled in.

    The newest row that arrived before the outcome was known counts: what is sent afterwards may have been written with
    the outcome in mind. Where facts speak of an index date, a row of that date counts, and only facts of its date.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse.
    spec : CohortSpec
        The cohort's description.
    table : str
        A described table.
    kinds : mapping
        Wanted columns under the source's names, with their DuckDB types: text is as the source writes it. What cannot
        be cast, and what no batch had, is null.
    judged : bool
        Whether ``monitoring.outcomes`` says when each unit's outcome was known; before it does, the facts of the unit
        itself say it.

    Returns
    -------
    str or None
        The columns and ``_unit``, ``_known_at``, ``_index_date``, ``_row``; None where nothing was received.
    """
    if not has_table(connection, VALID, table):
        return None
    described = spec.tables[table]
    valid, raw = f"{VALID}.{quoted(table)}", f"{RAW}.{quoted(table)}"
    typed, found = columns_of(connection, valid), columns_of(connection, raw)
    names = {column.source_name or name: name for name, column in described.columns.items()}
    is_subject = table == spec.subject_table
    later = set(later_columns(described)) if is_subject else set()
    chosen, joins = [], []
    for number, (spelled, kind) in enumerate(kinds.items()):
        name = names.get(spelled)
        if name is not None and name in later:
            joins.append(
                f"LEFT JOIN {VALUES} AS o{number} ON o{number}.unit = c.{_UNIT} "
                f"AND o{number}.column_name = {literal(name)} "
                f"AND (o{number}.index_date IS NULL OR o{number}.index_date = c.{_DATE})"
            )
            value = f"TRY_CAST(o{number}.value AS {DUCKDB_TYPES[described.columns[name].type]})"
            value = (
                as_written(described, name, value, timezone=spec.timezone)
                if kind == "VARCHAR"
                else _retyped(value, kind, spec)
            )
        elif name is not None and name in typed and kind != "VARCHAR":
            value = _retyped(f"v.{quoted(name)}", kind, spec)
        elif spelled in found:
            value = f"TRY_CAST(r.{quoted(spelled)} AS {kind})"
        else:
            value = f"NULL::{kind}"
        chosen.append(f"{value} AS {quoted(spelled)}")
    columns = ", ".join(
        [f"c.{_UNIT}, c.{_KNOWN}, c.{_DATE}, row_number() OVER (ORDER BY c.{_UNIT}) AS {ROW_NUMBER}", *chosen]
    )
    same = f"USING ({BATCH}, {ROW_NUMBER})"
    chosen_rows = _chosen(connection, spec, table, judged=judged)
    return (
        f"SELECT {columns} FROM ({chosen_rows}) AS c JOIN {valid} AS v {same} JOIN {raw} AS r {same} {' '.join(joins)}"
    )


def _chosen(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str, *, judged: bool) -> str:
    """SELECT of batch and row number of the received row of each key that counts.

    Rows that hold parts of outcomes are known since their content first arrived, a unit since its first record: sending
    the same again makes nothing known later.
    """
    described, index = spec.tables[table], spec.index_column
    is_subject, relation = table == spec.subject_table, quoted(table)
    date = f"CAST(v.{quoted(index)} AS VARCHAR)" if is_subject and index is not None else "NULL::VARCHAR"
    unit = key_text(described, "v", typed=True)
    content, raw = "''", ""
    if not is_subject:
        # As found: columns that are only known later are no part of the typed rows.
        found = [name for name in columns_of(connection, f"{RAW}.{relation}") if name not in (BATCH, ROW_NUMBER)]
        content = f"hash({', '.join(f'r.{quoted(name)}' for name in found)})"
        raw = f"JOIN {RAW}.{relation} AS r USING ({BATCH}, {ROW_NUMBER}) "
    since = f"min(b.received_at) OVER (PARTITION BY {unit}, {date}, {content})"
    units = (
        f"SELECT {BATCH}, v.{ROW_NUMBER}, {unit} AS {_UNIT}, {date} AS {_DATE}, {since} AS {_KNOWN}, b.received_at, "
        f"CAST(v.{quoted(spec.subject_of(table))} AS VARCHAR) AS _subject "
        f"FROM {VALID}.{relation} AS v {raw}JOIN {BATCHES} AS b USING ({BATCH})"
    )
    meant = "0"
    if is_subject and index is not None:
        dated = f"(SELECT DISTINCT unit, index_date FROM {VALUES} WHERE index_date IS NOT NULL)"
        meant = f"CAST((u.{_UNIT}, u.{_DATE}) IN {dated} AS INTEGER)"
    before = f"u.received_at <= coalesce(({_outcome_known(spec, table, judged=judged)}), u.received_at)"
    return (
        f"SELECT u.* EXCLUDE (_subject, received_at) FROM (SELECT *, {before} AS _before, {meant} AS _meant "
        f"FROM ({units}) AS u) AS u QUALIFY row_number() OVER (PARTITION BY {_UNIT} ORDER BY _meant DESC, "
        f"_before DESC, CASE WHEN _before THEN received_at END DESC, received_at, {BATCH}, {ROW_NUMBER}) = 1"
    )


def _outcome_known(spec: CohortSpec, table: str, *, judged: bool) -> str:
    """Scalar SELECT of the time from which on a row of ``u`` may have been written with its outcome in mind."""
    if table == spec.subject_table:
        relation, known, more = (OUTCOMES, "known_at", "") if judged else (VALUES, "received_at", _PART_OF_OUTCOME)
        return (
            f"SELECT max(k.{known}) FROM {relation} AS k WHERE k.unit = u.{_UNIT} {more}"
            f"AND (k.index_date IS NULL OR k.index_date = u.{_DATE})"
        )
    if not judged or later_columns(spec.tables[table]):
        return "NULL"  # the newest row is the one that says what became of a patient
    integer = spec.tables[table].columns[spec.subject_of(table)].type == "integer"
    mine, theirs = quoted(spec.subject_of(spec.subject_table)), subject_text("u._subject", integer=integer)
    return f"SELECT max(k.known_at) FROM {OUTCOMES} AS k WHERE {subject_text(f'k.{mine}', integer=integer)} = {theirs}"


def _judged(
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, project: SqlProject, scratch: Warehouse
) -> pa.Table:
    import duckdb as db

    late = outcome_spec(spec)
    with scratch.writer() as work:
        work.execute("CREATE SCHEMA IF NOT EXISTS raw")
        present = []
        for name in late.tables:
            kinds = _typed(connection, spec, name)
            select = None if kinds is None else filled(connection, spec, name, kinds=kinds)
            rows = None if select is None else connection.execute(select).to_arrow_table()
            if rows is not None and rows.num_rows:
                append(work, f"raw.{quoted(name)}", rows)
                present.append(name)
        present = _validate(late, present, work)
        validated = {name: work.execute(f"SELECT * FROM validated.{quoted(name)}").to_arrow_table() for name in present}
        subjects = quoted(spec.subject_table)
        if spec.subject_table not in present:
            names = ", ".join(f"NULL::VARCHAR AS {name}" for name in (_UNIT, _KNOWN, _DATE))
            units = work.execute(f"SELECT NULL::BIGINT AS {ROW_NUMBER}, {names} WHERE false").to_arrow_table()
        else:
            wanted = f"{ROW_NUMBER}, {_UNIT}, {_KNOWN}, {_DATE}"
            units = work.execute(f"SELECT {wanted} FROM raw.{subjects}").to_arrow_table()
        elsewhere = work.execute(_elsewhere(spec, present)).to_arrow_table()
    with db.connect(config={"enable_external_access": "false"}) as memory:
        create_validated_tables(memory, late)
        for name, rows in validated.items():
            memory.register("_rows", rows)
            memory.execute(f"INSERT INTO validated.{quoted(name)} BY NAME SELECT * FROM _rows")
            memory.unregister("_rows")
        memory.register("_units", units)
        memory.register("_elsewhere", elsewhere)
        memory.register("_values", connection.execute(f"SELECT * FROM {VALUES}").to_arrow_table())
        write_result(memory, "_outcomes", project.compile(project.outcome_model))
        given = columns_of(memory, "_outcomes")
        follow_up = {name: f"o.{name}" if name in given else "NULL" for name in (FOLLOW_UP_DAYS, EVENT_CODE)}
        subject = spec.subject_of(spec.subject_table)
        first = ", ".join(f"s.{quoted(name)}" for name in dict.fromkeys((*spec.key, subject)))
        same = " AND ".join(f"o.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in spec.key)
        feedback = ", ".join(
            f"any_value(TRY_CAST(f.value AS BOOLEAN)) FILTER (f.column_name = {literal(name)}) AS {name}"
            for name in FEEDBACK
        )
        told = [each for each in follow_up.values() if each != "NULL"]
        # They stand for nobody and are judged by no class, but say how many are stood for.
        censored = f"o.exclusion = {literal(CENSORED)}" if told else "false"
        # Greatest passes nulls over: where a part of the outcome lies decides when it was known.
        return memory.execute(
            f"SELECT {first}, u.{_UNIT} AS unit, u.{_DATE} AS index_date, CAST(o.outcome AS INTEGER) AS outcome, "
            f"CAST({follow_up[FOLLOW_UP_DAYS]} AS DOUBLE) AS {FOLLOW_UP_DAYS}, "
            f"CAST({follow_up[EVENT_CODE]} AS INTEGER) AS {EVENT_CODE}, "
            f"greatest(u.{_KNOWN}, max(f.received_at) FILTER (f.column_name NOT IN {literal(FEEDBACK)}), e.{_KNOWN}) "
            f"AS known_at, {feedback} FROM _outcomes AS o "
            f"JOIN validated.{subjects} AS s ON {same} JOIN _units AS u USING ({ROW_NUMBER}) "
            f"LEFT JOIN _elsewhere AS e ON e.subject = CAST(s.{quoted(subject)} AS VARCHAR) "
            f"LEFT JOIN _values AS f ON f.unit = u.{_UNIT} AND (f.index_date IS NULL OR f.index_date = u.{_DATE}) "
            f"WHERE (o.exclusion IS NULL AND o.outcome IS NOT NULL OR {censored}) {_horizon_over(spec)}"
            f"GROUP BY {first}, u.{_UNIT}, u.{_DATE}, u.{_KNOWN}, e.{_KNOWN}, {', '.join(['o.outcome', *told])}"
        ).to_arrow_table()


def _typed(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, table: str) -> dict[str, str] | None:
    """The described columns of a table with their types: outcomes in other tables than the subjects' are text still."""
    if not has_table(connection, VALID, table):
        return None
    there = {*columns_of(connection, f"{VALID}.{quoted(table)}"), *later_columns(spec.subjects)}
    return {
        column.source_name or name: DUCKDB_TYPES[column.type] if name in there else "VARCHAR"
        for name, column in spec.tables[table].columns.items()
    }


def _validate(late: CohortSpec, present: list[str], work: duckdb.DuckDBPyConnection) -> list[str]:
    """Check the filled records; a table of which nothing is left with its outcomes is left out."""
    while present:
        tables = {
            name: late.tables[name].model_copy(
                update={"references": tuple(r for r in late.tables[name].references if r.table in present)}
            )
            for name in present
        }
        _, failures = validate_connection(late.model_copy(update={"tables": tables}), work)
        if not failures:
            break
        broken = {failure.table for failure in failures}
        present = [] if late.subject_table in broken else [name for name in present if name not in broken]
    return present


def _horizon_over(spec: CohortSpec) -> str:
    """Condition that a unit's horizon has ended, where the description says when it does.

    Before, those with an event are known and those without are not: whoever is counted then makes risks look too low.
    """
    index = spec.index_column
    horizon = spec.vars.get("horizon_days", spec.prediction.horizon_days)
    if index is None or not isinstance(horizon, int | float):
        return ""
    days = math.ceil(horizon) + spec.prediction.landmark_days
    return f"AND (CAST(s.{quoted(index)} AS DATE) + INTERVAL {days} DAY <= current_date) IS NOT FALSE "


def _elsewhere(spec: CohortSpec, present: list[str]) -> str:
    """When the newest row of a subject arrived in another table that holds parts of outcomes."""
    parts = [
        f"SELECT CAST(v.{quoted(spec.subject_of(name))} AS VARCHAR) AS subject, r.{_KNOWN} "
        f"FROM validated.{quoted(name)} AS v JOIN raw.{quoted(name)} AS r USING ({ROW_NUMBER})"
        for name in present
        if name != spec.subject_table and later_columns(spec.tables[name])
    ]
    rows = " UNION ALL ".join(parts) or f"SELECT NULL::VARCHAR AS subject, NULL::VARCHAR AS {_KNOWN} WHERE false"
    return f"SELECT subject, max({_KNOWN}) AS {_KNOWN} FROM ({rows}) GROUP BY subject"


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
    described, relation = spec.tables[table], f"raw.{quoted(table)}"
    kinds = {name: kind for name, kind in columns_of(connection, relation).items() if name != ROW_NUMBER}
    select = filled(connection, spec, table, kinds=kinds, judged=True)
    if select is None:
        return 0
    if table == spec.subject_table:
        known = f"n.{_UNIT} IN (SELECT unit FROM {OUTCOMES})"
    else:
        name, subject = spec.subject_of(table), spec.subject_of(spec.subject_table)
        column = described.columns[name]
        integer = column.type == "integer"
        mine = subject_text(f"n.{quoted(column.source_name or name)}", integer=integer)
        known = f"{mine} IN (SELECT {subject_text(quoted(subject), integer=integer)} FROM {OUTCOMES})"
    before = connection.execute(f"SELECT coalesce(max({ROW_NUMBER}), 0) FROM {relation}").fetchone() or (0,)
    counted = connection.execute(
        f"INSERT INTO {relation} BY NAME SELECT * EXCLUDE ({_UNIT}, {_KNOWN}, {_DATE}) REPLACE "
        f"({int(before[0])} + row_number() OVER (ORDER BY {_UNIT}) AS {ROW_NUMBER}) FROM ({select}) AS n "
        f"WHERE {known} AND n.{_UNIT} NOT IN (SELECT {key_text(described)} FROM {relation})"
    ).fetchone()
    return int(counted[0]) if counted else 0


def _retyped(value: str, kind: str, spec: CohortSpec) -> str:
    """SQL of a validated value as the type of the source; a time on the cohort's clock is a moment again."""
    if spec.timezone is not None and kind.startswith("TIMESTAMP WITH"):
        return f"timezone({literal(spec.timezone)}, {value})"
    return f"TRY_CAST({value} AS {kind})"
