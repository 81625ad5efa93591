"""A subject out of the other files below the data folder, and the proof: which files still hold its identifier.

What belongs here: logs, event stores, prediction files, reports. Sealed files (bundles, dossiers), the ledger and
deliveries are looked at, never changed.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from clinical_assets.foundation.atomic_files import new_file, write_whole
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.erasure.target import ErasureTarget, spellings
from clinical_assets.warehouse.store import encryption
from clinical_assets.warehouse.store.connections import scratch
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.validation.erased_subjects import MASK

_SQLITE = b"SQLite format 3\x00"
_TABULAR = {".parquet", ".csv"}
_PATIENCE_S = 30.0
_Value = str | bytes | int | float | None


@dataclass(frozen=True)
class Remaining:
    """Where the subject still is, and what a person must do about it."""

    what: str
    cure: str


def clean_files(target: ErasureTarget, *, settings: Settings) -> dict[str, int]:
    """Delete the subject's rows of tabular files, and mask its identifier in event stores, logs and reports.

    Returns
    -------
    dict
        How many files of each kind were changed: ``tables``, ``event stores``, ``texts``.
    """
    changed = {"tables": 0, "event stores": 0, "texts": 0}
    with scratch(settings, target.spec.name) as connection:
        target.prepare(connection)
        target.remember_units(connection)
        for path in _changeable(settings):
            if path.suffix in _TABULAR and target.spec.name in path.parts:
                changed["tables"] += _drop_rows(connection, target, path, settings)
    if target.distinctive:
        pattern = identifier_bytes(target.identifier)
        for path in _changeable(settings):
            if not _holds(path, pattern):
                continue
            if _starts_with(path, _SQLITE):
                _mask_database(path, target.identifier)
                changed["event stores"] += 1
            elif path.suffix not in _TABULAR and _mask_text(path, pattern):
                changed["texts"] += 1
    return {kind: number for kind, number in changed.items() if number}


def remaining_files(target: ErasureTarget, *, settings: Settings) -> tuple[Remaining, ...]:
    """Files below the data folder that still hold the bytes of the identifier; none is looked at when it is too short.

    Files of another cohort's own are left to that cohort: an identifier may name somebody else there.
    """
    if not target.distinctive:
        return ()
    pattern = identifier_bytes(target.identifier)
    found = []
    for path in _files(settings.data):
        if _holds(path, pattern) or pattern.search(path.name.encode()):
            shown = pattern.sub(rb"\1" + MASK.encode() + rb"\2", str(path.relative_to(settings.data)).encode()).decode()
            found.append(Remaining(what=f"file {shown} of the data folder", cure=_cure(path, settings)))
    return tuple(found)


def identifier_bytes(identifier: str) -> re.Pattern[bytes]:
    """Pattern of an identifier as a word, as plain text, in JSON, and in an address."""
    forms: set[str] = set()
    for form in spellings(identifier):
        forms |= {form, json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1]}
        forms |= {urllib.parse.quote(form), form.replace("'", "''")}
    joined = b"|".join(re.escape(form.encode()) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rb"(?<![0-9A-Za-z])()(?:" + joined + rb")()(?![0-9A-Za-z])")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _changeable(settings: Settings) -> Iterator[Path]:
    """Files that may be changed: not what has modules of its own, not what is sealed, not what others delivered."""
    kept = {
        settings.warehouse,
        settings.snapshots,
        settings.records,
        settings.dossiers,
        settings.bundles,
        settings.inbox,
        settings.downloads,
    }
    for path in _files(settings.data):
        sealed = path.parent.name == "bundle" and path.is_relative_to(settings.data / "models")
        if not sealed and not any(path.is_relative_to(folder) for folder in kept):
            yield path


def _drop_rows(connection: duckdb.DuckDBPyConnection, target: ErasureTarget, path: Path, settings: Settings) -> int:
    if path.suffix == ".parquet":
        encrypted = encryption.is_encrypted_parquet(path)
        key = encryption.cohort_key(target.spec.name, settings) if encrypted else None
        relation, form = encryption.read_parquet(path, key), ["FORMAT parquet", *encryption.parquet_options(key)]
    else:
        relation, form = f"read_csv({literal(str(path))}, header = true, all_varchar = true)", ["FORMAT csv", "HEADER"]
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    columns = dict(zip(shape.columns, map(str, shape.types), strict=True))
    mine = target.rows("files", path.stem, columns)
    if mine is None:
        return 0
    row = connection.execute(f"SELECT count(*) FROM {relation} WHERE {mine}").fetchone()
    if row is None or not row[0]:
        return 0
    with new_file(path, mode=path.stat().st_mode & 0o777) as new:
        connection.execute(
            f"COPY (SELECT * FROM {relation} WHERE NOT ({mine})) TO {literal(str(new))} ({', '.join(form)})"
        )
    return 1


def _mask_database(path: Path, identifier: str) -> None:
    """Mask an identifier in every text of an SQLite file, and write the file anew."""
    pattern = re.compile(identifier_bytes(identifier).pattern.decode("utf-8", "surrogateescape"))

    def masked(value: _Value) -> _Value:
        return pattern.sub(MASK, value) if isinstance(value, str) else value

    def names(value: _Value) -> bool:
        return isinstance(value, str) and pattern.search(value) is not None

    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as connection:
        connection.create_function("masked", 1, masked)
        connection.create_function("names_it", 1, names)
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            for row in connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall():
                column = quoted(row[1])
                connection.execute(f"UPDATE {quoted(table)} SET {column} = masked({column}) WHERE names_it({column})")
        connection.commit()
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _mask_text(path: Path, pattern: re.Pattern[bytes]) -> bool:
    content = path.read_bytes()
    if b"\x00" in content:
        return False
    write_whole(path, pattern.sub(MASK.encode(), content), mode=path.stat().st_mode & 0o777)
    return True


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return False  # an empty file cannot be mapped
        with content:
            return pattern.search(content) is not None


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _cure(path: Path, settings: Settings) -> str:
    if path.is_relative_to(settings.inbox):
        return "Ask the sender for a delivery without the subject, and remove the file."
    if path.is_relative_to(settings.downloads):
        return "Remove the subject at the source and its new SHA-256 in the description; then delete the file."
    if path.is_relative_to(settings.dossiers) or path.is_relative_to(settings.bundles) or "bundle" in path.parts:
        return "The file is sealed: train again without the subject, and retire this version."
    if path.is_relative_to(settings.warehouse) or path.is_relative_to(settings.snapshots):
        return "If it is another cohort's: erase the subject there, too. Otherwise repeat the command."
    if path.is_relative_to(settings.records):
        return "A name or reason in the ledger holds it and cannot be changed; ask your data protection officer."
    return "Delete the file, or the subject in it; the platform does not know its format."
