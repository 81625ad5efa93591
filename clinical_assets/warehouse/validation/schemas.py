"""The pandera schema of a table, made from its description and from nothing else.

What belongs here: turning columns and rules into pandera columns and checks, and asking them which rows break which.
Values must have the described types already (``typing_records``).

Two traps of pandera shape this module. On a polars ``LazyFrame`` it silently skips checks of values, and the
environment variables ``PANDERA_VALIDATION_ENABLED`` and ``PANDERA_VALIDATION_DEPTH`` can switch it off: so frames are
eager, and checking runs in a context that cannot be switched off. Its own table of failure cases is made row by row
for checks on whole rows: so checks keep one case, and positions are read from the check's boolean output.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from clinical_assets.cohorts.tables import Column, Rule, Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation.conversions import check_format, described_type
from clinical_assets.warehouse.validation.row_rules import rule_expression

if TYPE_CHECKING:
    import pandera.polars as pa
    from pandera.api.polars.types import PolarsData

COLUMNS_AT_A_TIME = 50
"""pandera's cost per column grows with the number of columns in the frame; small groups keep it flat."""


@dataclass(frozen=True)
class Breach:
    """One promise that some rows break.

    Attributes
    ----------
    rule : str
        Name of the kind of promise, or of the cohort's own rule.
    columns : tuple of str
        The column, or those that the rule names.
    positions : Series of integers
        Positions of the rows in the frame.
    own : bool
        True for a rule of the cohort's own, whatever its name.
    """

    rule: str
    columns: tuple[str, ...]
    positions: pl.Series
    own: bool = False


@dataclass(frozen=True)
class _Part:
    schema: pa.DataFrameSchema
    columns: tuple[str, ...]


@dataclass(frozen=True)
class RowSchema:
    """The promises that each row of a table can be held to by itself, ready to be asked many times."""

    parts: tuple[_Part, ...]
    rules: dict[str, tuple[str, ...]]

    def breaches(self, frame: pl.DataFrame) -> Iterator[Breach]:
        """Every promise that rows of ``frame`` break, all of them at once.

        Parameters
        ----------
        frame : DataFrame
            Eager, in the described types.
        """
        from pandera.config import ValidationDepth, config_context
        from pandera.errors import SchemaErrors

        for part in self.parts:
            try:
                with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
                    part.schema.validate(frame.select(part.columns), lazy=True)
            except SchemaErrors as failed:
                for error in failed.schema_errors:
                    yield self._breach(error)

    def _breach(self, error: Any) -> Breach:
        check = error.check
        named = check if isinstance(check, str) else check.name
        if error.check_output is None or not isinstance(error.check_output, pl.DataFrame):
            # Types are made right before, so this is a defect of the schema and not of the data.
            raise RuntimeError(f"check {named} of {error.schema.name} could not run: {error}") from error
        positions = (~error.check_output.to_series()).arg_true()
        if named in self.rules:
            return Breach(named.removeprefix(_OWN), self.rules[named], positions, own=True)
        return Breach(_RULE_OF_CHECK[named], (error.schema.name,), positions)


_OWN = "rule:"
_RULE_OF_CHECK = {
    "not_nullable": kinds.NULL,
    "in_range": kinds.RANGE,
    "greater_than_or_equal_to": kinds.RANGE,
    "less_than_or_equal_to": kinds.RANGE,
    "less_than": kinds.RANGE,
    "isin": kinds.CATEGORY,
    kinds.PATTERN: kinds.PATTERN,
}


def pandera_schema(table: Table) -> pa.DataFrameSchema:
    """The schema of a whole table, for an eager polars frame in the described types.

    It holds types, ranges, categories, patterns, missing values, cross-column rules, the key and the columns that
    must be unique. References need other tables and are not in it.

    Raises
    ------
    SpecError
        When a rule, pattern or category of the description cannot be used.
    """
    import pandera.polars as pa

    columns = {
        name: _column(name, column, required=name in table.key, unique=column.unique)
        for name, column in table.columns.items()
    }
    checks = [_rule_check(rule, expression) for rule, expression in _rules(table)]
    return pa.DataFrameSchema(columns, checks=checks, unique=list(table.key), strict=False)


def row_schema(table: Table, *, required: frozenset[str] = frozenset()) -> RowSchema:
    """The schema of single rows, which may be asked chunk by chunk.

    Parameters
    ----------
    table : Table
        The described columns and rules.
    required : set of str
        Columns that must not be null besides the key and those described so.
    """
    import pandera.polars as pa

    needed = required | set(table.key)
    parts = []
    names = list(table.columns)
    for start in range(0, len(names), COLUMNS_AT_A_TIME):
        group = tuple(names[start : start + COLUMNS_AT_A_TIME])
        columns = {name: _column(name, table.columns[name], required=name in needed) for name in group}
        parts.append(_Part(pa.DataFrameSchema(columns), group))
    rules: dict[str, tuple[str, ...]] = {}
    for rule, expression in _rules(table):
        named = tuple(name for name in table.columns if name in expression.meta.root_names())
        rules[_OWN + rule.name] = named
        parts.append(_Part(pa.DataFrameSchema({}, checks=[_rule_check(rule, expression)]), named))
    return RowSchema(parts=tuple(parts), rules=rules)


def _column(name: str, column: Column, *, required: bool, unique: bool = False) -> pa.Column:
    import pandera.polars as pa

    check_format(name, column)
    checks = []
    low, high = column.range or (None, None)
    if low is not None and high is not None:
        checks.append(pa.Check.in_range(low, high, n_failure_cases=1))
    elif low is not None:
        checks.append(pa.Check.ge(low, n_failure_cases=1))
    elif high is not None:
        checks.append(pa.Check.le(high, n_failure_cases=1))
    if column.earliest is not None:
        checks.append(pa.Check.ge(_limit(column, column.earliest), n_failure_cases=1))
    if column.latest is not None:
        after = _limit(column, column.latest + dt.timedelta(days=1)) if column.latest < dt.date.max else None
        checks += [pa.Check.lt(after, n_failure_cases=1)] if after is not None else []
    if column.categories is not None:
        checks.append(pa.Check.isin(_codes(name, column), n_failure_cases=1))
    if column.pattern is not None:
        checks.append(_pattern_check(name, column.pattern))
    nullable = column.nullable and not required
    if unique and nullable:
        # pandera takes two missing values for a repetition; here they are two people of whom nothing is known.
        checks.append(_unrepeated_check())
    return pa.Column(described_type(column), checks, nullable=nullable, unique=unique and not nullable, name=name)


def _limit(column: Column, day: dt.date) -> dt.date:
    """A day as the type of the column's values; of a datetime it is midnight, without a zone as they are."""
    return dt.datetime.combine(day, dt.time.min) if column.type == "datetime" else day


def _unrepeated_check() -> pa.Check:
    import pandera.polars as pa

    def unrepeated(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).is_null() | pl.col(data.key).is_unique())

    return pa.Check(unrepeated, name="unrepeated", n_failure_cases=1)


def _codes(name: str, column: Column) -> list[Any]:
    codes = list(column.categories or {})
    if column.type == "string":
        return codes
    try:
        return [int(code) for code in codes]
    except ValueError as error:
        raise SpecError(
            f"column {name}: categories of an integer column must be whole numbers, not {codes}.",
            cure="Describe the column as a string, or correct the categories.",
        ) from error


def _pattern_check(name: str, pattern: str) -> pa.Check:
    import pandera.polars as pa

    whole = f"^(?:{pattern})$"
    try:
        pl.Series([""]).str.contains(whole)
    except pl.exceptions.ComputeError as error:
        raise SpecError(
            f"column {name}: pattern {pattern!r} cannot be used: {str(error).splitlines()[-1]}",
            cure="Write it without look-around and back-references.",
        ) from error

    def matches(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).str.contains(whole))

    return pa.Check(matches, name=kinds.PATTERN, n_failure_cases=1)


def _rules(table: Table) -> list[tuple[Rule, pl.Expr]]:
    return [(rule, rule_expression(rule, table)) for rule in table.rules]


def _rule_check(rule: Rule, expression: pl.Expr) -> pa.Check:
    import pandera.polars as pa

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(expression.alias(rule.name))

    return pa.Check(holds, name=_OWN + rule.name, error=rule.cure, n_failure_cases=1)
