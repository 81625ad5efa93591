"""Files that another library reads: Excel and OpenDocument sheets, SAS, SPSS and Stata data sets.

What belongs here: from such a file to a Parquet copy in the working folder, which is then read like any other, with the
fingerprint of the file itself. What does not: what the values mean; labels of codes belong into ``categories``.

What the formats say themselves is kept: dates, numbers, truth values. A cell whose formula failed is text, ``#N/A`` as
a sheet shows it, and so is its column then. Rows without any value are no records of a sheet; what a data set marks as
missing (user-defined codes of SPSS, ``.a`` of Stata and SAS) is missing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from clinical_assets.cohorts.sources_spec import ExcelSheet, FileFormat
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.dialect import check_columns
from clinical_assets.sources.files import Found, fingerprint
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.typed.columnar import read_parquet

if TYPE_CHECKING:
    import polars as pl

_READERS: dict[FileFormat, str] = {
    "xport": "read_xport",
    "sas7bdat": "read_sas7bdat",
    "spss": "read_sav",
    "stata": "read_dta",
}
_MOST_TITLE_ROWS = 20
_FAILED = re.compile(r"'Error\((\w+)\)'")
_FAILURES = {
    "NA": "#N/A",
    "Div0": "#DIV/0!",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Value": "#VALUE!",
}


def read_workbooks(
    connection: duckdb.DuckDBPyConnection, found: Sequence[Found], *, sheet: ExcelSheet, folder: Path
) -> Reading:
    """Make one sheet of each workbook ready to be read.

    Raises
    ------
    SourceError
        When a workbook cannot be opened, the sheet is not there or not said, or its header does not name columns.
    """
    return through_copies(connection, found, folder, lambda one: _sheet(one, sheet))


def read_statistical(
    connection: duckdb.DuckDBPyConnection, found: Sequence[Found], *, file_format: FileFormat, folder: Path
) -> Reading:
    """Make data sets of SAS, SPSS or Stata ready to be read: codes, not their labels.

    Raises
    ------
    SourceError
        When a file is damaged or of another format.
    """
    return through_copies(connection, found, folder, lambda one: _data_set(one, file_format))


def through_copies(
    connection: duckdb.DuckDBPyConnection,
    found: Sequence[Found],
    folder: Path,
    read: Callable[[Found], pl.DataFrame],
) -> Reading:
    """Make files ready to be read through Parquet copies in `folder` of the frames that `read` gives."""
    marks, copies = [], []
    for number, one in enumerate(found):
        marks.append(fingerprint(one))
        frame = read(one)
        check_columns(one.name, frame.columns)
        copies.append(Found(one.name, folder / f"converted_{number}.parquet"))
        frame.write_parquet(copies[-1].path)
    reading = read_parquet(connection, copies)
    what = found[0].name if len(found) == 1 else f"{len(found)} files, {found[0].name} to {found[-1].name}"
    return replace(reading, fingerprints=tuple(marks), description=f"{what}, read through a copy as Parquet")


def _sheet(one: Found, chosen: ExcelSheet) -> pl.DataFrame:
    import polars as pl

    fastexcel = _library("fastexcel", one.name)
    try:
        book = fastexcel.read_excel(str(one.path))
    except fastexcel.FastExcelError as error:
        raise SourceError(
            f"{one.name} cannot be opened as a workbook: {str(error).splitlines()[0]}.",
            cure="Save it again as .xlsx without a password; if it is text, set `format: csv`.",
        ) from None
    name = chosen.sheet
    if name is None:
        if len(book.sheet_names) != 1:
            raise SourceError(
                f"{one.name} has {len(book.sheet_names)} sheets: {', '.join(book.sheet_names)}.",
                cure=f"Say which with `excel: {{sheet: {book.sheet_names[0]}}}` in the source.",
            )
        name = book.sheet_names[0]
    if name not in book.sheet_names:
        raise SourceError(
            f"{one.name} has no sheet {name!r}; it has {', '.join(book.sheet_names)}.", cure="Correct `sheet`."
        )
    try:
        top = book.load_sheet(name, header_row=None, dtypes="string", skip_rows=0, n_rows=_MOST_TITLE_ROWS).to_polars()
    except fastexcel.FastExcelError as error:
        raise SourceError(
            f"{one.name}, sheet {name!r}, cannot be read: {str(error).splitlines()[0]}.",
            cure="Correct the cell that it names, or save the sheet as CSV.",
        ) from None
    if top.height < chosen.header_row:
        raise SourceError(f"{one.name}, sheet {name!r}: it has no row {chosen.header_row}.", cure="Correct the sheet.")
    header = [(text or "").strip() for text in top.row(chosen.header_row - 1)]
    _refuse_sheet_title(f"{one.name}, sheet {name!r}", header, top, chosen.header_row)
    loaded = book.load_sheet(name, header_row=chosen.header_row - 1, schema_sample_rows=None, whitespace_as_null=True)
    frame = _with_error_texts(f"{one.name}, sheet {name!r}", *loaded.to_arrow_with_errors())
    names = [unicodedata.normalize("NFC", text) or f"column_{place}" for place, text in enumerate(header, start=1)]
    # A column that has neither name nor value was only formatted.
    used = [place for place, text in enumerate(header) if text or frame[:, place].count()]
    check_columns(f"{one.name}, sheet {name!r}", [names[place] for place in used])
    frame = pl.DataFrame([frame[:, place].alias(names[place]) for place in used])
    return frame.filter(pl.any_horizontal(pl.all().is_not_null()))


def _with_error_texts(where: str, cells: Any, errors: Any) -> pl.DataFrame:
    """The cells, with the text that a sheet shows where a formula failed: the description says what it stands for."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(cells))
    failed: dict[int, dict[int, str]] = {}
    for error in errors.errors if errors is not None else ():
        found = _FAILED.search(error.detail)
        if found is None:
            raise SourceError(
                f"{where}: the cell in row {error.position[0] + 1}, column {error.position[1] + 1} cannot be read.",
                cure="Correct the cell, or save the sheet as CSV.",
            )
        row, place = error.offset_position
        failed.setdefault(place, {})[row] = _FAILURES[found[1]]
    return frame.with_columns(
        frame[:, place].cast(pl.String).scatter(list(texts), list(texts.values())) for place, texts in failed.items()
    )


def _refuse_sheet_title(where: str, header: Sequence[str], top: pl.DataFrame, row: int) -> None:
    if sum(map(bool, header)) > 1 or top.width == 1:
        return
    filled = [sum(bool((text or "").strip()) for text in line) for line in top.rows()]
    widest = max(filled)
    if widest > 1:
        raise SourceError(
            f"{where}: row {row} names {sum(map(bool, header))} of {top.width} columns; the header seems to stand in "
            f"row {filled.index(widest) + 1}.",
            cure=f"Set `excel: {{header_row: {filled.index(widest) + 1}}}` in the source.",
        )


def _data_set(one: Found, file_format: FileFormat) -> pl.DataFrame:
    pyreadstat = _library("pyreadstat", one.name)
    try:
        frame, _ = getattr(pyreadstat, _READERS[file_format])(str(one.path), output_format="polars")
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(
            f"{one.name} cannot be read as {file_format}: {str(error).splitlines()[0]}.",
            cure="Copy or export it again, or set the `format` that it is of.",
        ) from None
    columns = {name: unicodedata.normalize("NFC", name) for name in frame.columns}
    read: pl.DataFrame = frame.rename(columns)
    return read


def _library(name: str, file: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SourceError(
            f"{file} needs the package {name}, which is not installed.",
            cure='pip install "clinical-assets[office]"',
        ) from error
