"""What one rendered model may be: a single SELECT that reads only what was handed to it.

What belongs here: the checks that need the statement's syntax tree. The time guard holds only because no model can
name a table by itself.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter

from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.errors import at_line
from clinical_assets.warehouse.sql.guard.functions import ALLOWED
from clinical_assets.warehouse.sql.guard.tree import Refusal, refusals, syntax_tree
from clinical_assets.warehouse.sql.model import RenderedModel

RESERVED = ("source__", "known__", "book__", "staging__", "staging_known__", "features__", "outcomes__", "marts__")
"""Beginnings of the names that compiling gives to common table expressions."""


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

    one_select = refuse(
        "a model is one SELECT",
        "Keep one SELECT in the file; a PIVOT needs its values spelled out: `ON x IN ('a', 'b')`.",
    )
    try:
        statements = duckdb.extract_statements(rendered.text)
    except duckdb.Error as error:
        raise _syntax(error, rendered) from error
    if len(statements) != 1:
        raise one_select
    try:
        (statement,) = syntax_tree(rendered.text)
    except (duckdb.Error, ValueError):
        raise one_select from None
    for refusal in refusals(statement, tables=ctes, repeatable=repeatable, reserved=RESERVED):
        raise refuse(*_words(refusal), _line_at(refusal, rendered))
    tree = _parse(rendered)
    if not isinstance(tree, exp.Query):
        raise one_select
    named = [name.lower() for name in tree.named_selects if name != "*"]
    twice = sorted({name for name, count in Counter(named).items() if count > 1})
    if twice:
        raise refuse(f"yields column {twice[0]!r} twice", "Name them apart with AS.")


def check_expression(text: str, place: str) -> None:
    """Refuse an SQL expression over one row that reads a table or calls what is not on the list.

    Raises
    ------
    SqlModelError
        Naming ``place``.
    """
    import duckdb

    try:
        (statement,) = syntax_tree(f"SELECT ({text}\n)")
    except (duckdb.Error, ValueError) as error:
        words = str(error).splitlines()[0].removeprefix("Parser Error: ")
        raise SqlModelError(
            f"{place}: the expression {text!r} cannot be read: {words}.",
            cure="Write an SQL expression over the columns of one row.",
        ) from None
    for refusal in refusals(statement, tables=(), repeatable=True):
        message, cure = _words(refusal)
        raise SqlModelError(f"{place}: the expression {text!r} {message}.", cure=cure)


def _words(refusal: Refusal) -> tuple[str, str]:
    """What is wrong, and what to do."""
    name = refusal.name
    if refusal.kind == "table":
        return (
            f"reads {name!r} directly",
            "Use {{ source('table') }} for a table of the cohort and {{ ref('model') }} for a model, "
            "so that dependencies and the time guard are kept; a name of WITH ends with its own query.",
        )
    if refusal.kind == "table function":
        return (
            f"reads {name}(...), which is not a table of the cohort",
            "Describe the data as a table of the cohort and use {{ source('...') }}.",
        )
    if refusal.kind == "function":
        near = difflib.get_close_matches(name, ALLOWED, n=2, cutoff=0.75)
        return (
            f"calls {name}, which is not on the list of functions that a model may call",
            f"Did you mean {' or '.join(near)}?" if near else "Compute from the columns of the sources.",
        )
    if refusal.kind == "unrepeatable":
        return (
            f"uses {name}, whose answer differs from run to run",
            "Compute from recorded columns, such as the index date; the same records must give the same rows.",
        )
    if refusal.kind == "reserved name":
        return f"the name {name!r} is one that compiling gives", "Name the expression otherwise."
    return f"holds {name}, which a model may not", "Write it as a plain SELECT."


def _line_at(refusal: Refusal, rendered: RenderedModel) -> int | None:
    """Line of the author's file where a refused node stands."""
    if refusal.at is not None:
        number = rendered.text.encode()[: refusal.at].count(b"\n")
        return rendered.lines[number] if number < len(rendered.lines) else None
    return next(
        (
            line
            for row, line in zip(rendered.text.split("\n"), rendered.lines, strict=True)
            if re.search(rf"\b{re.escape(refusal.name)}\b", row, re.IGNORECASE)
        ),
        None,
    )


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
