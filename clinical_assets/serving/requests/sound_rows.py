"""Rows that keep every promise as they stand, found value by value without a frame: nearly all rows of an application.

What belongs here: being sure. What does not: saying what is wrong. A row of which anything is in doubt is none of them;
it goes to the validation that batches go through (``record_checks``), which finds what is wrong, or that nothing is. So
this may be stricter than the promises, never laxer; a test holds both together.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import polars as pl

from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.warehouse.validation.conversions import described_type
from clinical_assets.warehouse.validation.row_rules import rule_expression
from clinical_assets.warehouse.validation.typing_records import missing_values

Row = tuple[Any, ...]
_IsSound = Callable[[Any], bool]
#: Below, letters have no combining marks: however a text is composed, it is the same text.
_COMPOSED = "\u0300"
_EXACT = 2**53
_FIRST_DAY = dt.date(1000, 1, 1)


class SoundRows:
    """Finds the sound rows of one table; made once, asked for every request.

    Parameters
    ----------
    table : Table
        Description.
    subject : str
        Column of the subject, which must be filled.
    """

    def __init__(self, table: Table, *, subject: str) -> None:
        needed = {*table.key, subject, *([table.recorded] if table.recorded else [])}
        self.columns = tuple(table.columns)
        self._checks = [
            (name, column.type, _sound_values(column), column.nullable and name not in needed)
            for name, column in table.columns.items()
        ]
        self._corrected = [
            [(name, _typed(value, table.columns[name])) for name, value in correction.where.items()]
            for correction in table.corrections
        ]
        self._types = {name: described_type(column) for name, column in table.columns.items()}
        self._expressions = [
            *(rule_expression(rule, table).alias(f"rule {number}") for number, rule in enumerate(table.rules)),
            *(
                pl.col(name).str.contains(f"^(?:{column.pattern})$").alias(f"pattern of {name}")
                for name, column in table.columns.items()
                if column.pattern is not None
            ),
        ]

    def typed(self, rows: Sequence[Mapping[str, Any]]) -> list[Row | None]:
        """Each row as validation would leave it, in the order of the columns; None where anything is in doubt."""
        found = [self._one(row) for row in rows]
        sound = [number for number, row in enumerate(found) if row is not None]
        if self._expressions and sound:
            frame = pl.DataFrame([found[number] for number in sound], schema=self._types, orient="row")
            # Unknown passes, as in validation.
            kept = frame.select(pl.all_horizontal(each.fill_null(True) for each in self._expressions)).to_series()
            for number, is_kept in zip(sound, kept.to_list(), strict=True):
                if not is_kept:
                    found[number] = None
        return found

    def _one(self, row: Mapping[str, Any]) -> Row | None:
        values = []
        for name, kind, is_sound, nullable in self._checks:
            value = row.get(name)
            if value is None:
                if not nullable:
                    return None
            elif (kind == "number" and type(value) is int) or not is_sound(value):
                return None
            values.append(value)
        if any(all(row.get(name) == value for name, value in where) for where in self._corrected):
            return None
        return tuple(values)


def _sound_values(column: Column) -> _IsSound:
    """Whether a value that is not null is read as it stands and within the column's limits."""
    absent: Collection[Any] = frozenset(missing_values(column))
    low, high = column.range or (None, None)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    codes = None if column.categories is None else frozenset(column.categories)
    first = max(column.earliest or _FIRST_DAY, _FIRST_DAY)
    last = column.latest or dt.date.max
    match column.type:
        case "integer":
            whole = None if codes is None else frozenset(int(code) for code in codes)
            return lambda value: (
                type(value) is int
                and -_EXACT < value < _EXACT
                and low <= value <= high
                and value not in absent
                and (whole is None or value in whole)
            )
        case "number":
            return lambda value: (
                type(value) is float and math.isfinite(value) and low <= value <= high and value not in absent
            )
        case "string":
            return lambda value: (
                type(value) is str
                and value != ""
                and max(value) < _COMPOSED
                and value == value.strip()
                and value not in absent
                and (codes is None or value in codes)
            )
        case "boolean":
            return lambda value: type(value) is bool
        case "date":
            return lambda value: type(value) is dt.date and first <= value <= last and value not in absent
        case _:
            return lambda value: (
                type(value) is dt.datetime
                and value.tzinfo is None
                and first <= value.date() <= last
                and value not in absent
            )


def _typed(value: Any, column: Column) -> Any:
    return pl.Series([value]).cast(described_type(column))[0]
