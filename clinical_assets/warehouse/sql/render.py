"""From a template to SQL text, remembering which line of the file each line of SQL came from.

What belongs here: the Jinja side of a model. Which functions a template may call is decided by ``models``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment

from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.foundation.settings import limit
from clinical_assets.warehouse.sql.errors import ModelProblem, at_line
from clinical_assets.warehouse.sql.files import ModelFile
from clinical_assets.warehouse.sql.model import RenderedModel
from clinical_assets.warehouse.store.sql_text import literal, quoted, slug

# Private-use characters carry line numbers through Jinja; a model that holds them itself is refused.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SECONDS, _CHARACTERS = "CLINICAL_ASSETS_MAX_TEMPLATE_SECONDS", "CLINICAL_ASSETS_MAX_TEMPLATE_CHARACTERS"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class _LineMarks(Extension):
    """Writes the line number before every line of literal text, so that loops and macros keep their lines."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type != "data":
                yield token
                continue
            pieces = token.value.split("\n")
            marked = "\n".join(f"{_OPEN}{token.lineno + i}{_CLOSE}{piece}" for i, piece in enumerate(pieces))
            yield Token(token.lineno, "data", marked)


class _BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox whose templates end: every turn of a loop and every call asks the clock, products stay small."""

    intercepted_binops = frozenset({"*", "**"})
    ends_at: float | None = None

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_bounded", [], [], None, None, lineno=loop.iter.lineno)
        return tree

    def call(self, *arguments: Any, **named: Any) -> Any:
        self.refuse_late()
        return super().call(*arguments, **named)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        self.refuse_late()
        sizes = [len(each) if isinstance(each, str | list | tuple) else abs(each) for each in (left, right)]
        if operator == "**" and (sizes[1] > 64 or sizes[0] > 10**6):
            raise ModelProblem("a power is too large for a template", "Compute it in SQL.")
        repeats = operator == "*" and any(isinstance(each, str | list | tuple) for each in (left, right))
        if repeats and sizes[0] * sizes[1] > limit(_CHARACTERS):
            raise ModelProblem("a repeated text or list is too large for a template", "Write it shorter.")
        return super().call_binop(context, operator, left, right)

    def refuse_late(self) -> None:
        """End a template that takes longer than the limit."""
        if self.ends_at is not None and time.monotonic() > self.ends_at:
            raise ModelProblem(
                f"the template was not filled in within {limit(_SECONDS)} seconds",
                f"Look for a loop without an end, or set {_SECONDS}.",
            )

    def bounded(self, values: Iterable[Any]) -> Iterator[Any]:
        """The same values, the clock asked before each."""
        for value in values:
            self.refuse_late()
            yield value


def environment() -> ImmutableSandboxedEnvironment:
    """The Jinja environment of all models: sandboxed, strict about undefined names, with three filters.

    ``literal`` writes a value as an SQL literal, ``identifier`` a name in double quotes, ``slug`` a text as part of
    a column name.
    """
    made = _BoundedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=[_LineMarks],
    )
    made.filters.update(literal=literal, identifier=quoted, slug=slug, _bounded=made.bounded)
    del made.globals["lipsum"]  # makes as much text as it is asked for
    return made


@lru_cache(maxsize=512)
def _code(template: str, filename: str) -> CodeType:
    """What Jinja makes of a template: the same for every cohort, and most of what rendering costs."""
    return environment().compile(template, name=filename, filename=filename)


def render(jinja: ImmutableSandboxedEnvironment, model: ModelFile, names: Mapping[str, Any]) -> RenderedModel:
    """Fill in one model's template.

    Parameters
    ----------
    jinja : Environment
        From ``environment``.
    model : ModelFile
        What to render.
    names : mapping
        Functions and values that the template may use.

    Raises
    ------
    SqlModelError
        Naming file and line of what Jinja, or a function called by the template, refused.
    """
    template = model.text()
    if _OPEN in template or _CLOSE in template:
        raise SqlModelError(f"{model.shown}: holds the private-use characters U+E000 or U+E001.", cure="Remove them.")
    filename = model.shown
    try:
        code = _code(template, filename)
        filled = jinja.template_class.from_code(jinja, code, jinja.make_globals(None))
        marked = _within_limits(jinja, filled.generate(names))
    except TemplateSyntaxError as error:
        raise at_line(model, template, error.lineno, f"the template cannot be read: {error.message}") from error
    except ModelProblem as problem:
        line = _line_in_template(problem, filename)
        raise at_line(model, template, line, problem.message, cure=problem.cure) from problem
    except UndefinedError as error:
        line = _line_in_template(error, filename)
        message = str(error.message)
        cure = f"A template knows: {', '.join(sorted(names))}." if message.endswith("is undefined") else None
        raise at_line(model, template, line, message, cure=cure) from error
    except SecurityError as error:
        line = _line_in_template(error, filename)
        raise at_line(model, template, line, f"not allowed in a template: {error.message}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        # What a template's expression can raise by itself: 1 + 'a', 1 / 0, an empty list as a literal.
        line = _line_in_template(error, filename)
        raise at_line(model, template, line, f"the template cannot be filled in: {error}") from error
    text, lines = _without_marks(marked)
    return RenderedModel(model=model, template=template, text=text, lines=lines)


def _within_limits(jinja: ImmutableSandboxedEnvironment, pieces: Iterator[str]) -> str:
    assert isinstance(jinja, _BoundedEnvironment)  # environment() makes no other
    most, done, written = limit(_CHARACTERS), [], 0
    jinja.ends_at = time.monotonic() + limit(_SECONDS)
    try:
        for piece in pieces:
            written += len(piece)
            if written > most:
                raise ModelProblem(
                    f"the template yields more than {most:,} characters", f"Write it shorter, or set {_CHARACTERS}."
                )
            done.append(piece)
    finally:
        jinja.ends_at = None
    return "".join(done)


def _line_in_template(error: BaseException, filename: str) -> int | None:
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _without_marks(marked: str) -> tuple[str, tuple[int, ...]]:
    text: list[str] = []
    lines: list[int] = []
    last = 1
    for row in marked.rstrip().split("\n"):
        # Text before the first mark goes on from the line before; a mark without text after it is the end of a block.
        before, *pieces = _MARK.split(row)
        numbers, texts = [int(piece) for piece in pieces[::2]], pieces[1::2]
        written = [number for number, piece in zip(numbers, texts, strict=True) if piece.strip()]
        lines.append(last if before.strip() else (written or numbers or [last])[0])
        last = numbers[-1] if numbers else last
        text.append(before + "".join(texts))
    whole = _without_semicolon("\n".join(text).rstrip())
    return whole, tuple(lines[: whole.count("\n") + 1])


def _without_semicolon(text: str) -> str:
    import sqlglot
    from sqlglot.errors import TokenError

    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except TokenError:
        return text  # DuckDB says what is wrong with it, and where
    closing = tokens and tokens[-1].token_type == sqlglot.TokenType.SEMICOLON
    return text[: tokens[-1].start].rstrip() if closing else text
