"""How one column as found becomes the described type.

What belongs here: one reading per pair of found and described type, as polars expressions. A reading yields null for
whatever it cannot read; telling an unreadable value from an empty one is the work of ``typing_records``.

Readings are strict where a lenient one would guess:

- integers must be whole (``3.0`` is, ``3.5`` is not) and, if written with a decimal mark, below 2**53;
- numbers must be finite; with a decimal comma a point is refused, because it may group thousands;
- dates need a year from 1000 on, so that two-digit years are not taken for antiquity; a time of day behind a date is
  dropped, as the column is described as a date;
- datetimes need a time of day; one with an offset is turned into UTC, one without is taken as it stands;
- texts lose surrounding white space, and an empty text is missing.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from clinical_assets.cohorts.tables import Column, ColumnType

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
_FIRST_YEAR, _LAST_YEAR = 1000, 9999
_ISO_DATE = "%Y-%m-%d"
_ISO_DATETIME = "%Y-%m-%dT%H:%M:%S%.f"
_ISO_DATE_WITH_TIME = r"^(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?$"


def described_type(column: Column) -> pl.DataType:
    """The polars type of a validated column."""
    return POLARS_TYPES[column.type]


def is_text(found: pl.DataType) -> bool:
    """True for a column that holds text, whether plain or as codes of a dictionary."""
    return found in (pl.String, pl.Categorical, pl.Enum)


def quick(name: str, found: pl.DataType, column: Column, *, decimal: str = ".") -> pl.Expr:
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

    Returns
    -------
    Expr of the described type; null where there is nothing or where this reading fails.
    """
    values = pl.col(name)
    if is_text(found):
        text = values if found == pl.String else values.cast(pl.String)
        return _bounded(_text(text, column, decimal), column)
    if found.is_numeric():
        return _numeric(values, found, column)
    if found == pl.Boolean:
        return values.cast(described_type(column)) if column.type not in ("date", "datetime") else _nothing(column)
    if found == pl.Date:
        if column.type == "string":
            return values.dt.to_string(_ISO_DATE)
        return _bounded(values, column) if column.type == "date" else _nothing(column)
    if found == pl.Datetime:
        return _datetime(values, found, column)
    return _nothing(column)


def patient(text: pl.Series, column: Column, *, decimal: str = ".") -> pl.Series:
    """Every reading that is allowed, for texts that the quick one could not read.

    Parameters
    ----------
    text : Series of text
        Without surrounding white space, none empty.

    Returns
    -------
    Series of the described type; null where the value cannot be read.
    """
    value = pl.col("text")
    frame = pl.DataFrame({"text": text})
    readings = [_text(value, column, decimal)]
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
        readings += _iso_datetimes(value.str.replace(" ", "T", literal=True))
    return frame.select(_bounded(pl.coalesce(readings), column)).to_series()


def _nothing(column: Column) -> pl.Expr:
    return pl.lit(None, dtype=described_type(column))


def _text(text: pl.Expr, column: Column, decimal: str) -> pl.Expr:
    match column.type:
        case "number":
            return _number(text, decimal)
        case "integer":
            return text.cast(pl.Int64, strict=False)
        case "boolean":
            return _looked_up(text, column)
        case "date":
            return text.str.to_date(column.format or _ISO_DATE, strict=False)
        case "datetime":
            if column.format is not None:
                return text.str.to_datetime(column.format, strict=False, time_unit="us", time_zone=None)
            return text.str.replace(" ", "T", literal=True).str.to_datetime(_ISO_DATETIME, strict=False, time_unit="us")
        case _:
            return text.str.strip_chars()


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
            return pl.coalesce(whole.cast(pl.String), rest)
        case "boolean":
            codes = {float(code): value for code, value in boolean_codes(column).items() if code.isdecimal()}
            return number.replace_strict(list(codes), list(codes.values()), default=None, return_dtype=pl.Boolean)
        case _:
            return _nothing(column)


def _datetime(values: pl.Expr, found: pl.DataType, column: Column) -> pl.Expr:
    if isinstance(found, pl.Datetime) and found.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    values = values.cast(pl.Datetime("us"))
    match column.type:
        case "datetime":
            return _bounded(values, column)
        case "date":
            return _bounded(values.dt.date(), column)
        case "string":
            return values.dt.to_string("iso:strict")
        case _:
            return _nothing(column)


def _iso_datetimes(text: pl.Expr) -> list[pl.Expr]:
    """Without seconds, and with an offset, with and without seconds."""
    readings = [text.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us")]
    offset = text.str.replace(r"Z$", "+00:00")
    for form in ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z"):
        aware = offset.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        readings.append(aware.dt.replace_time_zone(None))
    return readings


def _bounded(values: pl.Expr, column: Column) -> pl.Expr:
    """Null where a number is not finite or a year is out of bounds."""
    if column.type == "number":
        return _finite(values)
    if column.type == "date":
        first, last = dt.date(_FIRST_YEAR, 1, 1), dt.date(_LAST_YEAR, 12, 31)
        return pl.when(values.is_between(first, last)).then(values)
    if column.type == "datetime":
        start, end = dt.datetime(_FIRST_YEAR, 1, 1), dt.datetime(_LAST_YEAR, 12, 31, 23, 59, 59, 999_999)
        return pl.when(values.is_between(start, end)).then(values)
    return values
