"""How the command line speaks: tables for people, JSON for programs, errors without stacks."""

from __future__ import annotations

import datetime as dt
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# A file or a pipe has no width: nothing is folded there, so that a line stays a line for grep.
_PIPE_WIDTH = 10_000
_GAP = 2
_LEAST_TEXT = 20
# What a terminal acts on, or what turns the order of letters: C0 but tab and line feed, DEL, C1, bidirectional marks.
_ACTED_ON = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NUMBER = re.compile(r"-|[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?")


def visible(text: str) -> str:
    r"""`text` with each character that a terminal acts on written as JSON writes it, such as ``\u001b``."""
    return _ACTED_ON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _SafeConsole(Console):
    """A console that shows what people wrote, such as a reason in the ledger, and never obeys it."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Make every text visible, in messages and in cells of tables."""
        return super().render_str(visible(text), **options)


def _console(*, stderr: bool) -> Console:
    console = _SafeConsole(stderr=stderr, soft_wrap=True, highlight=False)
    return (
        console
        if console.is_terminal
        else _SafeConsole(stderr=stderr, soft_wrap=True, highlight=False, width=_PIPE_WIDTH)
    )


out = _console(stderr=False)
err = _console(stderr=True)


def show_words(text: str, *, indent: str = "", on: Console | None = None, **style: Any) -> None:
    """Print a text as it is; in a terminal broken between words, with `indent` before every line.

    Parameters
    ----------
    text : str
        Plain text; nothing in it is taken for markup.
    indent : str
        What stands before every line but those that begin with it already.
    on : Console, optional
        Where to; standard output when None.
    **style
        As the console takes it.
    """
    console = on or out
    for line in text.split("\n"):
        lines = [indent + line]
        if console.is_terminal:
            begins = indent + line
            further = indent + "  " * begins[len(indent) :].startswith("- ")
            lines = textwrap.wrap(
                begins, console.width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
            ) or [""]
        for each in lines:
            console.print(each, markup=False, **style)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON and nothing else."""
    print(visible(json.dumps(value, indent=2, ensure_ascii=False, default=str)))  # noqa: T201


def show_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str | None = None,
    empty: str = "nothing",
    fold: bool = True,
    spare: Sequence[str] = (),
) -> None:
    """Print rows of plain values as a table.

    Parameters
    ----------
    rows : sequence of mapping
        All with the same keys.
    title, empty : str
        What stands above the table, and in its place when there is no row.
    fold : bool
        Whether cells are folded where the table is wider than the terminal. Otherwise such rows are printed one
        below the other, a line a column, because columns of two letters cannot be read.
    spare : sequence of str
        Columns that are left out, in this order, as long as the table is wider than the terminal.
    """
    if not rows:
        out.print(f"[dim]{empty}[/dim]")
        return
    texts = {name: [cell(row[name]) for row in rows] for name in rows[0]}
    left_out = []
    for name in spare:
        if _width(texts) > out.width:
            del texts[name]
            left_out.append(name)
    if not fold and _width(texts) > out.width:
        _one_below_the_other(texts)
        return
    # Names, numbers and codes stay whole while there is room; what is folded is the text at the end.
    *first, last = texts
    room = out.width - _width({name: texts[name] for name in first}) - _GAP
    whole = room >= min(_LEAST_TEXT, _width({last: texts[last]}))
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in texts:
        table.add_column(
            _escaped(name),
            justify="right" if all(map(_NUMBER.fullmatch, texts[name])) else "left",
            overflow="fold",
            no_wrap=whole and name != last,
        )
    for row in zip(*texts.values(), strict=True):
        table.add_row(*map(_escaped, row))
    out.print(table)
    if left_out:
        show_words(f"No room here for {', '.join(left_out)}; a wider terminal and --json show them.", style="dim")


def fits(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a table of these rows has room in the terminal with every cell in one line."""
    return not rows or _width({name: [cell(row[name]) for row in rows] for name in rows[0]}) <= out.width


def _width(texts: Mapping[str, Sequence[str]]) -> int:
    return sum(max(map(len, (name, *column))) + _GAP for name, column in texts.items()) - _GAP


def _one_below_the_other(texts: Mapping[str, Sequence[str]]) -> None:
    width = max(map(len, texts))
    for number, row in enumerate(zip(*texts.values(), strict=True), start=1):
        out.print(f"[bold]row {number}[/bold]")
        for name, text in zip(texts, row, strict=True):
            _folded(f"  {name:<{width}}  ", text)


def _folded(head: str, text: str) -> None:
    """A named text whose further lines stand below its beginning."""
    room = out.width - len(head)
    lines = (
        [text]
        if not out.is_terminal or room < _LEAST_TEXT
        else textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    )
    for number, line in enumerate(lines or [""]):
        out.print((head if number == 0 else " " * len(head)) + line, markup=False)


def cell(value: Any) -> str:
    """A value as a person reads it: four digits of a small number, seconds of a time, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    return str(value)


def seconds(moment: str) -> str:
    """A stored time, ISO 8601, as far as its seconds."""
    return moment[:19].replace("T", " ")


def percent(share: float | None) -> str | None:
    """A share from 0 to 1 as a percentage with one decimal."""
    return None if share is None else f"{share:.1%}"


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.1f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
