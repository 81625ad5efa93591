"""The door of the room: a table's source, whatever its kind, as one SELECT that DuckDB can stream.

What belongs here: the contract and the choice of the reader. What does not: how any one kind is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from clinical_assets.cohorts.sources_spec import (
    FileSource,
    PackagedSource,
    RPackageSource,
    SqlSource,
    SyntheticSource,
    UrlSource,
)
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import Found, SourceFile, engine_message, find_files, places, workspace
from clinical_assets.sources.outside.databases import read_database
from clinical_assets.sources.outside.remote import fetch
from clinical_assets.sources.packaged import find_packaged
from clinical_assets.sources.r_packages.r_source import archive_of, read_r_package
from clinical_assets.sources.readers import read_files
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.synthetic.registry import read_synthetic

__all__ = ["OpenedSource", "SourceFile", "open_source"]


@dataclass(frozen=True)
class OpenedSource:
    """A source ready to be read, valid inside ``open_source``.

    Attributes
    ----------
    sql : str
        SELECT with ``_row`` (BIGINT, from 1, in the source's order) and every column under the source's own name:
        VARCHAR from delimited text, typed as found otherwise. From delimited text ``_row`` counts the records that
        could be read; ``store`` corrects it for the rejected ones before each.
    files : tuple of SourceFile
        What is read; empty for databases and generators.
    rejects_sql : str or None
        After ``sql`` or ``store`` was read to its end: ``line`` (BIGINT, physical line in its file), ``reason``,
        ``text`` (at most 10,000 characters) of what could not be parsed, one row per record.
    description : str
        For people, without paths, addresses or credentials.
    records : int or None
        Records in the source, counted without the parser: rows read and rejects together must be as many.
    """

    sql: str
    files: tuple[SourceFile, ...]
    rejects_sql: str | None
    description: str
    records: int | None = None
    _reading: Reading = field(repr=False, default=Reading("", ""))

    def verify_unchanged(self) -> None:
        """Check after reading that no file changed meanwhile.

        Raises
        ------
        SourceError
            Naming the file.
        """
        for mark in self._reading.fingerprints:
            mark.verify()

    def verify_complete(self, rows: int, rejects: int) -> None:
        """Check after reading that every record was either read or rejected.

        Raises
        ------
        SourceError
            With the number of records that are missing, and where malformed quotes begin if there are any.
        """
        if self.records is None or rows + rejects == self.records:
            return
        suspect = self._reading.suspect
        where = f" Malformed quotes begin at {suspect}." if suspect else ""
        raise SourceError(
            f"{self.description}: it holds {self.records} records, but {rows} were read and {rejects} rejected.{where}",
            cure='Correct the quotes there, or set `quote: ""` if quotes are ordinary text in this file.'
            if suspect
            else "Check delimiter and quote in the description; the file may also have changed while it was read.",
        )

    def store(self, connection: duckdb.DuckDBPyConnection, relation: str, *, temporary: bool = False) -> int:
        """Write the source into table ``relation``, replacing it, and prove that nothing was lost or changed.

        The fast way in: delimited text is parsed on all threads and numbered by the table's own row ids, which a
        window function in SQL cannot do. ``_row`` is the record's number in the source, with rejected ones counted.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection
            The connection that the source was opened on, inside a transaction or not.
        relation : str
            Name of the table, quoted where it must be, such as ``raw.subjects``.
        temporary : bool
            Whether it ends with the connection; its name then begins with ``temp.``.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        SourceError
            When records are missing or a file changed; the table is then not to be kept.
        """
        reading = self._reading
        try:
            made = "TEMP TABLE" if temporary else "TABLE"
            connection.execute(f"CREATE OR REPLACE {made} {relation} AS {reading.unnumbered_sql or self.sql}")
        except duckdb.Error as error:
            self.verify_unchanged()  # a file that was cut off meanwhile explains more than what DuckDB met
            if not isinstance(error, (duckdb.InvalidInputException, duckdb.ConversionException)):
                raise
            paths = [(mark.path, mark.file.name) for mark in reading.fingerprints]
            raise SourceError(
                f"{self.description}: reading stopped: {engine_message(error, paths)}",
                cure="Check delimiter, quote and encoding in the description, and the file for damage.",
            ) from None
        rows = _count(connection, relation)
        rejects = _count(connection, f"({self.rejects_sql})") if self.rejects_sql else 0
        if reading.unnumbered_sql and rows:
            # Row ids of rows that are not committed yet start high; their order is the insertion's.
            first = f"(SELECT min(rowid) FROM {relation})"
            connection.execute(f"UPDATE {relation} SET _row = rowid - {first} + 1")
        if rejects and reading.rejected_records_sql:
            _count_rejected(connection, relation, reading.rejected_records_sql)
        self.verify_complete(rows, rejects)
        self.verify_unchanged()
        return rows


@contextmanager
def open_source(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    *,
    table_name: str,
    settings: Settings,
    folder: Path | None,
) -> Iterator[OpenedSource]:
    """Open the source of one table of a cohort.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        The statements will run here. Its ``preserve_insertion_order`` must be on, as it is by default.
    table : Table
        The table's description.
    table_name : str
        Its name, for messages.
    settings : Settings
        Where temporary files and downloads lie, and whether downloads are allowed.
    folder : Path or None
        Folder of the cohort's description, where relative paths begin.

    Yields
    ------
    OpenedSource
        Valid until the block ends; temporary files and tables vanish with it.

    Raises
    ------
    SourceError
        When the source cannot be found, fetched, read or trusted; the message names the table.
    """
    order = connection.execute("SELECT current_setting('preserve_insertion_order')").fetchone()
    if order is None or not order[0]:
        raise SourceError(
            f"Table {table_name!r}: records cannot be numbered, because DuckDB was told not to keep their order.",
            cure="Use a connection with preserve_insertion_order = true.",
        )
    with workspace(settings) as work:
        try:
            reading = _read(connection, table, settings=settings, folder=folder, work=work)
        except SourceError as error:
            raise SourceError(f"Table {table_name!r}: {error.message}", cure=error.cure) from error
        try:
            yield OpenedSource(
                sql=reading.sql,
                files=tuple(mark.file for mark in reading.fingerprints),
                rejects_sql=reading.rejects_sql,
                description=reading.description,
                records=reading.records,
                _reading=reading,
            )
        except BaseException:
            # An aborted transaction refuses every statement, and takes the temporary tables with it.
            with contextlib.suppress(duckdb.Error):
                _remove(connection, reading)
            raise
        _remove(connection, reading)


def _read(
    connection: duckdb.DuckDBPyConnection, table: Table, *, settings: Settings, folder: Path | None, work: Path
) -> Reading:
    source = table.source
    found: tuple[Found, ...]
    match source:
        case FileSource():
            found = find_files(source.path, **places(settings, folder))
        case PackagedSource():
            found = (find_packaged(source.package, source.file, extra=source.extra),)
        case RPackageSource():
            archive = archive_of(source, settings=settings, folder=folder)
            return read_r_package(connection, source, archive, folder=work)
        case UrlSource():
            found = (fetch(source.url, source.sha256, settings=settings),)
        case SqlSource():
            return read_database(connection, source, folder=work, settings=settings)
        case SyntheticSource():
            return read_synthetic(connection, source, folder=work)
    return read_files(
        connection,
        found,
        file_format=source.format,
        dialect=source.csv,
        folder=work,
        excel=source.excel,
        unnest=source.unnest,
        phenopackets=source.phenopackets,
    )


def _remove(connection: duckdb.DuckDBPyConnection, reading: Reading) -> None:
    for statement in reading.temporary:
        connection.execute(statement)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(row[0]) if row else 0


def _count_rejected(connection: duckdb.DuckDBPyConnection, relation: str, rejected_records_sql: str) -> None:
    """Let ``_row`` count rejected records too: the n-th of them, number r, lies before every row from r - n + 1 on."""
    connection.execute(f"""
        UPDATE {relation} AS stored SET _row = _row + shift.rejected FROM (
            SELECT numbered._row AS row_before, passed.rejected
            FROM {relation} AS numbered ASOF JOIN (
                SELECT record - n + 1 AS first_row, max(n) AS rejected
                FROM (SELECT record, row_number() OVER (ORDER BY record) AS n FROM ({rejected_records_sql}))
                GROUP BY first_row
            ) AS passed ON numbered._row >= passed.first_row
        ) AS shift WHERE stored._row = shift.row_before""")
