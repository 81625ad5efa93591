"""The ledger as a file, for an inspector: JSON Lines or CSV, complete and in order.

What belongs here: writing the file. What does not: recording that it was written (``ledger``).

A line of JSON has all fields; hashes can be computed again from it (see ``entries``) and seals checked with the
public key of the installation (see ``appending``). CSV has the same columns, with
the facts as canonical JSON, and an empty cell for nothing.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import sqlalchemy as sa

from clinical_assets.foundation.atomic_files import PRIVATE, new_file, private
from clinical_assets.foundation.canonical import file_digest
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.private_files import refused
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.schema import ledger as table

FORMATS = ("jsonl", "csv")
_AT_ONCE = 5_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@contextlib.contextmanager
def export(database: RecordsDatabase, path: Path, *, format: Literal["jsonl", "csv"]) -> Iterator[tuple[int, str]]:
    """Write all entries beside ``path``; the file gets its name when the block ends without an error.

    Only the account that writes it can read the file. Entries are streamed, a few thousand at a time.

    Yields
    ------
    tuple
        How many entries, and the SHA-256 of the file.

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
        with new_file(path, mode=PRIVATE) as work:
            with (
                open(work, "x", encoding="utf-8", newline="", opener=private) as file,
                database.read() as connection,
            ):
                rows = connection.execution_options(yield_per=_AT_ONCE).execute(sa.select(table).order_by(table.c.seq))
                count = _write_csv(file, rows) if format == "csv" else _write_lines(file, rows)
            yield count, file_digest(work)
    except OSError as error:
        raise refused(path, error) from error


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
        writer.writerow([_no_formula(value) for value in row])
        count += 1
    return count


def _no_formula(value: Any) -> Any:
    """A cell that no spreadsheet computes (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
