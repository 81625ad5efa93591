"""What was read into the warehouse when: the table ``meta.ingestions``, and the lines that could not be read.

What belongs here: the shape of both tables and the statements on them. One row of ``meta.ingestions`` is one table of
one ingestion or restoration; rows are only added. ``raw._rejects`` holds the unreadable lines of the last one.

Values stand in the statements as literals: binding a parameter makes DuckDB's Python client import pandas, which takes
longer than reading a small cohort.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from clinical_assets.warehouse.sql_text import literal


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make both tables when they are not there yet."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS meta.ingestions (ingested_at TIMESTAMP, table_name VARCHAR, rows BIGINT, "
        "rejects BIGINT, digest VARCHAR, rejects_digest VARCHAR, files JSON)"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS raw._rejects (table_name VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)"
    )


def add(
    connection: duckdb.DuckDBPyConnection,
    *,
    table: str,
    rows: int,
    rejects: int,
    digest: str,
    rejects_digest: str | None,
    files: Sequence[Mapping[str, Any]],
) -> None:
    """Note one table of an ingestion, with the time now in UTC and its files (name, bytes, sha256)."""
    noted = json.dumps([dict(file) for file in files])
    values = ", ".join(map(literal, (utc_now(), table, rows, rejects, digest, rejects_digest, noted)))
    connection.execute(f"INSERT INTO meta.ingestions VALUES ({values})")


def last_rejects_digest(connection: duckdb.DuckDBPyConnection, *, table: str, digest: str) -> str | None:
    """Digest of the unreadable lines that came with the last ingestion of this content, or None without any."""
    found = connection.execute(
        f"SELECT rejects_digest FROM meta.ingestions WHERE table_name = {literal(table)} "
        f"AND digest = {literal(digest)} ORDER BY ingested_at DESC LIMIT 1"
    ).fetchone()
    return found[0] if found else None


def utc_now() -> dt.datetime:
    """The time now in UTC, without a zone as DuckDB's TIMESTAMP wants it."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
