"""Refused records, whole and unchanged, and why they were refused.

What belongs here: writing ``quarantine.records`` (one row per refused record or unreadable line) and those findings
that concern a whole table or a line. Both tables hold the last validation of the cohort and nothing older.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from clinical_assets.foundation.canonical import value_digest
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.sql.schema import BOOKKEEPING, ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.cross_row import FINDINGS_TABLE, Stage

RECORDS_TABLE = "quarantine.records"


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Make both tables, empty."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS quarantine")
    for relation in (RECORDS_TABLE, FINDINGS_TABLE):
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in BOOKKEEPING[relation].items())
        connection.execute(f"CREATE OR REPLACE TABLE {relation} ({columns})")


def note_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    *,
    rule: str,
    columns: Sequence[str | None],
    reason: str,
    cure: str,
) -> None:
    """Findings that concern a table and none of its rows, one per column."""
    connection.executemany(
        f"INSERT INTO {FINDINGS_TABLE} BY NAME SELECT ? AS table_name, ? AS column_name, ? AS rule, ? AS reason, "
        "? AS cure",
        [(name, column, rule, reason, cure) for column in columns],
    )


def keep_unreadable_lines(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Lines that never became records; says how many."""
    try:
        connection.execute("SELECT 1 FROM raw._rejects LIMIT 0")
    except duckdb.CatalogException:
        return 0
    lines = (
        f"(SELECT line, string_agg(DISTINCT reason, '; ' ORDER BY reason) AS reason, any_value(text) AS text "
        f"FROM raw._rejects WHERE table_name = {literal(name)} GROUP BY line)"
    )
    counted = connection.execute(
        f"INSERT INTO {RECORDS_TABLE} SELECT {literal(name)}, NULL, to_json(l) FROM {lines} l"
    ).fetchone()
    connection.execute(
        f"INSERT INTO {FINDINGS_TABLE} SELECT {literal(name)}, NULL, 'line:' || line, "
        f"{literal(kinds.UNREADABLE_LINE)}, left(text, {kinds.LONGEST_VALUE}), reason, "
        f"{literal('Correct the line at the source, or the dialect under `csv:` in the description.')} FROM {lines}"
    )
    return int(counted[0]) if counted else 0


def keep_records(stage: Stage) -> None:
    """Keep each refused record as it was found."""
    found = [str(row[0]) for row in stage.connection.execute(f"DESCRIBE raw.{quoted(stage.name)}").fetchall()]
    packed = ", ".join(f"{quoted(column)} := {quoted(column)}" for column in found if column != ROW_NUMBER)
    stage.connection.execute(
        f"INSERT INTO {RECORDS_TABLE} SELECT {literal(stage.name)}, {ROW_NUMBER}, to_json(struct_pack({packed})) "
        f"FROM raw.{quoted(stage.name)} WHERE {ROW_NUMBER} IN (SELECT {ROW_NUMBER} FROM {stage.refused})"
    )


def digest(connection: duckdb.DuckDBPyConnection) -> str:
    """Digest of the refused records and of what was found in them, whatever the order of rows."""
    findings = f"(SELECT table_name, column_name, rule, value, count(*) AS number FROM {FINDINGS_TABLE} GROUP BY ALL)"
    return value_digest(
        {"records": table_digest(connection, RECORDS_TABLE), "findings": table_digest(connection, findings)}
    )
