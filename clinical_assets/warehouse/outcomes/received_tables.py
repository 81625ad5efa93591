"""Tables of received batches and outcomes: their names, their making, adding rows to them.

What belongs here: what the modules that take in, fill and judge received records share.

Every table with rows of subjects has a column of the subject under the description's name: erasing a subject finds its
rows by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


RAW, VALID = "received", "received_valid"
BATCH = "batch"
BATCHES, FILES = f"{RAW}.batches", f"{RAW}.files"
VALUES, CONFLICTS = f"{RAW}.outcome_values", f"{RAW}.outcome_conflicts"
#: What the champion said of received records, and the features that it read.
SCORED, FEATURES = "monitoring.scored_records", "monitoring.batch_features"
#: Whether people saw the score, and whether they acted on it: what makes later outcomes hard to read.
FEEDBACK = ("shown", "acted")
_FACT = ("unit", "pseudonym", "column_name", "index_date")


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the current database has this table."""
    found = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() "
        f"AND schema_name = {literal(schema)} AND table_name = {literal(table)}"
    ).fetchone()
    return bool(found and found[0])


def columns_of(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Names and DuckDB types of a relation's columns."""
    return {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {relation}").fetchall()}


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schemas and the lists of batches and files, unless they are there."""
    for schema in (RAW, VALID):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {BATCHES} ({BATCH} VARCHAR PRIMARY KEY, received_at VARCHAR, files VARCHAR, "
        "rows BIGINT, refused_rows BIGINT)"
    )
    connection.execute(f"CREATE TABLE IF NOT EXISTS {FILES} (table_name VARCHAR, sha256 VARCHAR, {BATCH} VARCHAR)")


def append(
    connection: duckdb.DuckDBPyConnection, relation: str, rows: pa.Table, *, constants: Mapping[str, str] | None = None
) -> None:
    """Add rows to a table by column name; the table, or a column that it lacks, is made.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Open for writing, in the caller's transaction.
    relation : str
        Quoted name of the table.
    rows : pyarrow.Table
        What is added.
    constants : mapping, optional
        Columns that say the same in every row.
    """
    added = "".join(f", {literal(value)} AS {quoted(name)}" for name, value in (constants or {}).items())
    appended = f"(SELECT *{added} FROM _appended)"
    connection.register("_appended", rows)
    try:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {relation} AS FROM {appended} LIMIT 0")
        there = columns_of(connection, relation)
        for name, kind in columns_of(connection, appended).items():
            if name not in there:
                connection.execute(f"ALTER TABLE {relation} ADD COLUMN {quoted(name)} {kind}")
        connection.execute(f"INSERT INTO {relation} BY NAME FROM {appended}")
    finally:
        connection.unregister("_appended")


def prepare_outcomes(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    """Make the tables of values and conflicts, unless they are there."""
    prepare(connection)
    subject = spec.subject_of(spec.subject_table)
    first = [*_FACT[:2], subject, *_FACT[2:]]
    for relation, more in (
        (VALUES, ("value", "file", "received_at")),
        (CONFLICTS, ("kept_value", "other_value", "file", "received_at", "reason", "cure")),
    ):
        columns = ", ".join(f"{quoted(name)} VARCHAR" for name in dict.fromkeys([*first, *more]))
        connection.execute(f"CREATE TABLE IF NOT EXISTS {relation} ({columns})")
