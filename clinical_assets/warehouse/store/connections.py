"""DuckDB connections as this project uses them: bounded, offline, spilling only into the data folder.

What belongs here: the settings of every connection, attaching a cohort's file, and saying in plain words what the
machine refused (space, memory). What does not: who may open a file when (``warehouse``, ``locks``).
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb

from clinical_assets.foundation.errors import ClinicalAssetsError, WarehouseError
from clinical_assets.foundation.scratch_folder import scratch_folder
from clinical_assets.foundation.settings import DATA, MEMORY, Settings
from clinical_assets.warehouse.store import encryption, locks
from clinical_assets.warehouse.store.sql_text import literal

DATABASE = "warehouse"
# DuckDB writes files by default so that version 1.0 can read them. From 1.3 on texts are compressed in one pass instead
# of several tries, at half the cost and to the same size; 1.4 is what encrypted files need anyway.
_STORAGE_VERSION = "v1.4.0"
_FULL = ("No space left on device", "max_temp_directory_size", "Disk quota exceeded")


@contextlib.contextmanager
def scratch(settings: Settings, cohort: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection with the project's limits and, when one is configured, the cohort's key for Parquet."""
    key = encryption.cohort_key(cohort, settings)
    with scratch_folder(spill_root(settings), prefix=f"{cohort}-") as spill:
        connection = _connect(settings, spill, encrypted=key is not None)
        try:
            if key is not None:
                encryption.enable_encryption(connection)
                encryption.add_parquet_key(connection, key)
            yield connection
        finally:
            connection.close()


@contextlib.contextmanager
def attached(path: Path, settings: Settings, cohort: str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a cohort's file attached as ``warehouse`` and in use.

    Raises
    ------
    Busy
        When another process or connection holds the file.
    WarehouseError
        When the file is missing, damaged, or not encrypted as configured.
    """
    key = encryption.cohort_key(cohort, settings)
    with scratch_folder(spill_root(settings), prefix=f"{cohort}-") as spill:
        connection = _connect(settings, spill, encrypted=key is not None)
        try:
            if key is not None:
                # Readers, too: their temporary files are encrypted.
                encryption.enable_encryption(connection)
                encryption.add_parquet_key(connection, key)
            attach(connection, path, DATABASE, key=key, cohort=cohort, read_only=read_only)
            connection.execute(f"USE {DATABASE}")
            if read_only:
                # A reader has nothing to fetch: whatever SQL it is given, it sees this file and no other.
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
            try:
                yield connection
            finally:
                # Closing alone leaves the file locked while a result that was not read to its end is still alive.
                connection.execute("USE memory")
                connection.execute(f"DETACH {DATABASE}")
        finally:
            connection.close()


def attach(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, *, key: str | None, cohort: str, read_only: bool
) -> None:
    """Attach a cohort's file, turning DuckDB's refusals into errors that name the cure."""
    options = ["READ_ONLY"] if read_only else [f"STORAGE_VERSION {literal(_STORAGE_VERSION)}"]
    options += [f"ENCRYPTION_KEY {literal(key)}"] if key else []
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS {name} ({', '.join(options)})")
    except duckdb.Error as error:
        busy = locks.busy_holder(error)
        if busy is not None:
            raise busy from None
        raise _refused(error, path, cohort) from error


def plainly(error: BaseException, settings: Settings, cohort: str) -> WarehouseError | None:
    """What the machine refused, as an error for a person; None when the error is of another kind."""
    text = str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, duckdb.Error) and any(sign in text for sign in _FULL)):
        free = shutil.disk_usage(settings.data).free
        return WarehouseError(
            f"No space is left for cohort {cohort!r}: the folder {settings.data} has {free / 2**20:,.1f} MiB free. "
            "What was being written was given up; the old tables are whole.",
            cure=f"Free some space there, or point {DATA} at a larger disk, and run again.",
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        if error.filename is None or not Path(error.filename).is_relative_to(settings.data):
            return None
        return WarehouseError(
            f"Cohort {cohort!r} cannot be written: {Path(error.filename).relative_to(settings.data)} in the folder "
            f"{settings.data}: {error.strerror}.",
            cure=f"Make the folder writable for this user, or point {DATA} at one that is.",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return WarehouseError(
            f"Cohort {cohort!r} needs more memory than the limit of {settings.memory_limit}: "
            f"{text.splitlines()[0].removeprefix('Out of Memory Error: ')}",
            cure=f"Raise {MEMORY}.",
        )
    return None


@contextlib.contextmanager
def plain_words(settings: Settings, cohort: str) -> Iterator[None]:
    """Turn what the machine refuses inside the block into errors for a person; let everything else pass."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        plain = plainly(error, settings, cohort)
        if plain is None:
            raise
        raise plain from error


def spill_root(settings: Settings) -> Path:
    """Where connections have their folders for temporary files; names begin with the cohort and a dash.

    Each connection has its own because DuckDB removes every temporary file of the folder when it closes, also those
    of another process.
    """
    return settings.data / "temp"


def _connect(settings: Settings, spill: Path, *, encrypted: bool) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": settings.memory_limit,
                "threads": settings.threads,
                "temp_directory": str(spill),
                "temp_file_encryption": encrypted,
                # Nothing is downloaded and nothing outside the data folder is written behind our back.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "allow_persistent_secrets": False,
            },
        )
    except duckdb.Error as error:
        raise ClinicalAssetsError(
            f"DuckDB does not accept the limits of memory {settings.memory_limit!r} and {settings.threads} threads: "
            f"{error}",
            cure=f"Set {MEMORY} to a size such as 4GB.",
        ) from error
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _refused(error: duckdb.Error, path: Path, cohort: str) -> WarehouseError:
    text, name = str(error), f"Warehouse file {path.name}"
    if "without a key" in text:
        return encryption.key_missing(name)
    if "Wrong encryption key" in text:
        return encryption.key_wrong(name)
    if "is not encrypted" in text:
        return encryption.still_plain(name, cohort)
    if "database does not exist" in text:
        return WarehouseError(
            f"Cohort {cohort!r} has no warehouse yet.", cure=f"Make it with: clinical-assets materialize {cohort}"
        )
    if "not a valid DuckDB database" in text:
        return WarehouseError(
            f"{name} is not a DuckDB file: it is damaged.",
            cure=f"Move it away and run: clinical-assets materialize {cohort}. Raw inputs are kept as snapshots.",
        )
    return WarehouseError(f"{name} cannot be opened: {text.replace(str(path), path.name)}")
