"""A DuckDB file as a file: making it whole, and giving back space that a failed write left behind.

What belongs here: what is done to the file while DuckDB has it closed. Closing any handle of a file drops all POSIX
locks that the process has on it, DuckDB's among them: nothing here may run while this process has the file attached.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.atomic_files import new_file, remove_file
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.connections import attached

SCHEMAS = ("raw", "validated", "quarantine", "model", "marts", "meta")
# DuckDB keeps its three headers in the first pages; a checkpoint that counts changes one of them.
_HEADER_BYTES = 3 * 4096


def make_database(path: Path, settings: Settings, cohort: str) -> None:
    """Make the file with all schemas, unless it exists.

    It is made under another name and renamed, so that a process killed meanwhile leaves no half file behind. To be
    called by one process at a time.
    """
    if path.exists():
        return
    log_of(path).unlink(missing_ok=True)  # a log without its file would be taken for the new file's
    with new_database(path) as new, attached(new, settings, cohort, read_only=False) as connection:
        for schema in SCHEMAS:
            connection.execute(f"CREATE SCHEMA {schema}")


@contextlib.contextmanager
def new_database(path: Path) -> Iterator[Path]:
    """A name beside `path` to make a DuckDB file at, which takes the place of `path` and its log when the block ends.

    To be used by one process at a time; an error within the block leaves the old file, and nothing beside it.
    """
    with new_file(path, single_writer=True) as new:
        log_of(new).unlink(missing_ok=True)
        try:
            yield new
        finally:
            log_of(new).unlink(missing_ok=True)
    remove_file(log_of(path))


def log_of(path: Path) -> Path:
    """The write-ahead log that belongs to a file."""
    return path.with_name(f"{path.name}.wal")


@dataclass(frozen=True)
class Extent:
    """Headers and length of a file that is complete without its log."""

    headers: bytes
    length: int

    @classmethod
    def of(cls, path: Path) -> Extent | None:
        """The extent now, or None while a log belongs to the file."""
        if _has_log(path):
            return None
        with path.open("rb") as file:
            return cls(headers=file.read(_HEADER_BYTES), length=path.stat().st_size)


def cut_back(path: Path, before: Extent | None) -> None:
    """Give back the space of a write that was taken back.

    DuckDB writes new blocks behind the old ones before it commits, and leaves them there when the transaction fails:
    on a full disk nothing could be written any more. With the same headers as before, nothing behind the old end is
    in use. While somebody else has the file open it stays as it is; the next write uses the space again.
    """
    import fcntl

    if before is None or _has_log(path):
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes, too
        except BlockingIOError:
            return
        if file.read(_HEADER_BYTES) == before.headers and path.stat().st_size > before.length:
            file.truncate(before.length)


def _has_log(path: Path) -> bool:
    log = log_of(path)
    return log.exists() and log.stat().st_size > 0
