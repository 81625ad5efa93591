"""Snapshots on disk: where they lie, what their manifests say, how a Parquet file gets there whole.

What belongs here: files. What a snapshot means for the warehouse is in ``snapshots``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from clinical_assets.foundation.atomic_files import new_file
from clinical_assets.foundation.canonical import PREFIX, file_sha256, hex_of
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat, StoredDocument, VersionedDocument
from clinical_assets.warehouse.snapshots.digests import column_families
from clinical_assets.warehouse.snapshots.ingestion_log import utc_now
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.sql_text import literal

# Dictionaries pay for codes and categories; larger ones are given up for the plain values late, after the work. Version
# 2 writes numbers and lengths as differences, and every reader since 2020 knows it.
_PARQUET = (
    "FORMAT parquet",
    "PARQUET_VERSION V2",
    "COMPRESSION zstd",
    "DICTIONARY_SIZE_LIMIT 2000",
    "USE_TMP_FILE false",
)


class ReplacedSnapshot(StoredDocument):
    """A snapshot whose place another one took when a subject was erased.

    Attributes
    ----------
    digest : str
        Of its content.
    at : str
        When, ISO 8601.
    """

    digest: str
    at: str


class SnapshotManifest(VersionedDocument):
    """What lies beside the Parquet file of a snapshot; fields as in `Snapshot`."""

    digest: str
    rows: int
    columns: int
    file_sha256: str
    bytes: int
    encrypted: bool
    written_at: str
    replaces: tuple[ReplacedSnapshot, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One raw table as it once was.

    Attributes
    ----------
    digest : str
        Digest of the content, ``sha256:...``, without the record numbers.
    columns : int
        Number of columns, the record number not counted. Names are left to the Parquet file, which may be encrypted.
    file_sha256 : str
        SHA-256 of the Parquet file, 64 hexadecimal digits.
    written_at : datetime
        When it was written, UTC.
    replaces : tuple of ReplacedSnapshot
        Snapshots that this one took the place of when a subject was erased; empty for what was read from a source.
    """

    cohort: str
    table: str
    digest: str
    path: Path
    rows: int
    columns: int
    file_sha256: str
    bytes: int
    encrypted: bool
    written_at: dt.datetime
    replaces: tuple[ReplacedSnapshot, ...] = ()

    def __str__(self) -> str:
        return f"Snapshot {self.digest} of table {self.table!r} of cohort {self.cohort!r}"


def snapshot_path(cohort: str, table: str, digest: str, settings: Settings) -> Path:
    """The Parquet file of a snapshot, whether or not it exists."""
    return settings.snapshots / cohort / table / f"{hex_of(digest)}.parquet"


def read_manifest(path: Path) -> Snapshot | None:
    """The snapshot whose Parquet file is ``path``, or None when it has no manifest: then it does not exist.

    Raises
    ------
    WarehouseError
        When the manifest cannot be understood.
    """
    try:
        manifest = SnapshotManifest.read(path.with_suffix(".json"))
        return Snapshot(
            cohort=path.parent.parent.name,
            table=path.parent.name,
            digest=PREFIX + path.stem,
            path=path,
            rows=manifest.rows,
            columns=manifest.columns,
            file_sha256=manifest.file_sha256,
            bytes=manifest.bytes,
            encrypted=manifest.encrypted,
            written_at=dt.datetime.fromisoformat(manifest.written_at),
            replaces=manifest.replaces,
        )
    except FileNotFoundError:
        return None
    except NewerFormat as error:
        raise WarehouseError(error.message, cure=error.cure) from error
    except (BadDocument, ValueError) as error:
        why = error.message if isinstance(error, BadDocument) else str(error)
        raise WarehouseError(
            f"Manifest {path.stem}.json of {path.parent.parent.name}/{path.parent.name} cannot be understood: {why}",
            cure="Restore it from a backup, or delete it with its Parquet file and materialize raw_records again.",
        ) from error


def write_manifest(path: Path, *, rows: int, columns: int, replaces: Sequence[ReplacedSnapshot] = ()) -> Snapshot:
    """Make a Parquet file that is safely on disk a snapshot, and return it; ``replaces`` as in `Snapshot`."""
    manifest = SnapshotManifest(
        digest=PREFIX + path.stem,
        rows=rows,
        columns=columns,
        file_sha256=file_sha256(path),
        bytes=path.stat().st_size,
        encrypted=encryption.is_encrypted_parquet(path),
        written_at=utc_now().isoformat(timespec="microseconds") + "Z",
        **({"replaces": tuple(replaces)} if replaces else {}),
    )
    manifest.write(path.with_suffix(".json"))
    snapshot = read_manifest(path)
    assert snapshot is not None  # it was just written
    return snapshot


def list_snapshots(cohort: str, table: str | None = None, *, settings: Settings) -> list[Snapshot]:
    """Snapshots of a cohort, or of one of its tables, newest first."""
    folder = settings.snapshots / cohort
    manifests = folder.glob("*/*.json") if table is None else (folder / table).glob("*.json")
    found = [snapshot for path in manifests if (snapshot := read_manifest(path.with_suffix(".parquet"))) is not None]
    return sorted(found, key=lambda snapshot: (snapshot.written_at, snapshot.table, snapshot.digest), reverse=True)


def find_snapshot(cohort: str, table: str, digest: str, *, settings: Settings) -> Snapshot:
    """The one snapshot of a table whose digest is, or begins with, ``digest``; ``sha256:`` may be left out.

    Raises
    ------
    WarehouseError
        When there is none, or more than one.
    """
    wanted = hex_of(digest)
    known = list_snapshots(cohort, table, settings=settings)
    found = [snapshot for snapshot in known if wanted and hex_of(snapshot.digest).startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise WarehouseError(
        f"Table {table!r} of cohort {cohort!r} has {len(found) or 'no'} snapshots whose digest begins with "
        f"{digest!r} ({len(known)} are kept).",
        cure=f"Choose one that is listed by: clinical-assets warehouse snapshots {cohort}",
    )


def write_parquet(connection: duckdb.DuckDBPyConnection, relation: str, path: Path, key: str | None) -> int:
    """Write a relation to ``path`` whole or not at all, and return the number of rows.

    Raises
    ------
    WarehouseError
        When a column would come back as another type.
    """
    options = [*_PARQUET, *encryption.parquet_options(key)]
    with new_file(path, single_writer=True) as new:
        written = connection.execute(
            f"COPY (SELECT * FROM {relation}) TO {literal(str(new))} ({', '.join(options)})"
        ).fetchone()
        _check_types(connection, relation, encryption.read_parquet(new, key))
    assert written is not None  # COPY answers with its count
    return int(written[0])


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half written; only one run at a time writes a cohort's snapshots."""
    for leftover in folder.glob(".*.new"):
        leftover.unlink(missing_ok=True)


def _check_types(connection: duckdb.DuckDBPyConnection, relation: str, parquet: str) -> None:
    given, kept = column_families(connection, relation), column_families(connection, parquet)
    for name, (family, _) in given.items():
        if kept[name][0] != family:
            raise WarehouseError(
                f"{relation}: column {name!r} is of kind {family!r}, and Parquet would give it back as "
                f"{kept[name][0]!r}: the snapshot would not be what was read.",
                cure="Cast the column where it is read, for instance a very large integer to text or DECIMAL(38, 0).",
            )
