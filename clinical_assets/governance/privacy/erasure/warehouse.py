"""A subject out of the cohort's DuckDB file: rows, words, and the blocks that held them.

What belongs here: every table of the file, whoever wrote it. What does not: snapshots and other files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import duckdb

from clinical_assets.governance.privacy.erasure.target import RECORDS, UNITS, ErasureTarget
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse


@dataclass(frozen=True)
class TableCounts:
    """What a subject has in one table.

    Attributes
    ----------
    rows : int
        Rows that are the subject's.
    mentions : int
        Values in other rows that name the subject.
    """

    rows: int
    mentions: int


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    columns: dict[str, str]

    @property
    def relation(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def count_rows(warehouse: Warehouse, target: ErasureTarget) -> dict[str, TableCounts]:
    """What the warehouse holds of a subject, by ``schema.table``; tables without anything are left out."""
    if not warehouse.exists():
        return {}
    with warehouse.writer() as connection:  # its temporary tables need a connection that may write
        return {name: counts for name, counts, _, _ in _each(connection, target) if counts.rows or counts.mentions}


def erase_rows(
    warehouse: Warehouse,
    target: ErasureTarget,
    *,
    digests: Mapping[str, Mapping[str, str]],
    before: Callable[[dict[str, TableCounts], list[list[str]]], object],
) -> None:
    """Delete a subject's rows in every table and mask its mentions, in one transaction.

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's warehouse.
    target : ErasureTarget
        The subject, with the SQL that finds its rows.
    digests : mapping
        Per raw table old to new digests of redacted snapshots, so that the log of ingestions names what there is.
    before : callable
        Is told what will go and the keys of the subject's units, before the transaction ends: what must be known
        after an interruption.
    """
    with warehouse.writer() as connection:
        found = list(_each(connection, target))
        units = [list(row) for row in connection.execute(f"SELECT * FROM {UNITS}").fetchall()]
        before({name: counts for name, counts, _, _ in found if counts.rows or counts.mentions}, units)
        for _, counts, table, condition in found:
            if counts.rows:
                connection.execute(f"DELETE FROM {table.relation} WHERE {condition}")
            if counts.mentions:
                _mask(connection, target, table)
        _follow_digests(connection, digests)


def _each(
    connection: duckdb.DuckDBPyConnection, target: ErasureTarget
) -> Iterator[tuple[str, TableCounts, _Table, str | None]]:
    target.prepare(connection)
    target.remember_units(connection)
    tables = _tables(connection)
    _remember_refused(connection, target, tables)
    for table in tables:
        condition = target.rows(table.schema, table.name, table.columns)
        mine = condition or "false"
        mentions = " OR ".join(named for named, _ in target.masks(table.columns).values())
        mentioned = f"count(*) FILTER (WHERE NOT ({mine}) AND ({mentions}))" if mentions else "0"
        row = connection.execute(f"SELECT count(*) FILTER (WHERE {mine}), {mentioned} FROM {table.relation}").fetchone()
        assert row is not None  # an aggregate yields one row
        yield f"{table.schema}.{table.name}", TableCounts(int(row[0]), int(row[1])), table, condition


def _tables(connection: duckdb.DuckDBPyConnection) -> list[_Table]:
    found = connection.execute(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index), "
        "list(data_type ORDER BY column_index) "
        "FROM duckdb_columns() SEMI JOIN (SELECT schema_name, table_name FROM duckdb_tables() "
        "WHERE database_name = current_database() AND NOT temporary) USING (schema_name, table_name) "
        "WHERE database_name = current_database() GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [_Table(schema, name, dict(zip(columns, kinds, strict=True))) for schema, name, columns, kinds in found]


def _remember_refused(connection: duckdb.DuckDBPyConnection, target: ErasureTarget, tables: list[_Table]) -> None:
    """Numbers of the subject's refused records, for the findings about them."""
    known = {(table.schema, table.name): table for table in tables}
    records = known.get(("quarantine", "records"))
    source = "SELECT NULL::VARCHAR AS table_name, NULL::BIGINT AS _row WHERE false"
    if records is not None:
        condition = target.rows("quarantine", "records", records.columns)
        source = f"SELECT table_name, _row FROM quarantine.records WHERE _row IS NOT NULL AND ({condition})"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {RECORDS.removeprefix('temp.')} AS {source}")


def _mask(connection: duckdb.DuckDBPyConnection, target: ErasureTarget, table: _Table) -> None:
    for name, (condition, value) in target.masks(table.columns).items():
        connection.execute(f"UPDATE {table.relation} SET {quoted(name)} = {value} WHERE {condition}")


def _follow_digests(connection: duckdb.DuckDBPyConnection, digests: Mapping[str, Mapping[str, str]]) -> None:
    for table, changed in digests.items():
        rejects = table.endswith(".rejects")
        column = "rejects_digest" if rejects else "digest"
        for old, new in changed.items():
            connection.execute(
                f"UPDATE meta.ingestions SET {column} = {literal(new)} WHERE {column} = {literal(old)} "
                f"AND table_name = {literal(table.removesuffix('.rejects'))}"
            )
