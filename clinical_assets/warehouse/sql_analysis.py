"""What one rendered model may be: a single SELECT that reads only what was handed to it.

What belongs here: the checks that need the statement's syntax tree. The time guard holds only because no model can
name a table by itself.
"""

from __future__ import annotations

import re
from collections import Counter

from clinical_assets.errors import SqlModelError
from clinical_assets.warehouse.sql_errors import at_line
from clinical_assets.warehouse.sql_render import RenderedModel

RESERVED = ("source__", "known__", "book__", "staging__", "staging_known__", "features__", "outcomes__", "marts__")
"""Beginnings of the names that compiling gives to common table expressions."""

_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})

# fmt: off
UNREPEATABLE = frozenset({
    "age", "current_connection_id", "current_catalog", "current_database", "current_date", "current_localtime",
    "current_localtimestamp", "current_query", "current_query_id", "current_role", "current_schema",
    "current_schemas", "current_setting", "current_time", "current_timestamp", "current_transaction_id",
    "current_user", "currval", "error", "gen_random_uuid", "get_current_time", "get_current_timestamp", "getenv",
    "getvariable", "in_search_path", "localtime", "localtimestamp", "nextval", "now", "rand", "random",
    "session_user", "setseed", "sleep_ms", "stats", "today", "transaction_timestamp", "txid_current", "user", "uuid",
    "uuidv4", "uuidv7", "write_log",
})
# fmt: on
"""Functions whose answer depends on the clock, on chance or on the session. ``age`` does with one argument."""


def check_select(rendered: RenderedModel, *, ctes: frozenset[str], repeatable: bool) -> None:
    """Refuse what a model must not be.

    Parameters
    ----------
    rendered : RenderedModel
        The model after Jinja.
    ctes : frozenset of str
        Names that ``source`` and ``ref`` handed to it.
    repeatable : bool
        True forbids functions of clock, chance and session, so that the same records always give the same rows.

    Raises
    ------
    SqlModelError
        Naming file and line.
    """
    import duckdb
    from sqlglot import exp

    model, template = rendered.model, rendered.template

    def refuse(message: str, cure: str, line: int | None = None) -> SqlModelError:
        return at_line(model, template, line, message, cure=cure)

    try:
        statements = duckdb.extract_statements(rendered.text)
    except duckdb.Error as error:
        raise _syntax(error, rendered) from error
    tree = _parse(rendered) if len(statements) == 1 else None
    if not isinstance(tree, exp.Query):
        raise refuse(
            "a model is one SELECT",
            "Keep one SELECT in the file; a PIVOT needs its values spelled out: `ON x IN ('a', 'b')`.",
        )
    named = [name.lower() for name in tree.named_selects if name != "*"]
    twice = sorted({name for name, count in Counter(named).items() if count > 1})
    if twice:
        raise refuse(f"yields column {twice[0]!r} twice", "Name them apart with AS.")
    own = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for name in sorted(own):
        if name.startswith(RESERVED):
            raise refuse(f"the name {name!r} is one that compiling gives", "Name the expression otherwise.")
    for table in tree.find_all(exp.Table):
        line = _line(table, rendered)
        name = table.name.lower()
        if isinstance(table.this, exp.Func):
            called = _called(table.this)
            if called not in _TABLE_FUNCTIONS:
                raise refuse(
                    f"reads {called}(...), which is not a table of the cohort",
                    "Describe the data as a table of the cohort and use {{ source('...') }}.",
                    line,
                )
        elif table.db or name not in own | ctes:
            shown = ".".join(part.name for part in table.parts)
            raise refuse(
                f"reads {shown!r} directly",
                "Use {{ source('table') }} for a table of the cohort and {{ ref('model') }} for a model, "
                "so that dependencies and the time guard are kept.",
                line,
            )
    if repeatable:
        _check_repeatable(tree, rendered)


def _check_repeatable(tree: object, rendered: RenderedModel) -> None:
    from sqlglot import exp

    assert isinstance(tree, exp.Expression)
    for node in tree.find_all(exp.Func, exp.TableSample):
        if isinstance(node, exp.TableSample):
            name = "a sample"
        else:
            name = _called(node)
            if name not in UNREPEATABLE or (name == "age" and len(node.args.get("expressions") or ()) > 1):
                continue
        raise at_line(
            rendered.model,
            rendered.template,
            _line(node, rendered, written=name),
            f"uses {name}, whose answer differs from run to run",
            cure="Compute from recorded columns, such as the index date; the same records must give the same rows.",
        )


def _called(function: object) -> str:
    from sqlglot import exp

    assert isinstance(function, exp.Func)
    if isinstance(function, exp.Anonymous):
        return str(function.name).lower()
    written = re.match(r"\w+", function.sql(dialect="duckdb"))
    return written[0].lower() if written else ""


def _line(node: object, rendered: RenderedModel, *, written: str = "") -> int | None:
    """Line of the author's file where a node stands; sqlglot keeps positions on names, not on every keyword."""
    from sqlglot import exp

    assert isinstance(node, exp.Expression)
    for part in node.walk():
        number = part.meta.get("line")
        if isinstance(number, int) and 1 <= number <= len(rendered.lines):
            return rendered.lines[number - 1]
    for row, line in zip(rendered.text.split("\n"), rendered.lines, strict=True):
        if written and re.search(rf"\b{written}\b", row, re.IGNORECASE):
            return line
    return None


def _parse(rendered: RenderedModel) -> object:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.parse_one(rendered.text, dialect="duckdb")
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        number = first.get("line")
        line = rendered.lines[number - 1] if isinstance(number, int) and number <= len(rendered.lines) else None
        raise at_line(
            rendered.model,
            rendered.template,
            line,
            f"the statement cannot be analysed: {first.get('description', 'not understood')}",
            cure="DuckDB reads it but lineage cannot; write it in plainer SQL.",
        ) from error


def _syntax(error: Exception, rendered: RenderedModel) -> SqlModelError:
    text = str(error)
    found = re.search(r"^LINE (\d+): ", text, re.MULTILINE)
    number = int(found[1]) if found else 0
    line = rendered.lines[number - 1] if 1 <= number <= len(rendered.lines) else None
    message = text[: found.start()] if found else text
    return at_line(
        rendered.model,
        rendered.template,
        line,
        message.strip().removeprefix("Parser Error: "),
        cure="Correct the SQL near that line.",
    )
