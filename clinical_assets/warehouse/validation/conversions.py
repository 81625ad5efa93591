"""How one column as found becomes the described type.

What belongs here: one reading per pair of found and described type, as polars expressions. A reading yields null for
whatever it cannot read; telling an unreadable value from an empty one is the work of ``typing_records``.

Readings are strict where a lenient one would guess:

- integers must be whole (``3.0`` is, ``3.5`` is not) and, if written with a decimal mark, below 2**53;
- numbers must be finite; with a decimal comma a point is refused, because it may group thousands;
- dates need a year from 1000 on, so that two-digit years are not taken for antiquity; a time of day behind a date is
  dropped, as the column is described as a date;
- a year of two digits (``format`` with ``%y``) is the one between ``earliest`` and ``latest``; without both, one that
  would lie in the future is not read;
- datetimes need a time of day; one with an offset is turned into the cohort's ``timezone``, or UTC without one; one
  without is taken as it stands. Whether both kinds meet in a cohort is counted by ``clocks``;
- texts lose what nobody sees around them (`BLANKS`), and an empty text is missing; a letter and its accent are one
  character (NFC), whichever way a system wrote them;
- an identifier that a spreadsheet took for a number (``1.23457E+11``, or more than 15 digits in a cell of numbers) has
  lost digits and is not read: others would become the same person; one written as a formula, ``="0012"``, is the text
  inside.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from clinical_assets.cohorts.tables import Column, ColumnType
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.store.sql_text import BLANKS, TEXT_AS_FORMULA

POLARS_TYPES: dict[ColumnType, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}

# From here on not every whole number is a float, so that a neighbour could be read instead.
_EXACT_BELOW = 2.0**53
# Spreadsheets keep 15 digits of a number, and show more than 11 of them like 1.23457E+11.
_DIGITS_KEPT_BELOW = 1e15
_ROUNDED = r"^\d([.,]\d+)?E\+\d{2,}$"
_ALL_TIMES = (dt.datetime.combine(dt.date(1000, 1, 1), dt.time.min), dt.datetime.combine(dt.date.max, dt.time.max))
_EPOCH = dt.datetime.combine(dt.date(1970, 1, 1), dt.time.min)
_FIRST_USUAL = dt.date(1900, 1, 1)
_OFFSET = r"\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_ISO_DATE = "%Y-%m-%d"
_ISO_DATETIME = "%Y-%m-%dT%H:%M:%S%.f"
_ISO_DATE_WITH_TIME = r"^(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)?$"


def described_type(column: Column) -> pl.DataType:
    """The polars type of a validated column."""
    return POLARS_TYPES[column.type]


def is_text(found: pl.DataType) -> bool:
    """True for a column that holds text, whether plain or as codes of a dictionary."""
    return found in (pl.String, pl.Categorical, pl.Enum)


def quick(
    name: str,
    found: pl.DataType,
    column: Column,
    *,
    decimal: str = ".",
    timezone: str | None = None,
    ascii_only: bool = False,
) -> pl.Expr:
    """The reading that fits nearly every value of a sound column, as one expression.

    Parameters
    ----------
    name : str
        Column in the frame as found.
    found : DataType
        Its type.
    column : Column
        Its description.
    decimal : {".", ","}
        Decimal mark of numbers written as text.
    timezone : str, optional
        Zone that times with an offset are turned into; UTC without one.
    ascii_only : bool
        True where no text of the column holds another character: nothing needs to be normalised then.

    Returns
    -------
    Expr of the described type; null where there is nothing or where this reading fails.
    """
    values = pl.col(name)
    if is_text(found):
        text = values if found == pl.String else values.cast(pl.String)
        return _bounded(_text(text, column, decimal, timezone, ascii_only=ascii_only), column)
    if found.is_numeric() and column.format is not None:  # such as 19650917, which a workbook keeps as a number
        digits = _numeric(values, found, column.model_copy(update={"type": "string"}))
        return _bounded(_text(digits, column, decimal, timezone), column)
    if found.is_numeric():
        return _numeric(values, found, column)
    if found == pl.Boolean:
        return values.cast(described_type(column)) if column.type not in ("date", "datetime") else _nothing(column)
    if found == pl.Date:
        if column.type == "string":
            return values.dt.to_string(_ISO_DATE)
        return _bounded(values, column) if column.type == "date" else _nothing(column)
    if found == pl.Datetime:
        return _datetime(values, found, column, timezone)
    return _nothing(column)


def patient(text: pl.Series, column: Column, *, decimal: str = ".", timezone: str | None = None) -> pl.Series:
    """Every reading that is allowed, for texts that the quick one could not read.

    Parameters
    ----------
    text : Series of text
        Without surrounding white space, none empty.
    column : Column
        Type, format, unit and allowed spellings of the values.
    decimal : "." or ","
        Decimal sign of the source.
    timezone : str, optional
        Zone that times with an offset are turned into; UTC without one.

    Returns
    -------
    Series of the described type; null where the value cannot be read.
    """
    value = pl.col("text")
    frame = pl.DataFrame({"text": text})
    readings = [_text(value, column, decimal, timezone)]
    if column.type == "integer":
        number = _finite(_number(value, decimal))
        whole = (number == number.floor()) & (number.abs() < _EXACT_BELOW)
        readings.append(pl.when(whole).then(number).cast(pl.Int64, strict=False))
    elif column.type == "boolean":
        folded = value.str.to_lowercase()
        number = value.cast(pl.Float64, strict=False)
        code = pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False).cast(pl.String))
        readings += [_looked_up(folded, column), _looked_up(code, column)]
    elif column.type == "date" and column.format is None:
        readings.append(value.str.extract(_ISO_DATE_WITH_TIME).str.to_date(_ISO_DATE, strict=False))
    elif column.type == "datetime" and column.format is None:
        readings += _iso_datetimes(value.str.replace(" ", "T", literal=True), timezone)
    return frame.select(_bounded(pl.coalesce(readings), column)).to_series()


def check_format(name: str, column: Column) -> None:
    """Try the format of a column on a date of its own.

    Raises
    ------
    SpecError
        When what it writes cannot be read by it: an unknown code, a date without its day or year, a datetime without
        its time of day.
    """
    if column.format is None:
        return
    day = column.latest or dt.date(2024, 2, 3)
    moment = dt.datetime.combine(day, dt.time(10, 15, 30), dt.UTC)
    written = "nothing"
    try:
        text = pl.Series([moment]).dt.strftime(column.format)
        written = repr(text[0])
        read = patient(text, column)[0]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        read = None
    if isinstance(read, dt.datetime) and read.hour == moment.hour:
        read = read.date()
    if read != day or "%Z" in column.format:  # a zone's name would be passed over without a word
        what = "a date with its time of day" if column.type == "datetime" else "a date"
        raise SpecError(
            f"column {name}: format {column.format!r} cannot be used: by it {day} {moment:%H:%M:%S} is written "
            f"{written}, and that is not read as {what} again.",
            cure="Write it with codes such as %d.%m.%Y, %Y-%m-%d %H:%M:%S or %d.%m.%Y %H:%M %z, which reads +0100, "
            "+01:00, +01, Z and UTC; names of zones cannot be read.",
        )


def _nothing(column: Column) -> pl.Expr:
    return pl.lit(None, dtype=described_type(column))


def _text(text: pl.Expr, column: Column, decimal: str, timezone: str | None, *, ascii_only: bool = False) -> pl.Expr:
    match column.type:
        case "number":
            return _number(text, decimal)
        case "integer":
            return text.cast(pl.Int64, strict=False)
        case "boolean":
            return _looked_up(text, column)
        case "date":
            return _formatted_date(text, column) if column.format else text.str.to_date(_ISO_DATE, strict=False)
        case "datetime":
            if column.format is not None:
                return _formatted_time(text, column, timezone)
            return text.str.replace(" ", "T", literal=True).str.to_datetime(_ISO_DATETIME, strict=False, time_unit="us")
        case _:
            read = text.str.strip_chars(BLANKS)
            read = read if ascii_only else read.str.normalize("NFC")
            if "identifier" not in column.role:
                return read
            read = read.str.replace(TEXT_AS_FORMULA, "${1}")
            return pl.when(~read.str.contains(_ROUNDED)).then(read)


def _formatted_date(text: pl.Expr, column: Column) -> pl.Expr:
    form = str(column.format)
    if form.endswith("%z"):  # the day as it was written, whatever day it was elsewhere
        text, form = text.str.replace(_OFFSET, ""), form.removesuffix("%z").rstrip()
    return _in_century(text.str.to_date(form, strict=False), column)


def _formatted_time(text: pl.Expr, column: Column, timezone: str | None) -> pl.Expr:
    form = str(column.format)
    if "%z" not in form:
        return _in_century(text.str.to_datetime(form, strict=False, time_unit="us", time_zone=None), column)
    aware = _with_whole_offset(text).str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
    return _in_century(_on_clock(aware, timezone), column)


def _in_century(values: pl.Expr, column: Column) -> pl.Expr:
    """A year of two digits as the one within the described limits; without them, null where it lies in the future."""
    if not column.two_digit_years:
        return values
    if column.earliest is None or column.latest is None:
        return pl.when(values.dt.date() <= _last_day()).then(values)
    day = values.dt.date()
    return (
        pl.when(day > column.latest)
        .then(values.dt.offset_by("-100y"))
        .when(day < column.earliest)
        .then(values.dt.offset_by("100y"))
        .otherwise(values)
    )


def _last_day() -> dt.date:
    """Today in the zone where it is latest: what is recorded cannot have happened after it."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(hours=14)).date()


def usual_days(column: Column) -> tuple[dt.date, dt.date] | None:
    """Between which days a date is plausible, both included; None for other columns."""
    if column.type not in ("date", "datetime"):
        return None
    return column.earliest or _FIRST_USUAL, column.latest or _last_day()


def _on_clock(aware: pl.Expr, timezone: str | None) -> pl.Expr:
    return aware.dt.convert_time_zone(timezone or "UTC").dt.replace_time_zone(None)


def _with_whole_offset(text: pl.Expr) -> pl.Expr:
    """``Z``, ``UTC`` and ``+01`` as offsets with minutes, which is what can be read."""
    text = text.str.replace(r"(\d)(\s*)(?:Z|UTC|GMT)$", "${1}${2}+00:00")
    return text.str.replace(r"(:\d{2}(?:[.,]\d+)?\s*[+-]\d{2})$", "${1}:00")


def zoned(text: pl.Series) -> pl.Series:
    """For each text whether it is a time of day with an offset or zone behind it."""
    return text.str.strip_chars(BLANKS).str.contains(r":\d{2}(?:[.,]\d+)?" + _OFFSET)


def _number(text: pl.Expr, decimal: str) -> pl.Expr:
    if decimal == ",":
        text = pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False)


def _finite(number: pl.Expr) -> pl.Expr:
    return pl.when(number.is_finite()).then(number)


def boolean_codes(column: Column) -> dict[str, bool]:
    """Which texts, in lower case, stand for true and for false; those that stand for missing are neither."""
    absent = {str(token).strip().lower() for token in column.missing if not isinstance(token, bool)}
    codes = {text.strip().lower(): False for text in column.false_values}
    codes |= {text.strip().lower(): True for text in column.true_values}
    return {text: value for text, value in codes.items() if text not in absent}


def _looked_up(text: pl.Expr, column: Column) -> pl.Expr:
    codes = boolean_codes(column)
    spelt = {form: value for code, value in codes.items() for form in (code, code.upper(), code.capitalize())}
    return text.replace_strict(list(spelt), list(spelt.values()), default=None, return_dtype=pl.Boolean)


def _numeric(values: pl.Expr, found: pl.DataType, column: Column) -> pl.Expr:
    fraction = found.is_float() or (isinstance(found, pl.Decimal) and found.scale != 0)
    number = values.cast(pl.Float64)
    match column.type:
        case "number":
            return _finite(number)
        case "integer" | "string":
            if fraction:
                exact = (number == number.floor()) & (number.abs() < _EXACT_BELOW)
                whole = pl.when(exact).then(number).cast(pl.Int64, strict=False)
            else:
                whole = values.cast(pl.Int64, strict=False)
            if column.type == "integer":
                return whole
            rest = _finite(number).cast(pl.String) if fraction else values.cast(pl.String)
            read = pl.coalesce(whole.cast(pl.String), rest)
            rounded = fraction and "identifier" in column.role
            return pl.when(number.abs() < _DIGITS_KEPT_BELOW).then(read) if rounded else read
        case "boolean":
            codes = {float(code): value for code, value in boolean_codes(column).items() if code.isdecimal()}
            return number.replace_strict(list(codes), list(codes.values()), default=None, return_dtype=pl.Boolean)
        case _:
            return _nothing(column)


def _datetime(values: pl.Expr, found: pl.DataType, column: Column, timezone: str | None) -> pl.Expr:
    zone = found.time_zone if isinstance(found, pl.Datetime) else None
    # Databases know an infinite time; a calendar that is asked for it stops the process.
    values = finite_times(values.cast(pl.Datetime("us", zone)))
    if zone is not None:
        values = _on_clock(values, timezone)
    match column.type:
        case "datetime":
            return values
        case "date":
            return values.dt.date()
        case "string":
            return values.dt.to_string("iso:strict")
        case _:
            return _nothing(column)


def finite_times(values: pl.Expr) -> pl.Expr:
    """Times in microseconds, with or without a zone; null where no calendar has them."""
    first, last = (int((moment - _EPOCH) / dt.timedelta(microseconds=1)) for moment in _ALL_TIMES)
    return pl.when(values.to_physical().is_between(first, last)).then(values)


def _iso_datetimes(text: pl.Expr, timezone: str | None) -> list[pl.Expr]:
    """Without seconds, and with an offset, with and without seconds."""
    readings = [text.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us")]
    offset = _with_whole_offset(text).str.replace(r"\s+([+-])", "${1}")
    for form in ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"):
        aware = offset.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        readings.append(_on_clock(aware, timezone))
    return readings


def _bounded(values: pl.Expr, column: Column) -> pl.Expr:
    """Null where a number is not finite or a year is out of bounds."""
    if column.type == "number":
        return _finite(values)
    if column.type in ("date", "datetime"):
        # Without a zone, as clinical records write their times.
        return pl.when(values.is_between(*_ALL_TIMES)).then(values)
    return values
