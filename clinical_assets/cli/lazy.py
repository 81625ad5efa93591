"""A group whose commands are imported when they run, so that ``--help`` and a mistyped name cost no import.

What belongs here: finding a command's module. What does not: the list of commands (``main``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Command = Any  # Typer ships its own copy of Click and exports no name for a command.


@dataclass(frozen=True)
class CommandEntry:
    """Where a command lives.

    Attributes
    ----------
    target : str
        ``module:attribute``; the attribute is a function or a ``typer.Typer``.
    help : str
        The line that the list of commands shows.
    """

    target: str
    help: str

    def load(self, name: str) -> Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
            command.help = self.help
        else:
            single = typer.Typer(add_completion=False)
            single.command(name)(found)
            command = typer.main.get_command(single)
        command.name = name
        return command


def lazy_group(entries: Mapping[str, CommandEntry]) -> type[TyperGroup]:
    """A class of groups with these commands, in this order."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands.update({name: TyperCommand(name, help=entry.help) for name, entry in entries.items()})

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            if args and args[0] in entries:
                self.commands[args[0]] = entries[args[0]].load(args[0])
            return super().resolve_command(ctx, args)

    return LazyGroup
