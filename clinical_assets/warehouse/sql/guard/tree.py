"""DuckDB's own syntax tree of a statement, walked with the names that are in scope.

What belongs here: reading the tree and judging each node of it by an allow-list. It is DuckDB's tree and not another
parser's, because what is checked has to be what runs. What does not: the words for the author (``analysis``).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from clinical_assets.warehouse.sql.guard.functions import ALLOWED, CHANCE, CLOCK, TABLE_FUNCTIONS

if TYPE_CHECKING:
    import duckdb

Node = dict[str, Any]

_OF_VALUES = "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA LAMBDA_REF OPERATOR"
_EXPRESSIONS = frozenset([*_OF_VALUES.split(), "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "WINDOW"])
_RELATIONS = frozenset({"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION"})
_QUERIES = frozenset({"CTE_NODE", "RECURSIVE_CTE_NODE", "SELECT_NODE", "SET_OPERATION_NODE"})
_MODIFIERS = frozenset({"DISTINCT_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER"})
_ORDERS = frozenset({"ASCENDING", "DESCENDING", "ORDER_DEFAULT"})
_NOWHERE = 2**64 - 1
_SESSION = CLOCK | {"current_catalog", "current_database", "current_role", "current_schema", "current_user"}


class Refusal(NamedTuple):
    """What a statement must not hold.

    Attributes
    ----------
    kind : str
        ``table``, ``table function``, ``function``, ``unrepeatable``, ``construct`` or ``reserved name``.
    name : str
        What it is called in the statement.
    at : int or None
        Byte in the statement's text, from 0; None when DuckDB does not say.
    """

    kind: str
    name: str
    at: int | None


def syntax_tree(text: str) -> list[Node]:
    """The statements of a text as DuckDB reads them.

    Raises
    ------
    duckdb.Error
        What is no SELECT, or cannot be parsed.
    """
    import duckdb

    with _parser().cursor() as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    found: Node = json.loads(row[0]) if row else {"error": True}
    if found["error"]:
        raise duckdb.ParserException(str(found.get("error_message", "not understood")))
    return list(found["statements"])


def refusals(
    statement: Node, *, tables: Collection[str], repeatable: bool, reserved: tuple[str, ...] = ()
) -> Iterator[Refusal]:
    """Everything in a statement that the allow-lists do not hold.

    Parameters
    ----------
    statement : dict
        One of `syntax_tree`.
    tables : collection of str
        Names in lower case that a table may have besides the common table expressions in scope.
    repeatable : bool
        True refuses clock and chance, so that the same records always give the same rows.
    reserved : tuple of str
        Beginnings that a common table expression's name must not have.
    """
    walk = _Walk(ALLOWED if repeatable else ALLOWED | CLOCK | CHANCE, repeatable, reserved)
    yield from walk.visit(statement["node"], frozenset(tables))
    if statement.get("named_param_map"):
        yield Refusal("construct", "a parameter", None)


class _Walk:
    def __init__(self, allowed: frozenset[str], repeatable: bool, reserved: tuple[str, ...]) -> None:
        self._allowed, self._repeatable, self._reserved = allowed, repeatable, reserved

    def visit(self, node: Any, scope: frozenset[str]) -> Iterator[Refusal]:
        if isinstance(node, list):
            for item in node:
                yield from self.visit(item, scope)
        elif isinstance(node, dict):
            yield from self._judge(node, scope)
            yield from self._within(node, scope)

    def _within(self, node: Node, scope: frozenset[str]) -> Iterator[Refusal]:
        """Below a node, each part with the names that it can see: a name ends with the query that made it."""
        for entry in (node.get("cte_map") or {}).get("map", ()):
            yield from self._named(str(entry["key"]))
            # Not in its own scope: where it refers to itself, DuckDB makes a RECURSIVE_CTE_NODE that says so.
            yield from self.visit(entry["value"], scope)
            scope |= {str(entry["key"]).lower()}
        kind = node.get("type")
        if kind in ("CTE_NODE", "RECURSIVE_CTE_NODE"):
            name = str(node["cte_name"]).lower() if "cte_name" in node else str(node["ctename"]).lower()
            yield from self._named(name)
            first, second = ("query", "child") if kind == "CTE_NODE" else ("left", "right")
            yield from self.visit(node[first], scope)
            yield from self.visit(node[second], scope | {name})
            rest = {key: value for key, value in node.items() if key not in (first, second)}
        else:
            rest = node
        for key, value in rest.items():
            if key != "cte_map":
                yield from self.visit(value, scope)

    def _named(self, name: str) -> Iterator[Refusal]:
        if name.lower().startswith(self._reserved or ("\0",)):
            yield Refusal("reserved name", name.lower(), None)

    def _judge(self, node: Node, scope: frozenset[str]) -> Iterator[Refusal]:
        at = node.get("query_location")
        at = at if isinstance(at, int) and at != _NOWHERE else None
        kind = node.get("type")
        if "class" in node:
            yield from self._expression(node, at)
        elif isinstance(kind, str) and not kind.endswith("_TYPE_INFO"):
            if kind not in _RELATIONS | _QUERIES | _MODIFIERS | _ORDERS:
                yield Refusal("construct", kind.replace("_REF", "").replace("_", " ").lower(), at)
            elif kind == "BASE_TABLE":
                parts = [node.get(part) or "" for part in ("catalog_name", "schema_name", "table_name")]
                if parts[0] or parts[1] or parts[2].lower() not in scope or node.get("at_clause"):
                    yield Refusal("table", ".".join(part for part in parts if part), at)
            elif kind == "TABLE_FUNCTION":
                function = node["function"]
                name = str(function.get("function_name", "")).lower()
                if function.get("class") != "FUNCTION" or name not in TABLE_FUNCTIONS:
                    yield Refusal("table function", name, at)
        if node.get("sample") is not None and self._repeatable:
            yield Refusal("unrepeatable", "a sample", at)

    def _expression(self, node: Node, at: int | None) -> Iterator[Refusal]:
        kind = str(node["class"])
        if kind not in _EXPRESSIONS:
            yield Refusal("construct", f"a {kind.lower()}", at)
            return
        name = str(node.get("function_name") or "").lower()
        if name and (kind in ("FUNCTION", "WINDOW")):
            yield from self._called(node, name, at)
        if kind == "COLUMN_REF" and self._repeatable and len(node["column_names"]) == 1:
            # These are written like columns, and DuckDB calls the function when there is no such column.
            word = str(node["column_names"][0]).lower()
            if word in _SESSION:
                yield Refusal("unrepeatable", word, at)

    def _called(self, node: Node, name: str, at: int | None) -> Iterator[Refusal]:
        if self._repeatable and (name in CLOCK | CHANCE or (name == "age" and len(node["children"]) < 2)):
            yield Refusal("unrepeatable", name, at)
        elif name not in self._allowed and name != "!__postfix" and any(map(str.isalnum, name)):
            # A name without a letter is an operator: DuckDB writes + and LIKE as functions, too.
            yield Refusal("function", name, at)


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
