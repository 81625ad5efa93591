"""From records as found to the types that the description promises, without losing a value unseen.

What belongs here: telling an empty cell from a value that stands for missing and from one that cannot be read. How a
readable value is read is in ``conversions``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import BLANKS
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.conversions import (
    boolean_codes,
    described_type,
    is_text,
    patient,
    quick,
    zoned,
)

_NO_POSITIONS = pl.Series("position", [], dtype=pl.UInt32)


@dataclass(frozen=True)
class Clocks:
    """How the times of a column were written, in numbers of values.

    Attributes
    ----------
    zoned, bare : int
        Times of day with an offset or zone, and without.
    undated : int
        Moments with a zone in a column of dates: the day depends on where one asks.
    """

    zoned: int = 0
    bare: int = 0
    undated: int = 0

    def __add__(self, other: Clocks) -> Clocks:
        return Clocks(self.zoned + other.zoned, self.bare + other.bare, self.undated + other.undated)


@dataclass(frozen=True)
class Typed:
    """Records in the described types.

    Attributes
    ----------
    frame : DataFrame
        Row number and the described columns, one row per record found, in the same order.
    findings : tuple of DataFrame
        Values that could not be read (rule ``type``); they are null in ``frame``.
    unreadable : dict
        Per column with such values their positions in ``frame``.
    missing_made : dict
        Per column how many values stood for "not measured" and became null. Empty cells are not counted.
    clocks : dict
        Per column of times how they were written.
    """

    frame: pl.DataFrame
    findings: tuple[pl.DataFrame, ...]
    unreadable: dict[str, pl.Series]
    missing_made: dict[str, int]
    clocks: dict[str, Clocks]


def source_columns(table: Table) -> dict[str, str]:
    """Described name of each column and its name in the source."""
    return {name: column.source_name or name for name, column in table.columns.items()}


def type_records(frame: pl.DataFrame, table: Table, *, table_name: str, timezone: str | None = None) -> Typed:
    """Read every value as the type that its column is described with.

    Parameters
    ----------
    frame : DataFrame
        Records as found, with the source's column names; ``_row`` holds the record number.
    table : Table
        Description of the columns.
    table_name : str
        Name for the findings.
    timezone : str, optional
        Zone that times with an offset are turned into; UTC without one.

    Examples
    --------
    A column ``chol`` of text ``["233", " 0", "", "high"]``, described as a number with ``missing: [0]``, becomes
    ``[233.0, null, null, null]`` with one value made missing and one finding, for ``high``.
    """
    csv = getattr(table.source, "csv", None)
    decimal = csv.decimal if csv is not None else "."
    sources = source_columns(table)
    types = dict(frame.schema)  # a frame makes its schema anew each time it is asked
    read = frame.select(
        pl.col(ROW_NUMBER).cast(pl.Int64),
        *[
            quick(
                sources[name],
                types[sources[name]],
                column,
                decimal=decimal,
                timezone=timezone,
                ascii_only=column.type == "string" and _ascii_only(frame[sources[name]]),
            ).alias(name)
            for name, column in table.columns.items()
        ],
    )
    columns, blocks = {ROW_NUMBER: read[ROW_NUMBER]}, []
    unreadable: dict[str, pl.Series] = {}
    missing_made: dict[str, int] = {}
    clocks: dict[str, Clocks] = {}
    for name, column in table.columns.items():
        found = frame[sources[name]]
        values, positions, made = _settle(found, read[name], column, decimal=decimal, timezone=timezone)
        columns[name] = values.alias(name)
        if column.type in ("date", "datetime"):
            clocks[name] = _clocks(found, values, column)
        if made:
            missing_made[name] = made
        if positions.len():
            unreadable[name] = positions
            blocks.append(_unread(found, positions, read[ROW_NUMBER], name, column, table_name))
    return Typed(
        frame=pl.DataFrame(columns),
        findings=tuple(blocks),
        unreadable=unreadable,
        missing_made=missing_made,
        clocks=clocks,
    )


def _ascii_only(found: pl.Series) -> bool:
    return found.dtype == pl.String and found.str.len_bytes().sum() == found.str.len_chars().sum()


def _clocks(found: pl.Series, values: pl.Series, column: Column) -> Clocks:
    there = values.is_not_null()
    number = int(there.sum())
    if isinstance(found.dtype, pl.Datetime):
        if column.type == "datetime":
            return Clocks(bare=number) if found.dtype.time_zone is None else Clocks(zoned=number)
        if found.dtype.time_zone is None:
            return Clocks()
        return Clocks(undated=int((found.filter(there).dt.convert_time_zone("UTC").dt.time() != dt.time.min).sum()))
    if column.type == "date" or not is_text(found.dtype):
        return Clocks()
    if column.format is not None:
        return Clocks(zoned=number) if "%z" in column.format else Clocks(bare=number)
    offsets = int(zoned(found.filter(there).cast(pl.String)).sum())
    return Clocks(zoned=offsets, bare=number - offsets)


def _settle(
    found: pl.Series, values: pl.Series, column: Column, *, decimal: str, timezone: str | None
) -> tuple[pl.Series, pl.Series, int]:
    """The final values of a column, the positions of unreadable ones, and how many were made missing."""
    made = 0
    positions = _NO_POSITIONS
    if values.null_count() > found.null_count():
        open_positions = (values.is_null() & found.is_not_null()).arg_true()
        rest = found.gather(open_positions)
        if is_text(found.dtype):
            text = rest.cast(pl.String)
            values, unread, made = _retry(text, open_positions, values, column, decimal=decimal, timezone=timezone)
        else:
            absent = _absent_numbers(rest, column)
            unread = ~absent
            made = int(absent.sum())
        positions = open_positions.filter(unread)
    values, more = _without_absent(values, column, decimal=decimal)
    return values, positions, made + more


def _absent_numbers(rest: pl.Series, column: Column) -> pl.Series:
    """Which unread values of a column that does not hold text stand for missing.

    NaN always does: columns of floats have no other mark for a missing value. A time without end does where
    ``infinity`` is listed.
    """
    if rest.dtype == pl.Datetime:
        return pl.repeat("infinity" in _tokens(column), rest.len(), dtype=pl.Boolean, eager=True)
    if not rest.dtype.is_numeric():
        return pl.repeat(False, rest.len(), dtype=pl.Boolean, eager=True)
    numbers = rest.cast(pl.Float64)
    return numbers.is_nan() | numbers.is_in(_numbers(column))


def _retry(
    text: pl.Series, positions: pl.Series, values: pl.Series, column: Column, *, decimal: str, timezone: str | None
) -> tuple[pl.Series, pl.Series, int]:
    """Read texts that the quick reading left out; says for each whether it stays unreadable."""
    text = text.str.strip_chars(BLANKS)
    absent = text.is_in(_tokens(column))
    tried = (text != "") & ~absent
    again = patient(text.filter(tried), column, decimal=decimal, timezone=timezone)
    unread = pl.repeat(False, text.len(), eager=True).scatter(tried.arg_true(), again.is_null())
    solved = again.is_not_null()
    if solved.any():
        values = values.clone().scatter(positions.filter(tried).filter(solved), again.filter(solved))
    return values, unread, int(absent.sum())


def _without_absent(values: pl.Series, column: Column, *, decimal: str) -> tuple[pl.Series, int]:
    """Null for readable values that stand for missing (0 for cholesterol), and for empty texts."""
    made = 0
    if column.missing:
        absent = values.is_in(_typed_tokens(column, decimal=decimal).implode()).fill_null(False)
        made = int(absent.sum())
        if made:
            values = _blanked(values, absent)
    if column.type == "string":
        empty = (values == "").fill_null(False)
        if empty.any():
            values = _blanked(values, empty)
    return values, made


def _blanked(values: pl.Series, where: pl.Series) -> pl.Series:
    return pl.select(pl.when(~where).then(values)).to_series()


def _tokens(column: Column) -> list[str]:
    """The texts that stand for missing."""
    return [str(token).strip() for token in column.missing]


def _numbers(column: Column) -> list[float]:
    """The values that stand for missing and are written as numbers in the description."""
    return [float(token) for token in column.missing if isinstance(token, int | float) and not isinstance(token, bool)]


def missing_values(column: Column) -> list[object]:
    """The values of the column's own type that stand for missing."""
    return list(_typed_tokens(column, decimal=".").to_list())


def _typed_tokens(column: Column, *, decimal: str) -> pl.Series:
    """The values that stand for missing, of the column's own type; those that are none are left out."""
    dtype = described_type(column)
    if column.type in ("integer", "number"):
        given = [number for number in _numbers(column) if column.type == "number" or number.is_integer()]
        texts = [str(token).strip() for token in column.missing if isinstance(token, str)]
    else:
        given, texts = [], _tokens(column)
    if column.type == "boolean":
        return pl.Series([], dtype=dtype)
    read = patient(pl.Series(texts, dtype=pl.String), column, decimal=decimal).drop_nulls()
    return pl.concat([read, pl.Series(given, dtype=pl.Float64).cast(dtype)]) if given else read


def _unread(
    found: pl.Series, positions: pl.Series, rows: pl.Series, name: str, column: Column, table_name: str
) -> pl.DataFrame:
    texts = kinds.as_text(found.gather(positions)).str.strip_chars(BLANKS)
    return kinds.block(
        table_name=table_name,
        rows=rows.gather(positions),
        column=name,
        rule=kinds.TYPE,
        values=texts,
        reason=_reason(column),
        cure=_cures(texts, column),
    )


def _reason(column: Column) -> str:
    match column.type:
        case "integer":
            return "not a whole number"
        case "number":
            return "not a finite number"
        case "boolean":
            codes = boolean_codes(column)
            true, false = ([code for code, value in codes.items() if value is kind] for kind in (True, False))
            return f"neither true ({', '.join(true)}) nor false ({', '.join(false)})"
        case "date":
            future = ", or one in the future" if column.two_digit_years and column.earliest is None else ""
            form = column.format or "YYYY-MM-DD"
            return f"not a date as {form}{future}" if column.format else f"not a calendar date as {form}"
        case "datetime":
            form = column.format or "YYYY-MM-DDTHH:MM[:SS]"
            return f"not a date with time of day as {form}"
        case _ if "identifier" in column.role:
            return "an identifier that was kept as a number and has lost digits"
        case _:
            return "not a text"


def _cures(texts: pl.Series, column: Column) -> pl.Series:
    """A cure that fits how the unreadable value looks."""
    text = pl.col("text")
    general = "Correct the value at the source; if it stands for not measured, list it under `missing`."
    looks: list[tuple[str, str]] = []
    if column.type in ("integer", "number"):
        looks = [
            (
                r"^[-+]?\d{1,3},\d{3}$",
                "If the comma parts thousands, write numbers without it at the source; only if it is a decimal mark, "
                "set `csv: {decimal: ','}` for the table's source.",
            ),
            (r"^[-+]?\d+,\d+$", "If the comma is a decimal mark, set `csv: {decimal: ','}` for the table's source."),
            (
                "^[-+]?\\d{1,3}([.,'\u2019 \u00a0\u2009\u202f]\\d{3})+([.,]\\d+)?$",
                "Write numbers without marks between thousands, also without spaces that do not break.",
            ),
            (r"^(<|>|≤|≥|<=|>=)", "Put the detection limit and its sign into columns of their own at the source."),
            (r"(?i)^[-+]?(nan|inf|infinity)$", "If it stands for not measured, list it under `missing`."),
            (r"^[-+]?\d[\d.]*\s*[^\d\s.,]+.*$", "Put the unit into the column's description, not into its values."),
        ]
        if column.type == "integer":
            looks.insert(0, (r"^[-+]?\d*\.\d+$", "Describe the column as a number, or correct the value."))
            parted = (
                "If the point parts thousands, write numbers without it at the source; only if it is a decimal mark, "
            )
            looks.insert(0, (r"^[-+]?\d{1,3}\.\d{3}$", f"{parted}describe the column as a number."))
    elif column.type in ("date", "datetime"):
        looks = [
            ("^infinity$", "No calendar has this time. If it stands for an open end, list infinity under `missing`.")
        ]
        if column.two_digit_years:
            general = (
                "Write four digits of the year at the source, or say which century is meant with `earliest` and "
                "`latest`, less than a hundred years apart; or correct the date, if there is no such day."
            )
    if column.type in ("date", "datetime") and column.format is None:
        looks += [
            (
                r"^[1-5]\d{4}(\.\d+)?$",
                "It looks like a spreadsheet's day number: give the cells a date format there, and save it again.",
            ),
            (r"^(19|20)\d{6}$", "Give the column's `format`, such as %Y%m%d, or correct the value."),
            (r"^(19|20)\d{10}$", "Give the column's `format`, such as %Y%m%d%H%M, or correct the value."),
            (r"^(19|20)\d{12}$", "Give the column's `format`, such as %Y%m%d%H%M%S, or correct the value."),
            (r"^(19|20)\d{12}[-+]\d{4}$", "Give the column's `format`, such as %Y%m%d%H%M%S%z, or correct the value."),
            (r"^\d{4}(-\d{2})?$", "The date is partial: complete it, or describe the column as a string."),
            (r"^\d{4}-\d{2}-\d{2}$", "No such day, or no time of day: correct it, or describe the column as a date."),
            (r"^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", "Give the column's `format`, such as %d.%m.%Y or %m/%d/%Y."),
            (r"^\d{1,2}[A-Za-z]{3}\d{2,4}", "Give the column's `format`, such as %d%b%Y."),
        ]
    elif column.type == "string" and "identifier" in column.role:
        general = "Export it again as text; in a spreadsheet, make the column text before the file is opened."
    elif column.type == "boolean":
        general = "Correct the value, or add it to `true_values`, `false_values` or `missing` in the description."
    choice = pl.lit(general)
    for look, cure in reversed(looks):
        choice = pl.when(text.str.contains(look)).then(pl.lit(cure)).otherwise(choice)
    return pl.DataFrame({"text": texts}).with_columns(choice.alias("cure"))["cure"]
