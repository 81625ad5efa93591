"""Delimited text (CSV and its kin) through DuckDB's parallel reader, with nothing left to its guesses.

What belongs here: from files and a dialect to a statement, and from DuckDB's table of errors to rejected lines.
What does not: encodings (``encoded_text``), layout (``dialect``), counting (``record_scan``).

What DuckDB 1.5 does, and what is done about it:

- A line with too few or too many values goes to its table of errors, one row per missing value; here it becomes one
  reject. Its ``line`` counts a record with line breaks inside quotes as one; here it becomes the physical line.
- Records that end partly in LF and partly in CRLF stop it or, worse, leave nothing: such a file is rewritten.
- Values are VARCHAR and an empty one is NULL; ``NA`` and ``NULL`` stay text, for the description to judge.
- Several files are read in the order of their names, and folders called ``key=value`` never become columns.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from clinical_assets.cohorts.sources_spec import CsvDialect
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.dialect import Layout, read_layout
from clinical_assets.sources.delimited.encoded_text import text_file
from clinical_assets.sources.delimited.plain_text import make_plain, read_head
from clinical_assets.sources.delimited.record_scan import BytePositions, RecordScanner, Scan
from clinical_assets.sources.files import Fingerprint, Found, fingerprint, literal, path_literal
from clinical_assets.sources.reading import Reading

_LINE_BYTES = 2_000_000  # DuckDB's own limit of a record
# A file with more errors than this is not what its description says. DuckDB stops noting them there, and the count
# of records then refuses the file.
_ERRORS_NOTED = 5_000_000


@dataclass(frozen=True)
class _Prepared:
    name: str
    fingerprint: Fingerprint
    readable: Path
    layout: Layout
    scan: Scan

    @property
    def blank_ordinals(self) -> BytePositions:
        """Lines that are no record; in a file of one column a blank line is a record with a missing value."""
        return self.scan.blank_ordinals if len(self.layout.names) > 1 else self.scan.blank_ordinals[:0]

    @property
    def malformed(self) -> bool:
        """True when a quote stands where none may."""
        return self.scan.malformed_quote_line is not None

    @property
    def records(self) -> int:
        as_values = self.scan.blank_ordinals.size - self.blank_ordinals.size
        return self.scan.records + as_values - self.layout.header


def read_delimited(
    connection: duckdb.DuckDBPyConnection, found: Sequence[Found], *, dialect: CsvDialect, folder: Path
) -> Reading:
    """Make delimited files ready to be read.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Where they will be read; tables of rejects are made on it under names of their own.
    found : sequence of Found
        Files with the same columns, in order.
    dialect : CsvDialect
        What the description says about them.
    folder : Path
        Working folder for copies that DuckDB can read.

    Returns
    -------
    Reading
        All columns VARCHAR, ``_row`` from 1 over all files.

    Raises
    ------
    SourceError
        Naming file and line of whatever keeps a file from being read.
    """
    files: list[_Prepared] = []
    for one in found:
        files.append(_prepare(one, dialect, folder, files[0].layout if files else None))
    tag = uuid.uuid4().hex[:12]
    errors, scans, notes = (f"temp.main.source_{what}_{tag}" for what in ("errors", "scans", "notes"))
    _note_lines(connection, notes, files)
    relation = _read_csv(files, errors, scans)
    return Reading(
        sql=f"SELECT row_number() OVER () AS _row, * FROM {relation}",
        unnumbered_sql=f"SELECT NULL::BIGINT AS _row, * FROM {relation}",
        rejects_sql=_rejects(files, errors, notes),
        rejected_records_sql=_rejected_records(files, errors, notes),
        records=sum(file.records for file in files),
        suspect=next((f"{one.name}, line {one.scan.malformed_quote_line}" for one in files if one.malformed), None),
        description=_describe(files),
        fingerprints=tuple(file.fingerprint for file in files),
        temporary=tuple(f"DROP TABLE IF EXISTS {table}" for table in (errors, scans, notes)),
    )


def number_sql(expression: str, decimal: str) -> str:
    """SQL that turns a text value into DOUBLE, NULL where it is no number.

    With a decimal comma, ``1,5`` is 1.5, and a value with a point in it is no number: whether the point groups
    thousands or is the decimal sign cannot be known.

    Parameters
    ----------
    expression : str
        SQL that yields VARCHAR.
    decimal : {".", ","}
        The dialect's decimal sign.
    """
    if decimal == ".":
        return f"TRY_CAST({expression} AS DOUBLE)"
    return f"CASE WHEN NOT contains({expression}, '.') THEN TRY_CAST(replace({expression}, ',', '.') AS DOUBLE) END"


def _prepare(found: Found, dialect: CsvDialect, folder: Path, first: Layout | None) -> _Prepared:
    text = text_file(found.name, found.path, dialect.encoding)
    with ThreadPoolExecutor(max_workers=1) as pool:
        mark = pool.submit(fingerprint, found)
        head = read_head(text)
        layout = read_layout(
            found.name, head.text, whole=head.whole, dialect=dialect, delimiter=first.delimiter if first else None
        )
        if first is not None:
            _refuse_difference(found.name, layout, first)
        scanner = RecordScanner(found.name, delimiter=layout.delimiter, quote=layout.quote, skip=layout.skip)
        readable, scan = make_plain(text, head, scanner, folder)
        return _Prepared(found.name, mark.result(), readable, layout, scan)


def _refuse_difference(name: str, layout: Layout, first: Layout) -> None:
    if layout.names != first.names:
        place = next(
            (i for i, (a, b) in enumerate(zip(layout.names, first.names, strict=False)) if a != b),
            min(len(layout.names), len(first.names)),
        )
        shown = [repr(names[place]) if place < len(names) else "missing" for names in (layout.names, first.names)]
        raise SourceError(
            f"{name} has other columns than the first file: "
            f"column {place + 1} is {shown[0]} here and {shown[1]} there.",
            cure="Give every file of the pattern the same columns in the same order, or make it a table of its own.",
        )
    if layout.skip != first.skip:
        raise SourceError(
            f"{name} has {layout.skip} lines before its first record, the first file has {first.skip}.",
            cure="Remove the blank lines at the beginning.",
        )


def _read_csv(files: Sequence[_Prepared], errors: str, scans: str) -> str:
    layout = files[0].layout
    longest = max(file.scan.longest_bytes for file in files)
    options = {
        "auto_detect": "false",
        "columns": "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in layout.names) + "}",
        "delim": literal(layout.delimiter),
        "quote": literal(layout.quote),
        "escape": literal(layout.quote),
        "header": str(layout.header).lower(),
        "skip": str(layout.skip),
        "compression": "'none'",
        "hive_partitioning": "false",
        "store_rejects": "true",
        "rejects_table": literal(errors.rpartition(".")[2]),
        "rejects_scan": literal(scans.rpartition(".")[2]),
        "rejects_limit": str(_ERRORS_NOTED),
    }
    if longest >= _LINE_BYTES - 2:
        options["max_line_size"] = str(longest + 1024)
    paths = ", ".join(path_literal(file.readable) for file in files)
    return f"read_csv([{paths}], " + ", ".join(f"{key} = {value}" for key, value in options.items()) + ")"


def _note_lines(connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[_Prepared]) -> None:
    """Keep, per file, which lines are blank and which records take several lines: ``upto`` counts them up to there."""
    parts = []
    for file_id, file in enumerate(files):
        for kind, ordinals, upto in (
            ("blank", file.blank_ordinals, np.arange(1, file.blank_ordinals.size + 1)),
            ("broken", file.scan.broken_ordinals, np.cumsum(file.scan.extra_lines)),
        ):
            parts.append(
                pa.table(
                    {
                        "kind": pa.repeat(pa.scalar(kind), ordinals.size),
                        "file_id": pa.repeat(pa.scalar(file_id, pa.int64()), ordinals.size),
                        "ordinal": pa.array(ordinals, pa.int64()),
                        "upto": pa.array(upto, pa.int64()),
                    }
                )
            )
    view = table.rpartition(".")[2] + "_view"
    connection.register(view, pa.concat_tables(parts))
    try:
        connection.execute(f"CREATE TEMP TABLE {table.rpartition('.')[2]} AS SELECT * FROM {view}")
    finally:
        connection.unregister(view)


def _faults(errors: str) -> str:
    """One row per rejected record of the last reading: DuckDB notes one per value that is missing or too many."""
    return f"""
        SELECT file_id::BIGINT AS file_id, line::BIGINT AS ordinal, any_value(csv_line) AS csv_line,
            bool_or(error_type::VARCHAR = 'UNQUOTED VALUE') AS quotes,
            max(column_idx) FILTER (error_type::VARCHAR = 'TOO MANY COLUMNS') AS many,
            min(column_idx) FILTER (error_type::VARCHAR = 'MISSING COLUMNS') AS few,
            any_value(split_part(error_message, chr(10), 1)) AS message
        FROM {errors} WHERE scan_id = (SELECT max(scan_id) FROM {errors}) GROUP BY ALL"""


def _rejects(files: Sequence[_Prepared], errors: str, notes: str) -> str:
    width = len(files[0].layout.names)
    names = "[" + ", ".join(literal(file.name + ": ") for file in files) + "]"
    prefix = f"{names}[f.file_id + 1] || " if len(files) > 1 else ""
    return f"""
        SELECT f.ordinal + coalesce(n.upto, 0) AS line,
            {prefix}CASE WHEN f.quotes AND contains(f.csv_line, {literal(chr(92) + '"')})
                THEN 'malformed quotes: a backslash before a quote. Export with quotes doubled ("") instead'
                WHEN f.quotes THEN 'malformed quotes: text behind a closing quote'
                WHEN f.many IS NOT NULL THEN 'too many values: {width} expected, ' || f.many || ' found'
                WHEN f.few IS NOT NULL THEN 'too few values: {width} expected, ' || f.few || ' found'
                ELSE f.message END AS reason,
            trim(f.csv_line, chr(10) || chr(13)) AS text
        FROM ({_faults(errors)}) f
        ASOF LEFT JOIN (SELECT * FROM {notes} WHERE kind = 'broken') n
            ON f.file_id = n.file_id AND f.ordinal > n.ordinal
        ORDER BY f.file_id, f.ordinal"""


def _rejected_records(files: Sequence[_Prepared], errors: str, notes: str) -> str:
    before = np.concatenate(([0], np.cumsum([file.records for file in files])[:-1]))
    first = [int(b) - file.layout.skip - file.layout.header for b, file in zip(before, files, strict=True)]
    return f"""
        SELECT f.ordinal - coalesce(n.upto, 0) + {first}[f.file_id + 1] AS record
        FROM ({_faults(errors)}) f
        ASOF LEFT JOIN (SELECT * FROM {notes} WHERE kind = 'blank') n
            ON f.file_id = n.file_id AND f.ordinal > n.ordinal"""


def _describe(files: Sequence[_Prepared]) -> str:
    layout, many = files[0].layout, len(files)
    what = files[0].name if many == 1 else f"{many} files, {files[0].name} to {files[-1].name}"
    delimiter = {"\t": "tab"}.get(layout.delimiter, layout.delimiter)
    copied = sum(file.readable != file.fingerprint.path for file in files)
    note = f"; {copied} read through a copy in plain UTF-8" if copied else ""
    return f"delimited text, {what}: {len(layout.names)} columns, delimiter {delimiter!r}{note}"
