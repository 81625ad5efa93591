"""From a model's name to one self-contained statement.

References become common table expressions, sources become what the model may see of a table, and every line of the
statement remembers the file it came from. The statement reads ``validated.<table>`` and nothing else, so that it runs
unchanged wherever a schema of that name holds rows: the warehouse, a batch, or one record in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.warehouse.sql.errors import ModelProblem
from clinical_assets.warehouse.sql.files import ModelFile, resolve
from clinical_assets.warehouse.sql.guard.analysis import check_select
from clinical_assets.warehouse.sql.guard.views import SourceView, bookkeeping_view, known_view, plain_view
from clinical_assets.warehouse.sql.model import CompiledModel, RenderedModel
from clinical_assets.warehouse.sql.note_words import with_words
from clinical_assets.warehouse.sql.render import environment, render
from clinical_assets.warehouse.sql.schema import BOOKKEEPING

_MAY_REFER = {
    "staging": ("staging",),
    "features": ("staging", "features"),
    "outcomes": ("staging", "outcomes"),
    "marts": ("staging", "features", "outcomes", "marts"),
}
_NOT_GIVEN = object()


@dataclass(frozen=True)
class _Block:
    """One common table expression on its way into the statement."""

    cte: str
    content: SourceView | RenderedModel


#: Statements that were found to be allowed, with the names that they may read; every step of a run compiles again.
_allowed: set[tuple[str, frozenset[str], bool]] = set()
_MOST_ALLOWED = 2000


def _check_once(rendered: RenderedModel, ctes: frozenset[str], *, repeatable: bool) -> None:
    asked = (rendered.text, ctes, repeatable)
    if asked in _allowed:
        return
    check_select(rendered, ctes=ctes, repeatable=repeatable)
    if len(_allowed) >= _MOST_ALLOWED:
        _allowed.clear()
    _allowed.add(asked)


class Compiler:
    """Renders and compiles the models of one cohort.

    Parameters
    ----------
    models : mapping
        Every known model by id.
    spec : CohortSpec
        The cohort.
    absent : frozenset of str
        Bookkeeping tables that the warehouse does not have yet; they count as empty.
    """

    def __init__(
        self, models: Mapping[str, ModelFile], spec: CohortSpec, *, absent: frozenset[str] = frozenset()
    ) -> None:
        self._models = models
        self._spec = spec
        self._absent = absent
        self._jinja: ImmutableSandboxedEnvironment = environment()

    def render(self, name: str) -> RenderedModel:
        """One model after Jinja; what it refers to is checked but not inlined."""
        return self._visit(resolve(self._models, name), {}, (), guarded=False)

    def compile(self, name: str) -> CompiledModel:
        """One model with everything it stands on, as one statement.

        Raises
        ------
        SqlModelError
            Naming file and line of what cannot be rendered, found, or allowed; cycles with their path.
        """
        root = resolve(self._models, name)
        blocks: dict[str, _Block] = {}
        worded = self._spec.modelling.notes and root.id == f"features.{self._spec.features}"
        if worded:
            notes = self._source(self._spec.subject_table, root, guarded=True)
            blocks[notes.cte] = _Block(notes.cte, notes)
        self._visit(root, blocks, (), guarded=False)
        rows: list[str] = []
        body: list[str] = []
        origins: list[tuple[int, int] | None] = []
        parts: list[RenderedModel] = []
        for index, block in enumerate(blocks.values()):
            rows.append(f"{'WITH ' if index == 0 else '), '}{block.cte} AS (")
            origins.append(None)
            if isinstance(block.content, RenderedModel):
                body.append(f"{'), ' if parts else 'WITH '}{block.cte} AS (")
                rows += block.content.text.split("\n")
                body += block.content.text.split("\n")
                origins += [(len(parts), line) for line in block.content.lines]
                parts.append(block.content)
            else:
                sources = block.content.sql.split("\n")
                rows += [f"  {row}" for row in sources]
                origins += [None] * len(sources)
                body += [""] * (1 + len(sources))
        last = next(reversed(blocks))
        selected = with_words(self._spec, last, notes.cte) if worded else [f"SELECT * FROM {last}"]
        closing = [f") {selected[0]}", *selected[1:]]
        rows += closing
        body += closing
        origins += [None] * len(closing)
        return CompiledModel(
            name=root.id,
            layer=root.layer,
            sql="\n".join(rows),
            body="\n".join(body),
            sources=tuple(block.content for block in blocks.values() if isinstance(block.content, SourceView)),
            refs=tuple(dict.fromkeys(part.model.id for part in parts[:-1])),
            parts=tuple(parts),
            _origins=tuple(origins),
        )

    def _visit(
        self, model: ModelFile, blocks: dict[str, _Block], path: tuple[str, ...], *, guarded: bool
    ) -> RenderedModel:
        # A feature model is guarded wherever it is used, and so is everything it stands on: its columns mean the
        # same in a mart as in training.
        guarded = guarded or model.layer == "features"
        path = (*path, model.id)
        handed: set[str] = set()
        needed: dict[str, Callable[[], object]] = {}

        def source(table: str) -> str:
            view = self._source(str(table), model, guarded=guarded)
            handed.add(view.cte)
            needed.setdefault(view.cte, lambda: blocks.update({view.cte: _Block(view.cte, view)}))
            return view.cte

        def ref(name: str) -> str:
            other = self._reference(str(name), model, path)
            cte = _cte(other, guarded=guarded)
            handed.add(cte)
            needed.setdefault(cte, lambda: self._visit(other, blocks, path, guarded=guarded))
            return cte

        rendered = render(self._jinja, model, self._names(source, ref))
        _check_once(rendered, frozenset(handed), repeatable=model.layer != "marts")
        for cte, add in needed.items():
            if cte not in blocks:
                add()
        cte = _cte(model, guarded=guarded)
        blocks[cte] = _Block(cte, rendered)
        return rendered

    def _names(self, source: Callable[[str], str], ref: Callable[[str], str]) -> dict[str, Any]:
        return {"cohort": self._spec, "source": source, "ref": ref, "var": self._var, "refuse": _refuse}

    def _source(self, table: str, model: ModelFile, *, guarded: bool) -> SourceView:
        if table in self._spec.tables:
            try:
                return known_view(self._spec, table) if guarded else plain_view(self._spec, table)
            except SqlModelError as error:
                raise ModelProblem(error.message, error.cure) from error
        if table in BOOKKEEPING:
            if model.layer != "marts":
                raise ModelProblem(f"{table} is about the records and only marts may read it")
            return bookkeeping_view(table, absent=table in self._absent)
        known = [*self._spec.tables, *(BOOKKEEPING if model.layer == "marts" else ())]
        raise ModelProblem(
            f"cohort {self._spec.name} has no table {table!r}", f"It has: {', '.join(known)}. Models go through ref()."
        )

    def _reference(self, name: str, model: ModelFile, path: tuple[str, ...]) -> ModelFile:
        allowed = {key: file for key, file in self._models.items() if file.layer in _MAY_REFER[model.layer]}
        try:
            other = resolve(allowed, name)
        except SqlModelError as error:
            hidden = [file.id for file in self._models.values() if name in (file.id, file.name)]
            if hidden and not any(key in allowed for key in hidden):
                raise ModelProblem(
                    f"a {model.layer} model may not refer to {hidden[0]}",
                    f"It may refer to models in: {', '.join(_MAY_REFER[model.layer])}.",
                ) from error
            raise ModelProblem(error.message.rstrip("."), error.cure) from error
        if other.id in path:
            cycle = " -> ".join((*path[path.index(other.id) :], other.id))
            raise ModelProblem(f"models refer to each other in a circle: {cycle}", "Break the circle.")
        return other

    def _var(self, name: str, default: Any = _NOT_GIVEN) -> Any:
        if name in self._spec.vars:
            return self._spec.vars[name]
        if default is _NOT_GIVEN:
            raise ModelProblem(
                f"cohort {self._spec.name} does not set the variable {name!r}",
                f"Add `{name}` under `vars` in the cohort's description.",
            )
        return default


def _cte(model: ModelFile, *, guarded: bool) -> str:
    known = "_known" if guarded and model.layer == "staging" else ""
    return f"{model.layer}{known}__{model.name}"


def _refuse(message: str, cure: str | None = None) -> None:
    raise ModelProblem(message, cure)
