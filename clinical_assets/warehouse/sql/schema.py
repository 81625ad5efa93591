"""Which tables a SQL model may read, and the DuckDB type of every column in them.

From this one place come the columns that ``source()`` lists, the types that lineage works with, and the empty
tables on which a statement is bound before any data exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

DUCKDB_TYPES = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}
ROW_NUMBER = "_row"

BOOKKEEPING: dict[str, dict[str, str]] = {
    "quarantine.records": {"table_name": "VARCHAR", "_row": "BIGINT", "record": "VARCHAR"},
    "quarantine.findings": {
        "table_name": "VARCHAR",
        "_row": "BIGINT",
        "column_name": "VARCHAR",
        "rule": "VARCHAR",
        "value": "VARCHAR",
        "reason": "VARCHAR",
        "cure": "VARCHAR",
    },
    "meta.ingestions": {"table_name": "VARCHAR", "ingested_at": "TIMESTAMP"},
}
"""Tables about the records that marts alone may read. One that is not there yet counts as empty."""


def table_types(spec: CohortSpec, table: str) -> dict[str, str]:
    """DuckDB types of ``validated.<table>``, row number first."""
    columns = spec.tables[table].columns
    return {ROW_NUMBER: "BIGINT"} | {name: DUCKDB_TYPES[column.type] for name, column in columns.items()}


def readable_schema(spec: CohortSpec) -> dict[str, dict[str, dict[str, str]]]:
    """Types of everything a model may read: schema -> table -> column -> DuckDB type."""
    schema: dict[str, dict[str, dict[str, str]]] = {
        "validated": {table: table_types(spec, table) for table in spec.tables}
    }
    for relation, columns in BOOKKEEPING.items():
        namespace, table = relation.split(".")
        schema.setdefault(namespace, {})[table] = columns
    return schema


def create_validated_tables(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    """Make the cohort's empty ``validated.<table>`` tables on a connection.

    With rows in them, a compiled feature statement runs there as it runs in the warehouse: this is how one record
    is scored.
    """
    _create(connection, {"validated": readable_schema(spec)["validated"]})


def empty_database(spec: CohortSpec) -> duckdb.DuckDBPyConnection:
    """A new in-memory database with every readable table, empty, that can reach neither files nor network."""
    import duckdb

    connection = duckdb.connect(
        config={"enable_external_access": "false", "python_enable_replacements": "false", "threads": "1"}
    )
    _create(connection, readable_schema(spec))
    return connection


def _create(connection: duckdb.DuckDBPyConnection, schema: dict[str, dict[str, dict[str, str]]]) -> None:
    for namespace, tables in schema.items():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(namespace)}")
        for table, types in tables.items():
            columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
            connection.execute(f"CREATE TABLE {quoted(namespace)}.{quoted(table)} ({columns})")
