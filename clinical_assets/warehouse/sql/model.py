"""A model on its way from file to statement: after Jinja, and compiled.

What belongs here: the two results that every other module of this room works with. What does not: making them
(``render``, ``models``).
"""

from __future__ import annotations

from dataclasses import dataclass

from clinical_assets.foundation.canonical import parts_digest
from clinical_assets.warehouse.sql.files import ModelFile
from clinical_assets.warehouse.sql.guard.views import SourceView


@dataclass(frozen=True)
class RenderedModel:
    """A model after Jinja.

    Attributes
    ----------
    model : ModelFile
        The file.
    template : str
        Its text before Jinja.
    text : str
        One SELECT, without a closing semicolon.
    lines : tuple of int
        For each line of ``text`` the line of the file that it came from, from 1.
    """

    model: ModelFile
    template: str
    text: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class CompiledModel:
    """One model as a statement.

    Attributes
    ----------
    name : str
        ``layer.name``.
    layer : str
        The model's layer.
    sql : str
        The statement; begins with ``WITH``.
    body : str
        The same, without what ``source`` stands for: it finds those views as tables of their own names, see
        ``guard.confined``. Line for line as long as ``sql``.
    sources : tuple of SourceView
        The tables it reads, as it sees them.
    refs : tuple of str
        Ids of every model it is made of, itself excluded, in the order of need.
    parts : tuple of RenderedModel
        The models after Jinja, itself last.
    """

    name: str
    layer: str
    sql: str
    body: str
    sources: tuple[SourceView, ...]
    refs: tuple[str, ...]
    parts: tuple[RenderedModel, ...]
    _origins: tuple[tuple[int, int] | None, ...]

    @property
    def relations(self) -> tuple[str, ...]:
        """Tables that the statement reads, such as ``validated.subjects``."""
        return tuple(dict.fromkeys(source.relation for source in self.sources))

    @property
    def digest(self) -> str:
        """SHA-256 of the statement: what changes when the model, a model below it or the guard changes."""
        return parts_digest(self.sql.encode())

    def origin(self, line: int) -> tuple[RenderedModel | None, int | None]:
        """The model and the line of its file from which a line of the statement came, both from 1."""
        origin = self._origins[line - 1] if 1 <= line <= len(self._origins) else None
        return (self.parts[origin[0]], origin[1]) if origin else (None, None)
