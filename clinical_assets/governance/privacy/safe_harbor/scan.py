"""Safe Harbor over tables: which columns hold one of the 18 kinds of identifiers, in how many rows, and what to do.

What belongs here: running the rules of ``rules`` in DuckDB. A finding names rows by number; it never
holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from clinical_assets.governance.privacy.safe_harbor.rules import RULES
from clinical_assets.governance.privacy.safe_harbor.values import (
    PSEUDONYM,
    IdentifierClass,
    IdentifierRule,
    ValueKind,
    snake,
)
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import literal, quoted

_EXAMPLES = 5
# Planning a statement costs more than in proportion to its expressions.
_COLUMNS_AT_A_TIME = 3
# Below so many filled rows nothing can be said about how different the values are.
_LEAST_FOR_MANY = 20
_MANY = 0.9
_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)")


@dataclass(frozen=True)
class IdentifierFinding:
    """A column that holds identifiers.

    Attributes
    ----------
    relation, column : str
        Where.
    identifier_class : str
        Which of the 18 classes of 45 CFR 164.514(b)(2)(i).
    rule : str
        By what it was recognised.
    rows : int
        Rows that hold one.
    example_rows : tuple of int
        Numbers of the first of them: ``_row`` where the table has it, else the position from 1. Never values.
    cure : str
        What to do.
    """

    relation: str
    column: str
    identifier_class: IdentifierClass
    rule: str
    rows: int
    example_rows: tuple[int, ...]
    cure: str


def scan(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    *,
    name: str | None = None,
    declared: Collection[str] = (),
    personal: bool = True,
    columns: Sequence[str] | None = None,
) -> tuple[IdentifierFinding, ...]:
    """Look for identifiers in a table, a view or a subquery.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A connection that sees the relation.
    relation : str
        What may stand after FROM.
    name : str, optional
        How findings call it; by default ``relation``.
    declared : collection of str
        Columns that are meant to name a unit or subject (the key): they are left out.
    personal : bool
        Whether a row tells of one person or unit. If not, dates and ages are not judged.
    columns : sequence of str, optional
        Only these.

    Returns
    -------
    tuple of Finding
        By column, at most one a class and column: the one with most rows.
    """
    shape = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    kinds = {
        column: kind
        for column, found in zip(shape.columns, map(str, shape.types), strict=True)
        if column not in declared and column != ROW_NUMBER and (columns is None or column in columns)
        if (kind := _kind(found)) is not None
    }
    number = ROW_NUMBER if ROW_NUMBER in shape.columns else "row_number() OVER ()"
    tested = [
        (column, rule)
        for column, kind in kinds.items()
        for rule in RULES
        if kind in rule.kinds and (personal or not rule.personal) and _fits(rule, column)
    ]
    findings: list[IdentifierFinding] = []
    wanted = list(dict.fromkeys(column for column, _ in tested))
    for start in range(0, len(wanted), _COLUMNS_AT_A_TIME):
        group = wanted[start : start + _COLUMNS_AT_A_TIME]
        rules = [(column, rule) for column, rule in tested if column in group]
        findings += _run(connection, relation, name or relation, number, group, rules)
    return tuple(_worst(findings))


def _kind(found: str) -> ValueKind | None:
    if found in ("VARCHAR", "JSON", "UUID") or found.startswith("ENUM") or found.endswith("[]"):
        return "text"
    if found == "DATE" or found.startswith("TIMESTAMP"):
        return "date"
    if found == "BLOB":
        return "bytes"
    return "number" if _NUMBERS.fullmatch(found) else None


def _fits(rule: IdentifierRule, column: str) -> bool:
    return rule.column is None or re.search(rule.column, snake(column)) is not None


def _run(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    name: str,
    number: str,
    columns: Sequence[str],
    tested: Sequence[tuple[str, IdentifierRule]],
) -> Iterator[IdentifierFinding]:
    measures = []
    for column in columns:
        value = quoted(column)
        measures += [f"count({value})", f"count(DISTINCT {value})"]
    # Each condition is computed once, in the inner SELECT: compiling its patterns is what costs in a wide table.
    conditions = [f"{_condition(rule, quoted(column))} AS _{i}" for i, (column, rule) in enumerate(tested)]
    for i in range(len(tested)):
        measures += [f"count_if(_{i})", f"min(_number, {_EXAMPLES}) FILTER (WHERE _{i})"]
    numbered = f"SELECT {number} AS _number, {', '.join(map(quoted, columns))} FROM {relation}"
    inner = f"SELECT *, {', '.join(conditions)} FROM ({numbered})"
    answer = connection.execute(f"SELECT {', '.join(measures)} FROM ({inner})").fetchone()
    assert answer is not None  # an aggregate yields one row
    sizes = {column: (answer[2 * i], answer[2 * i + 1]) for i, column in enumerate(columns)}
    found = answer[2 * len(columns) :]
    for position, (column, rule) in enumerate(tested):
        rows, examples = found[2 * position], found[2 * position + 1]
        filled, distinct = sizes[column]
        if rows and rows >= rule.share * filled and (not rule.many or _differs(filled, distinct)):
            yield IdentifierFinding(
                relation=name,
                column=column,
                identifier_class=rule.identifier_class,
                rule=rule.name,
                rows=int(rows),
                example_rows=tuple(sorted(map(int, examples or ()))),
                cure=rule.cure,
            )


def _condition(rule: IdentifierRule, value: str) -> str:
    text = f"CAST({value} AS VARCHAR)"
    parts = [f"{value} IS NOT NULL"]
    if "text" in rule.kinds:
        parts.append(f"NOT regexp_full_match({text}, {literal(PSEUDONYM)})")
    if rule.value is not None:
        # By replacement, as braces are part of regular expressions.
        parts.append("(" + rule.value.replace("{text}", text).replace("{value}", value) + ")")
    return f"coalesce({' AND '.join(parts)}, false)"


def _differs(filled: int, distinct: int) -> bool:
    return filled >= _LEAST_FOR_MANY and distinct >= _MANY * filled


def _worst(findings: Sequence[IdentifierFinding]) -> Iterator[IdentifierFinding]:
    kept: dict[tuple[str, str], IdentifierFinding] = {}
    for finding in findings:
        place = (finding.column, finding.identifier_class)
        if place not in kept or finding.rows > kept[place].rows:
            kept[place] = finding
    yield from kept.values()
