"""How the command line speaks: tables for people, JSON for programs, errors without stacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# A file or a pipe has no width: nothing is folded there, so that a line stays a line for grep.
_PIPE_WIDTH = 400


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


def show_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None, empty: str = "nothing") -> None:
    """Print rows of plain values as a table."""
    if not rows:
        out.print(f"[dim]{empty}[/dim]")
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in rows[0]:
        numeric = all(isinstance(row[name], int | float) or row[name] is None for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(str(value))
