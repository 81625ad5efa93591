"""What a model's author is told: file, line, the line's text, what is wrong and a hint.

What belongs here: turning the words of Jinja and DuckDB into places in the author's own file.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import SqlModelError, engine_words
from clinical_assets.warehouse.sql.files import ModelFile
from clinical_assets.warehouse.sql.model import CompiledModel

if TYPE_CHECKING:
    import duckdb

_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
_UNKNOWN_COLUMN = re.compile(
    r'Referenced column "(?P<a>[^"]+)" (?:was )?not found'
    r'|(?:Table|Values list) "[^"]*" does not have a column named "(?P<b>[^"]+)"'
    r'|Column with name "(?P<c>[^"]+)" does not exist'
    r'|column "(?P<d>[^"]+)" does not exist',
    re.IGNORECASE,
)
_CANDIDATES = re.compile(r"Candidate (?:bindings|Entries|columns): :?\s*(.+)")
_BINDING = ("BinderException", "CatalogException", "ParserException", "SyntaxException", "NotImplementedException")


class ModelProblem(Exception):
    """Something wrong inside a template, raised where the line is not known yet."""

    def __init__(self, message: str, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


def at_line(
    model: ModelFile, template: str, line: int | None, message: str, *, cure: str | None = None
) -> SqlModelError:
    """An error that shows the line of the author's file.

    Parameters
    ----------
    model : ModelFile
        The file.
    template : str
        Its text.
    line : int or None
        Line in the file, from 1; None when the place is not known.
    message, cure : str
        What is wrong, and what to do.
    """
    rows = template.splitlines()
    if line is None or not 1 <= line <= len(rows):
        return SqlModelError(f"{model.shown}: {message}", cure=cure)
    return SqlModelError(f"{model.shown}:{line}: {message}\n  {line:>4} | {rows[line - 1].rstrip()}", cure=cure)


def explain(error: duckdb.Error, compiled: CompiledModel, *, lines_before: int = 0) -> SqlModelError:
    """DuckDB's words about a compiled statement, said about the author's file.

    Parameters
    ----------
    error : duckdb.Error
        What DuckDB raised.
    compiled : CompiledModel
        The statement.
    lines_before : int
        Lines that stood before the compiled statement in what was executed.

    Returns
    -------
    SqlModelError
        To be raised. Values of the data that DuckDB quotes are left out, since they may identify a person.
    """
    text = str(error)
    found = _LINE.search(text)
    part, line = compiled.origin(int(found[1]) - lines_before) if found else (None, None)
    part = part or compiled.parts[-1]
    words = text[: found.start()] if found else text
    words = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", words).strip()
    message = words.splitlines()[0] if words else type(error).__name__
    unknown = _UNKNOWN_COLUMN.search(words)
    if unknown:
        name = next(group for group in unknown.groups() if group)
        message, cure = _unknown_column(name, words, compiled)
        return at_line(part.model, part.template, line, message, cure=cure)
    if type(error).__name__ not in _BINDING:
        # Only errors at run time speak of data; those of the parser and the binder quote the author's own text.
        message = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", engine_words(error, known=compiled.sql))
        cure = "Use try_cast, nullif or coalesce where a value may not fit." if "convert" in message.lower() else None
        return at_line(part.model, part.template, line, message, cure=cure)
    suggestion = re.search(r'Did you mean "([^"]+)"', words)
    cure = f"Did you mean {suggestion[1]}?" if suggestion else " ".join(words.splitlines()[1:]).strip() or None
    return at_line(part.model, part.template, line, message, cure=cure)


def _unknown_column(name: str, words: str, compiled: CompiledModel) -> tuple[str, str | None]:
    hidden = [source for source in compiled.sources if name.lower() in source.hidden]
    if hidden:
        reason = hidden[0].hidden[name.lower()]
        cure = (
            "Leave it out; if it is known when the prediction is made, correct its role in the cohort's description."
            if "its role" in reason
            else "Order by recorded columns instead."
        )
        return f"column {name!r} cannot be used: {reason}", cure
    candidates = _CANDIDATES.search(words)
    offered = re.findall(r'"([^"]+)"', candidates[1]) if candidates else []
    known = [*(item.split(".")[-1] for item in offered), *(c for s in compiled.sources for c in s.columns)]
    near = list(dict.fromkeys(difflib.get_close_matches(name.lower(), known, n=5, cutoff=0.6)))[:3]
    if near:
        return f"column {name!r} is not known here", f"Did you mean {' or '.join(near)}?"
    listed = ", ".join(dict.fromkeys(c for s in compiled.sources for c in s.columns))
    shortened = listed if len(listed) <= 400 else listed[:400].rsplit(",", 1)[0] + ", ..."
    return f"column {name!r} is not known here", f"The sources have: {shortened}." if listed else None
