"""Rules between the columns of one row: from SQL text to a polars expression that is known to work.

What belongs here: refusing, before any data is read, a rule that cannot be computed or that would mean something
else than its author thinks.
"""

from __future__ import annotations

import difflib

import polars as pl

from clinical_assets.cohorts.tables import Rule, Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.validation.conversions import described_type

_POLARS_ERRORS = (pl.exceptions.PolarsError, TypeError, ValueError)


def rule_expression(rule: Rule, table: Table) -> pl.Expr:
    """The rule as a boolean expression; null, for unknown, passes.

    Raises
    ------
    SpecError
        When it does not parse, names no column or an unknown one, looks beyond its own row (an aggregate or a
        window), compares a difference of dates with a bare number, or is not true or false.
    """
    _check_meaning(rule, table)
    try:
        expression = pl.sql_expr(rule.expression)
        named = set(expression.meta.root_names())
    except _POLARS_ERRORS as error:
        raise _refused(rule, str(error), cure="Use SQL that polars knows, such as `a <= b`.") from error
    unknown = sorted(named - set(table.columns))
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(table.columns), n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "Use names of the description's columns."
        raise _refused(rule, f"it names {', '.join(unknown)}, which the table does not have", cure=hint)
    if not named:
        raise _refused(rule, "it names no column", cure="Compare columns of the table.")
    types = {name: described_type(table.columns[name]) for name in named}
    try:
        result = pl.DataFrame(schema=types).select(expression.alias("holds"))
        pl.DataFrame({name: pl.Series([None], dtype=dtype) for name, dtype in types.items()}).select(expression)
    except _POLARS_ERRORS as error:
        first = str(error).strip().splitlines()[0]
        raise _refused(
            rule, first, cure="Compare values of the same type; write dates as DATE '2020-01-31'."
        ) from error
    if result.schema["holds"] != pl.Boolean:
        raise _refused(rule, f"it yields {result.schema['holds']}, not true or false", cure="Write a comparison.")
    return expression


def _check_meaning(rule: Rule, table: Table) -> None:
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(rule.expression)
    except sqlglot.errors.SqlglotError as error:
        raise _refused(rule, str(error).splitlines()[0], cure="Write one SQL expression, such as `a <= b`.") from error
    beyond = tree.find(exp.AggFunc, exp.Window, exp.Subquery, exp.Select)
    if beyond is not None:
        raise _refused(
            rule,
            f"`{beyond.sql()}` looks at more than one row",
            cure="A rule is about one row; compute the comparison in a SQL model and test it there.",
        )
    dates = {name for name, column in table.columns.items() if column.type in ("date", "datetime")}
    for difference in tree.find_all(exp.Sub):
        sides = (difference.this, difference.expression)
        if not all(isinstance(side, exp.Column) and side.name in dates for side in sides):
            continue
        comparison = difference.find_ancestor(exp.Predicate)
        number = comparison.find(exp.Literal) if comparison is not None else None
        if number is not None and not number.is_string:
            raise _refused(
                rule,
                f"`{difference.sql()}` is a length of time and is compared with the bare number {number}",
                cure=f"Write the length with its unit: INTERVAL '{number} days'.",
            )


def _refused(rule: Rule, why: str, *, cure: str) -> SpecError:
    return SpecError(f"rule {rule.name} (`{rule.expression}`) cannot be used: {why}.", cure=cure)
