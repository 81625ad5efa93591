"""Raw inputs kept unchanged: Parquet files named by the digest of their content, with a small manifest each.

What belongs here: writing, checking and restoring snapshots of raw tables. A snapshot is never changed; the same
content again, in whatever order of rows, keeps the one that is there. It exists once its manifest does, and the
manifest is written last.
"""

from __future__ import annotations

import logging

import duckdb

from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.snapshots import ingestion_log
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.snapshots.snapshot_files import (
    Snapshot,
    find_snapshot,
    list_snapshots,
    read_manifest,
    remove_leftovers,
    snapshot_path,
    write_manifest,
    write_parquet,
)
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.connections import plain_words, plainly, scratch
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.warehouse import Warehouse

__all__ = [
    "Snapshot",
    "find_snapshot",
    "list_snapshots",
    "rejects_of",
    "restore_snapshot",
    "verify_snapshot",
    "write_snapshot",
]
_log = logging.getLogger(__name__)


def rejects_of(table: str) -> str:
    """Under which name the unreadable lines of a table are kept; no table can be called so."""
    return f"{table}.rejects"


def write_snapshot(
    connection: duckdb.DuckDBPyConnection, relation: str, *, cohort: str, table: str, settings: Settings
) -> Snapshot:
    """Keep the content of a relation as Parquet, unless it is kept already.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        The connection of ``Warehouse.writer()``: it may write files and knows the cohort's key.
    relation : str
        What may stand after FROM; ``_row`` is kept but does not count as content.
    cohort, table : str
        Whose records these are; they name the folder.
    settings : Settings
        Where the data, keys and reports of this installation lie.

    Raises
    ------
    WarehouseError
        When a column has a type that Parquet cannot hold unchanged, or no space is left.
    """
    digest = table_digest(connection, relation)
    path = snapshot_path(cohort, table, digest, settings)
    key = encryption.cohort_key(cohort, settings)
    kept = read_manifest(path)
    if kept is not None and kept.encrypted == (key is not None):
        if path.exists() and file_sha256(path) == kept.file_sha256:
            return kept
        _log.warning("%s is damaged and is written again.", kept)
    names = connection.sql(f"SELECT * FROM {relation} LIMIT 0").columns
    with plain_words(settings, cohort):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        rows = write_parquet(connection, relation, path, key)
        replaces = kept.replaces if kept is not None else ()
        return write_manifest(path, rows=rows, columns=sum(name != "_row" for name in names), replaces=replaces)


def verify_snapshot(snapshot: Snapshot, *, settings: Settings) -> None:
    """Check that a snapshot has the bytes of its manifest and the content of its digest.

    Raises
    ------
    WarehouseError
        When it is damaged, or cannot be read with the configured key.
    """
    _check_file(snapshot)
    key = key_for(snapshot, settings)
    with scratch(settings, snapshot.cohort) as connection:
        _check_content(connection, encryption.read_parquet(snapshot.path, key), snapshot, settings)


def restore_snapshot(warehouse: Warehouse, table: str, digest: str) -> int:
    """Make a raw table what it was when a snapshot was taken, with the lines that could not be read then.

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's warehouse; it is made when there is none.
    table : str
        The raw table, by its name in the description.
    digest : str
        Digest of the content, or a beginning of it that only one snapshot has.

    Returns
    -------
    int
        Number of rows restored.

    Raises
    ------
    WarehouseError
        When there is no such snapshot or it is damaged; the raw table then stays as it is.
    """
    cohort, settings = warehouse.cohort, warehouse.settings
    snapshot = find_snapshot(cohort, table, digest, settings=settings)
    with warehouse.writer() as connection:
        _load(connection, f"raw.{quoted(table)}", snapshot, settings)
        ingestion_log.prepare(connection)
        connection.execute(f"DELETE FROM raw._rejects WHERE table_name = {literal(table)}")
        rejects_digest = ingestion_log.last_rejects_digest(connection, table=table, digest=snapshot.digest)
        rejects = 0
        if rejects_digest is not None:
            unread = find_snapshot(cohort, rejects_of(table), rejects_digest, settings=settings)
            _load(connection, "raw._restored", unread, settings)
            connection.execute(
                f"INSERT INTO raw._rejects SELECT {literal(table)}, line, reason, text FROM raw._restored"
            )
            connection.execute("DROP TABLE raw._restored")
            rejects = unread.rows
        source = {"name": f"snapshot {snapshot.digest}", "bytes": snapshot.bytes, "sha256": snapshot.file_sha256}
        ingestion_log.add(
            connection,
            table=table,
            rows=snapshot.rows,
            rejects=rejects,
            digest=snapshot.digest,
            rejects_digest=rejects_digest,
            files=[source],
        )
    return snapshot.rows


def key_for(snapshot: Snapshot, settings: Settings) -> str | None:
    """The key to read a snapshot with.

    Raises
    ------
    WarehouseError
        When the file is encrypted and no key is configured, or the other way round.
    """
    key = encryption.cohort_key(snapshot.cohort, settings)
    encrypted = encryption.is_encrypted_parquet(snapshot.path)
    if encrypted and key is None:
        raise encryption.key_missing(str(snapshot))
    if not encrypted and key is not None:
        raise encryption.still_plain(str(snapshot), snapshot.cohort)
    return key


def _load(connection: duckdb.DuckDBPyConnection, target: str, snapshot: Snapshot, settings: Settings) -> None:
    _check_file(snapshot)
    source = encryption.read_parquet(snapshot.path, key_for(snapshot, settings))
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS SELECT * FROM {source}")
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise _unreadable(error, snapshot, settings) from error
    # The table is checked, not the file once more: what counts is what was read.
    _check_content(connection, target, snapshot, settings)


def _check_file(snapshot: Snapshot) -> None:
    if not snapshot.path.exists():
        raise damaged(snapshot, "its file is missing")
    if file_sha256(snapshot.path) != snapshot.file_sha256:
        raise damaged(snapshot, "its bytes have changed")


def _check_content(
    connection: duckdb.DuckDBPyConnection, relation: str, snapshot: Snapshot, settings: Settings
) -> None:
    try:
        found = table_digest(connection, relation)
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise _unreadable(error, snapshot, settings) from error
    if found != snapshot.digest:
        raise damaged(snapshot, f"its content has the digest {found}")


def _unreadable(error: duckdb.Error, snapshot: Snapshot, settings: Settings) -> WarehouseError:
    plain = plainly(error, settings, snapshot.cohort)
    if plain is not None:
        return plain
    if "AES tag" in str(error):
        return encryption.key_wrong(str(snapshot))
    return damaged(snapshot, "it cannot be read")


def damaged(snapshot: Snapshot, how: str) -> WarehouseError:
    """The error for a snapshot that is not what its name and manifest promise."""
    return WarehouseError(
        f"{snapshot} is damaged: {how}. It was not used.",
        cure="Restore the file from a backup, or materialize raw_records again from the source.",
    )
