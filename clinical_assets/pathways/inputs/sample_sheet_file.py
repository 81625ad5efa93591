"""A sample sheet, or a table of scores, by the reader that reads every other table: as text, and no record lost.

What belongs here: from a path to a table. What does not: what a sheet must hold (``expression.pairing``), or a table of
scores (``score_table``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.cohorts.sources_spec import CsvDialect
from clinical_assets.foundation.errors import SourceError
from clinical_assets.pathways.expression.gene_names import ExpressionError
from clinical_assets.pathways.expression.pairing import sample_sheet
from clinical_assets.sources.files import Found
from clinical_assets.sources.readers import read_files

if TYPE_CHECKING:
    import polars as pl


def read_sample_sheet(path: str | Path) -> pl.DataFrame:
    """Read a sample sheet (CSV with any separator, TSV, Parquet, JSON lines) and check it with `sample_sheet`.

    Parameters
    ----------
    path : path
        Text may be gzipped. Every value of a text file stays the text that it is: a sample called 1.10 is not 1.1.

    Raises
    ------
    ExpressionError
        The file cannot be read, a line has too many or too few values, or `sample_sheet` refuses it.
    """
    path = Path(path)
    return sample_sheet(read_table(path, what="sample sheet"), where=path.name)


def read_table(path: Path, *, what: str) -> pl.DataFrame:
    """A table as it stands in its file.

    Parameters
    ----------
    path : Path
        As for `read_sample_sheet`.
    what : str
        What the table is called in messages.

    Raises
    ------
    ExpressionError
        The file cannot be read, or a line has too many or too few values.
    """
    import duckdb

    with tempfile.TemporaryDirectory() as work, duckdb.connect() as connection:
        try:
            reading = read_files(
                connection, [Found(path.name, path)], file_format=None, dialect=CsvDialect(), folder=Path(work)
            )
            frame = connection.execute(reading.sql).pl().drop("_row")
        except (SourceError, OSError, duckdb.Error) as error:
            raise ExpressionError(
                f"{what} {path.name} cannot be read: {getattr(error, 'message', error)}",
                cure=getattr(error, "cure", None) or "check the file",
            ) from error
        if reading.rejects_sql is not None:
            rejected = connection.execute(f"SELECT line, reason FROM ({reading.rejects_sql}) ORDER BY line").fetchone()
            if rejected is not None:
                raise ExpressionError(f"{what} {path.name}, line {rejected[0]}: {rejected[1]}", cure="correct the line")
        if reading.records is not None and reading.records != frame.height:
            raise ExpressionError(
                f"{what} {path.name} holds {reading.records} records, {frame.height} were read",
                cure="look for a quote that is not closed",
            )
    return frame
