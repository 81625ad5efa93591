"""How the command line speaks: tables for people, JSON for programs, errors without stacks."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# A file or a pipe has no width: nothing is folded there, so that a line stays a line for grep.
_PIPE_WIDTH = 10_000
_GAP = 2
_LEAST_TEXT = 20
_NUMBER = re.compile(r"-|[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True, highlight=False)
    return (
        console if console.is_terminal else Console(stderr=stderr, soft_wrap=True, highlight=False, width=_PIPE_WIDTH)
    )


out = _console(stderr=False)
err = _console(stderr=True)


def show_json(value: Any) -> None:
    """Print ``value`` as JSON and nothing else."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))  # noqa: T201


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
        out.print(f"[dim]No room here for {', '.join(left_out)}; a wider terminal and --json show them.[/dim]")


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
            out.print(f"  {name:<{width}}  {text}", markup=False)


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
