"""What stands beside the models: descriptions, units and tests, as checked YAML.

A file ``<layer>/<any>.yml`` documents models of its own folder. Unknown keys, unknown models and impossible values are
refused with file, line, key and cure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from clinical_assets.cohorts.base import Name, Scalar, Strict
from clinical_assets.cohorts.yaml_lines import Document, parse, read_yaml
from clinical_assets.errors import SqlModelError
from clinical_assets.warehouse.sql_files import ModelFile

Severity = Literal["warn", "error"]
Kind = Literal["not_null", "unique", "accepted_values", "relationships", "expression"]
KINDS: tuple[Kind, ...] = ("not_null", "unique", "accepted_values", "relationships", "expression")
_TARGET = re.compile(r"(ref|source)\(\s*['\"]([a-z0-9_.]+)['\"]\s*\)")


class _Test(Strict):
    severity: Severity = "error"


class NotNull(_Test):
    """No row lacks a value. For a whole model: none of ``columns``, by default the cohort's key."""

    columns: tuple[Name, ...] = ()


class Unique(_Test):
    """No two rows agree. For a whole model: on all of ``columns``, by default the cohort's key."""

    columns: tuple[Name, ...] = ()


class AcceptedValues(_Test):
    """Every value that is there is one of ``values``; NULL passes."""

    values: tuple[Scalar, ...] = Field(min_length=1)


class Relationships(_Test):
    """Every value that is there is found in ``field`` of another model or table."""

    to: str = Field(description="ref('model') or source('table').")
    field: Name

    @model_validator(mode="after")
    def _is_target(self) -> Self:
        if not _TARGET.fullmatch(self.to.strip()):
            raise ValueError("write ref('model') or source('table')")
        return self

    @property
    def target(self) -> tuple[str, str]:
        """``('ref' or 'source', name)``."""
        found = _TARGET.fullmatch(self.to.strip())
        assert found is not None, "checked when read"
        return found[1], found[2]


class Expression(_Test):
    """An SQL expression over one row that must not be false; NULL means unknown and passes."""

    expression: str = Field(min_length=1)
    name: Name | None = None


def _bare_expression(value: Any) -> Any:
    return {"expression": value} if isinstance(value, str) else value


def _bare_name(value: Any) -> Any:
    if isinstance(value, str) and value in KINDS:
        return {value: {}}
    return value


class _AnyTest(Strict):
    not_null: NotNull | None = None
    unique: Unique | None = None
    accepted_values: AcceptedValues | None = None
    relationships: Relationships | None = None
    expression: Annotated[Expression | None, BeforeValidator(_bare_expression)] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a test is one of {', '.join(KINDS)}; each needs an item of its own")
        return self

    @property
    def chosen(self) -> tuple[Kind, _Test]:
        """Which test it is."""
        for kind in KINDS:
            test = getattr(self, kind)
            if test is not None:
                return kind, test
        raise AssertionError("checked when read")


AnyTest = Annotated[_AnyTest, BeforeValidator(_bare_name)]


class ColumnDoc(Strict):
    """One column that a model yields."""

    name: Name
    description: str | None = None
    unit: str | None = None
    tests: tuple[AnyTest, ...] = ()


class ModelDoc(Strict):
    """One model: what one row is, its columns, its tests."""

    name: Name
    description: str = Field(min_length=1, description="What one row is.")
    columns: tuple[ColumnDoc, ...] = ()
    tests: tuple[AnyTest, ...] = ()


class _DocFile(Strict):
    models: tuple[ModelDoc, ...]


@dataclass(frozen=True)
class DeclaredTest:
    """One test as it stands in a file.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    column : str or None
        The column it stands under; None for a test of the whole model.
    test : NotNull, Unique, AcceptedValues, Relationships or Expression
        Its parameters.
    place : str
        File and line, for messages.
    """

    kind: Kind
    column: str | None
    test: Any
    place: str

    @property
    def severity(self) -> Severity:
        """Whether a failure stops or only warns."""
        severity: Severity = self.test.severity
        return severity


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
    columns: dict[str, ColumnDoc] | None = None
    tests: tuple[DeclaredTest, ...] = ()

    def column(self, name: str) -> ColumnDoc | None:
        """What is written about one column, if anything."""
        return (self.columns or {}).get(name)


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
    def declared(tests: Iterable[_AnyTest], column: str | None, *loc: str | int) -> Iterator[DeclaredTest]:
        for index, one in enumerate(tests):
            kind, test = one.chosen
            line = document.line(("models", number, *loc, "tests", index))
            place = f"{document.path.as_posix()}:{line}"
            if column is not None and isinstance(test, NotNull | Unique) and test.columns:
                raise SqlModelError(
                    f"{place}: a test under a column is about that column alone.",
                    cure="Move it to the model's own `tests`.",
                )
            if column is None and kind in ("accepted_values", "relationships"):
                raise SqlModelError(f"{place}: {kind} is about one column.", cure="Move it under a column.")
            yield DeclaredTest(kind=kind, column=column, test=test, place=place)

    columns: dict[str, ColumnDoc] = {}
    tests: list[DeclaredTest] = []
    for index, column in enumerate(doc.columns):
        if column.name in columns:
            line = document.line(("models", number, "columns", index, "name"))
            raise SqlModelError(
                f"{document.path.as_posix()}:{line}: column {column.name!r} is described twice.", cure="Keep one."
            )
        columns[column.name] = column
        tests += declared(column.tests, column.name, "columns", index)
    tests += declared(doc.tests, None)
    return ModelDocs(description=doc.description, columns=columns, tests=tuple(tests))
