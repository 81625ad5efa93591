"""From which validated columns every output column of a statement is made.

Lineage here is that of values: what is projected, not what rows are joined, filtered, grouped or ordered by. A column
that only decides which rows count leaves no trace in it. Statements that sqlglot cannot follow (a PIVOT statement,
``COLUMNS(...)``, ``#2``) are not guessed at: their columns are named as untraced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.sql.model import CompiledModel
from clinical_assets.warehouse.sql.schema import readable_schema

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.lineage import Node


ColumnOrigin = tuple[str, str]
"""Table and column. The table's name stands alone for validated tables and with its schema for others."""

Schema = Mapping[str, Mapping[str, Mapping[str, str]]]


@dataclass(frozen=True)
class Lineage:
    """Where the columns of one statement come from.

    Attributes
    ----------
    columns : dict
        Origins of every output column, sorted; an empty tuple means that no recorded value goes into it (a count, a
        constant).
    untraced : tuple of str
        Output columns, or the whole statement's, whose origin could not be followed to the end.
    copies : dict
        Output columns that are one recorded column unchanged, and which.
    """

    columns: dict[str, tuple[ColumnOrigin, ...]]
    untraced: tuple[str, ...]
    copies: dict[str, ColumnOrigin]


def column_lineage(
    compiled: CompiledModel, spec: CohortSpec, schema: Schema | None = None
) -> dict[str, tuple[ColumnOrigin, ...]]:
    """Origins of every output column of a compiled model.

    Parameters
    ----------
    compiled : CompiledModel
        The statement.
    spec : CohortSpec
        Gives the columns of the tables.
    schema : mapping, optional
        Schema -> table -> column -> type, instead of the cohort's own.
    """
    return trace(compiled.sql, schema or readable_schema(spec)).columns


def trace(sql: str, schema: Schema, *, outputs: Iterable[str] | None = None, values_only: bool = False) -> Lineage:
    """Follow every output column of a statement to the tables.

    Parameters
    ----------
    sql : str
        One SELECT in DuckDB's dialect.
    schema : mapping
        Schema -> table -> column -> type of everything that it reads.
    outputs : iterable of str, optional
        Columns that the statement yields according to DuckDB; those that lineage does not find are untraced.
    values_only : bool
        True leaves out columns that are merely counted or tested for NULL, partition a window, or decide which rows
        a lateral join finds: these tell nothing of the value itself.

    Returns
    -------
    Lineage
        Names in lower case, as DuckDB does not tell cases apart.
    """
    wanted = None if outputs is None else tuple(name.lower() for name in outputs)
    found = _traced(sql, json.dumps(schema), wanted, values_only)
    return Lineage(dict(found.columns), found.untraced, dict(found.copies))


@lru_cache(maxsize=128)
def _traced(sql: str, schema_text: str, wanted: tuple[str, ...] | None, values_only: bool) -> Lineage:
    """As `trace`; several steps of a run follow the same statement."""
    import sqlglot
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer import qualify, scope

    schema: dict[str, dict[str, dict[str, str]]] = json.loads(schema_text)
    try:
        tree = qualify.qualify(
            sqlglot.parse_one(sql, dialect="duckdb"),
            dialect="duckdb",
            schema={namespace: dict(tables) for namespace, tables in schema.items()},
            validate_qualify_columns=False,
            identify=False,
        )
        if values_only:
            tree = _without_mere_counting(tree)
        nodes: dict[str, Node] = lineage(
            None, tree, schema=dict(schema), scope=scope.build_scope(tree), dialect="duckdb", trim_selects=False
        )
    except (SqlglotError, ValueError) as error:
        if wanted is None:
            raise
        del error
        return Lineage(columns={}, untraced=tuple(wanted), copies={})
    columns: dict[str, tuple[ColumnOrigin, ...]] = {}
    copies: dict[str, ColumnOrigin] = {}
    lost: list[str] = []
    for name in wanted if wanted is not None else list(nodes):
        node = nodes.get(name)
        origins = _origins(node) if node is not None else None
        if origins is None:
            lost.append(name)
            continue
        columns[name] = tuple(sorted(origins))
        if node is not None and len(origins) == 1 and _is_copy(node):
            copies[name] = columns[name][0]
    return Lineage(columns=columns, untraced=tuple(lost), copies=copies)


def _origins(node: Node) -> set[ColumnOrigin] | None:
    """Every table column below a node; None when one of them is not a column of a known table."""
    from sqlglot import exp

    origins: set[ColumnOrigin] = set()
    for below in node.walk():
        expression = below.expression
        if isinstance(expression, exp.Table):
            column = exp.maybe_parse(below.name, into=exp.Column, dialect="duckdb").name
            if column == "*" or not expression.db:
                return None
            table = expression.name if expression.db == "validated" else f"{expression.db}.{expression.name}"
            origins.add((table, column))
        elif isinstance(expression, exp.Star | exp.Placeholder | exp.Query):
            # A whole query stands where sqlglot did not find the column among what the query selects.
            return None
        elif expression.find(exp.Columns, exp.PositionalColumn):
            return None
    return origins


def _is_copy(node: Node) -> bool:
    from sqlglot import exp

    while not isinstance(node.expression, exp.Table):
        if not isinstance(node.expression.unalias(), exp.Column) or len(node.downstream) != 1:
            return False
        node = node.downstream[0]
    return True


def _without_mere_counting(whole: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    tree = whole.copy()
    for count in list(tree.find_all(exp.Count)):
        count.replace(exp.Count(this=exp.Star()))
    for test in list(tree.find_all(exp.Is)):
        if isinstance(test.expression, exp.Null):
            test.replace(exp.false())
    for window in tree.find_all(exp.Window):
        window.set("partition_by", None)
    for lateral in tree.find_all(exp.Lateral):
        for where in list(lateral.find_all(exp.Where)):
            where.pop()
    return tree
