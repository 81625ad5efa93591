"""What stands beside the models: descriptions, units and tests, as checked YAML.

A file ``<layer>/<any>.yml`` documents models of its own folder. Unknown keys, unknown models and impossible values are
refused with file, line, key and cure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from clinical_assets.cohorts.base import Name, Scalar, Strict
from clinical_assets.foundation.errors import SqlModelError
from clinical_assets.foundation.yaml_lines import Document, parse, read_yaml
from clinical_assets.warehouse.sql.files import ModelFile

SqlTestSeverity = Literal["warn", "error"]
SqlTestKind = Literal["not_null", "unique", "accepted_values", "relationships", "expression"]
KINDS: tuple[SqlTestKind, ...] = get_args(SqlTestKind)
_TARGET = re.compile(r"(ref|source)\(\s*['\"]([a-z0-9_.]+)['\"]\s*\)")


class _Test(Strict):
    severity: SqlTestSeverity = "error"


class NotNull(_Test):
    """No row lacks a value. For a whole model: none of ``columns``, by default the cohort's key."""

    kind: Literal["not_null"] = "not_null"
    columns: tuple[Name, ...] = ()


class Unique(_Test):
    """No two rows agree. For a whole model: on all of ``columns``, by default the cohort's key."""

    kind: Literal["unique"] = "unique"
    columns: tuple[Name, ...] = ()


class AcceptedValues(_Test):
    """Every value that is there is one of ``values``; NULL passes."""

    kind: Literal["accepted_values"] = "accepted_values"
    values: tuple[Scalar, ...] = Field(min_length=1)


class Relationships(_Test):
    """Every value that is there is found in ``field`` of another model or table."""

    kind: Literal["relationships"] = "relationships"
    to: str = Field(description="ref('model') or source('table').")
    field: Name

    @field_validator("to")
    @classmethod
    def _is_target(cls, to: str) -> str:
        if not _TARGET.fullmatch(to.strip()):
            raise ValueError("write ref('model') or source('table')")
        return to

    @property
    def target(self) -> tuple[str, str]:
        """``('ref' or 'source', name)``."""
        found = _TARGET.fullmatch(self.to.strip())
        assert found is not None, "checked when read"
        return found[1], found[2]


class ExpressionTest(_Test):
    """An SQL expression over one row that must not be false; NULL means unknown and passes."""

    kind: Literal["expression"] = "expression"
    expression: str = Field(min_length=1)
    name: Name | None = None


def _with_kind(value: Any) -> Any:
    """``unique`` and ``{unique: {...}}`` as they stand in a file; ``{expression: text}`` is short for its one key."""
    if isinstance(value, str) and value in KINDS:
        return {"kind": value}
    if isinstance(value, dict) and len(value) == 1 and (kind := next(iter(value))) in KINDS:
        given = {"expression": value[kind]} if kind == "expression" and isinstance(value[kind], str) else value[kind]
        if (isinstance(given, dict) and "kind" not in given) or given is None:
            return {**(given or {}), "kind": kind}
    raise ValueError(f"a test is one of {', '.join(KINDS)}, with its settings below it; each needs an item of its own")


SqlTest = Annotated[
    NotNull | Unique | AcceptedValues | Relationships | ExpressionTest,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]


def _of_a_column(test: SqlTest) -> SqlTest:
    if isinstance(test, NotNull | Unique) and test.columns:
        raise ValueError("a test under a column is about that column alone: move it to the model's own `tests`")
    return test


def _of_a_model(test: SqlTest) -> SqlTest:
    if isinstance(test, AcceptedValues | Relationships):
        raise ValueError(f"{test.kind} is about one column: move it under a column")
    return test


class ColumnDoc(Strict):
    """One column that a model yields."""

    name: Name
    description: str | None = None
    unit: str | None = None
    tests: tuple[Annotated[SqlTest, AfterValidator(_of_a_column)], ...] = ()


class ModelDoc(Strict):
    """One model: what one row is, its columns, its tests."""

    name: Name
    description: str = Field(min_length=1, description="What one row is.")
    columns: tuple[ColumnDoc, ...] = ()
    tests: tuple[Annotated[SqlTest, AfterValidator(_of_a_model)], ...] = ()


class _DocFile(Strict):
    models: tuple[ModelDoc, ...]


@dataclass(frozen=True)
class DeclaredTest:
    """One test as it stands in a file.

    Attributes
    ----------
    column : str or None
        The column it stands under; None for a test of the whole model.
    test : NotNull, Unique, AcceptedValues, Relationships or Expression
        Its parameters.
    place : str
        File and line, for messages.
    """

    column: str | None
    test: SqlTest
    place: str

    @property
    def kind(self) -> SqlTestKind:
        """One of ``KINDS``."""
        return self.test.kind


@dataclass(frozen=True)
class ModelDocs:
    """What is written about one model.

    Attributes
    ----------
    description : str
        What one row is; empty when nothing is written.
    columns : dict
        Descriptions and units by column.
    tests : tuple of DeclaredTest
        In the order of the file.
    """

    description: str = ""
    columns: dict[str, ColumnDoc] = field(default_factory=dict)
    tests: tuple[DeclaredTest, ...] = ()

    def column(self, name: str) -> ColumnDoc | None:
        """What is written about one column, if anything."""
        return self.columns.get(name)


def read_docs(model: ModelFile) -> ModelDocs:
    """What is written about one model; empty when nothing is.

    ``<layer>/<model>.yml`` is looked at first and, when it speaks of the model, alone, so that a mistake in another
    model's file does not stop this one. Otherwise every YAML file of the layer's folder is read.

    Raises
    ------
    SpecError
        When a file is not what it should be; names file, line, key and cure.
    SqlModelError
        When the model is described twice, or a model that its folder does not hold.
    """
    place = model.folder / model.layer
    own = [path for path in (place / f"{model.name}.yml", place / f"{model.name}.yaml") if path.is_file()]
    others = [path for path in sorted(place.glob("*.y*ml")) if path not in own]
    for paths in (own, others):
        found = [entry for path in paths for entry in _docs_in(path, model) if entry[0] == model.name]
        if len(found) > 1:
            raise SqlModelError(f"{found[1][2]}: {model.id} is also described at {found[0][2]}.", cure="Keep one.")
        if found:
            return found[0][1]
    return ModelDocs()


def _docs_in(path: Path, model: ModelFile) -> Iterator[tuple[str, ModelDocs, str]]:
    folder, layer = model.folder, model.layer
    shown = Path(folder.name) / path.relative_to(folder)
    document = replace(read_yaml(path), path=shown)
    content = parse(_DocFile, document, noun="model description")
    for number, doc in enumerate(content.models):
        place = f"{shown.as_posix()}:{document.line(('models', number, 'name'))}"
        beside = [folder / layer / f"{doc.name}.sql"] + [folder / f"{doc.name}.sql"] * (layer == "features")
        if not any(file.is_file() for file in beside):
            raise SqlModelError(
                f"{place}: describes the model {doc.name!r}, but there is no {layer}/{doc.name}.sql beside it.",
                cure="Correct the name, or remove the entry.",
            )
        yield doc.name, _docs(doc, document, number), place


def _docs(doc: ModelDoc, document: Document, number: int) -> ModelDocs:
    def place(*loc: str | int) -> str:
        return f"{document.path.as_posix()}:{document.line(('models', number, *loc))}"

    columns: dict[str, ColumnDoc] = {}
    tests: list[DeclaredTest] = []
    for index, column in enumerate(doc.columns):
        at = ("columns", index)
        if column.name in columns:
            raise SqlModelError(f"{place(*at, 'name')}: column {column.name!r} is described twice.", cure="Keep one.")
        columns[column.name] = column
        tests += [DeclaredTest(column.name, test, place(*at, "tests", i)) for i, test in enumerate(column.tests)]
    tests += [DeclaredTest(None, test, place("tests", i)) for i, test in enumerate(doc.tests)]
    return ModelDocs(description=doc.description, columns=columns, tests=tuple(tests))
