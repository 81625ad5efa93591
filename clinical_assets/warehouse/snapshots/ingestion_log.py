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

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.warehouse.store.sql_text import literal, quoted


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


def origin_changed(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> tuple[str, ...]:
    """Tables whose last ingestion was from files where the description now says a generator, or the other way round.

    Only cohorts with a stand-in have such tables: no other description changes by itself.
    """
    if spec.data.stand_in is None:
        return ()
    # A restored table is of the origin that its content had when it was first read; in a warehouse into which snapshots
    # were lent, to make a model again, nothing says where they came from, and nothing new was read.
    last = dict(
        connection.execute(
            "SELECT table_name, arg_min(json_array_length(files) > 0, ingested_at) FROM meta.ingestions JOIN ("
            "SELECT table_name, arg_max(digest, ingested_at) AS digest FROM meta.ingestions GROUP BY table_name"
            ") AS last USING (table_name, digest) "
            "WHERE coalesce(files->0->>'name' NOT LIKE 'snapshot sha256:%', TRUE) GROUP BY table_name"
        ).fetchall()
    )
    named = {name: spec.tables[name].source.kind == "file" for name in spec.data.stand_in.tables}
    return tuple(name for name, from_file in named.items() if last.get(name, from_file) != from_file)


def refuse_other_origin(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> None:
    """Check that records which a generator made are not taken for those of files, nor the other way round.

    Raises
    ------
    WarehouseError
        When a file of the cohort was put in place, or taken away, since its records were read.
    """
    if changed := origin_changed(connection, spec):
        made, named = ("files", "the stand-in") if spec.synthetic else ("the stand-in", "files")
        raise WarehouseError(
            f"Cohort {spec.name!r}: the records of {', '.join(changed)} are of {made}, but by now the cohort is made "
            f"of {named}: a file was put in place or taken away since they were read.",
            cure=f"Read it anew: clinical-assets materialize {spec.name}",
        )


def content_digests(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> dict[str, str] | None:
    """Digest of the content of each raw table, as its last ingestion or restoration noted it.

    Returns
    -------
    dict or None
        None where a table was never noted, or has by now another number of rows than was noted.
    """
    digests: dict[str, str] = {}
    try:
        for table in tables:
            noted = connection.execute(
                f"SELECT arg_max(digest, ingested_at) FROM meta.ingestions WHERE table_name = {literal(table)} "
                f"HAVING arg_max(rows, ingested_at) = (SELECT count(*) FROM raw.{quoted(table)})"
            ).fetchone()
            if noted is None:
                return None
            digests[table] = str(noted[0])
    except duckdb.CatalogException:
        return None
    return digests


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
