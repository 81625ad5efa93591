"""The ledger as a file, for an inspector: JSON Lines or CSV, complete and in order.

What belongs here: writing the file. What does not: recording that it was written (``ledger``).

A line of JSON has all fields; hashes can be computed again from it (see ``entries``). CSV has the same columns, with
the facts as canonical JSON, and an empty cell for nothing.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Literal

import sqlalchemy as sa

from clinical_assets.records.canonical import canonical
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.private_files import flush_folder, refused
from clinical_assets.records.refusals import RecordsError
from clinical_assets.records.schema import ledger as table

FORMATS = ("jsonl", "csv")
_AT_ONCE = 5_000


def export(
    database: RecordsDatabase, path: Path, *, format: Literal["jsonl", "csv"]
) -> tuple[int, str, AbstractContextManager[None]]:
    """Write all entries beside ``path``; the file gets its name when the returned block ends without an error.

    Only the account that writes it can read the file. Entries are streamed, a few thousand at a time.

    Returns
    -------
    tuple
        How many entries, the SHA-256 of the file, and the block to end it with.

    Raises
    ------
    RecordsError
        When the format is unknown, or the file cannot be written.
    """
    if format not in FORMATS:
        raise RecordsError(f"There is no export in the format {format!r}.", cure=f"Use {' or '.join(FORMATS)}.")
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "is a folder")
        # mkstemp gives the file to this account alone.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise refused(path, error) from error
    work = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file, database.read() as connection:
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(sa.select(table).order_by(table.c.seq))
            count = _write_csv(file, rows) if format == "csv" else _write_lines(file, rows)
            file.flush()
            os.fsync(file.fileno())
        with work.open("rb") as written:
            digest = "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()
    except OSError as error:
        work.unlink(missing_ok=True)
        raise refused(path, error) from error
    except BaseException:
        work.unlink(missing_ok=True)
        raise
    return count, digest, _named(work, path)


@contextlib.contextmanager
def _named(work: Path, path: Path) -> Iterator[None]:
    try:
        yield
        work.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        work.unlink(missing_ok=True)


def _write_lines(file: IO[str], rows: sa.CursorResult[Any]) -> int:
    count = 0
    for row in rows:
        file.write(canonical({**row._asdict(), "facts": json.loads(row.facts)}) + "\n")
        count += 1
    return count


def _write_csv(file: IO[str], rows: sa.CursorResult[Any]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.keys())
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    return count
