"""YAML that remembers its lines, so that a refusal can say where.

What belongs here: reading one YAML file, refusing what YAML lets slip (duplicate keys), and turning pydantic's
findings into file, line, key and cure. It serves cohort descriptions and the tests beside SQL models alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from clinical_assets.errors import SpecError

Loc = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

# The C parser is ten times as quick; both read the same YAML and keep the same marks.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CURES = {
    "extra_forbidden": "Remove the key, or correct its spelling.",
    "missing": "Add the key.",
    "union_tag_invalid": "Use one of the kinds that the message lists.",
    "union_tag_not_found": "Add `kind`.",
}


@dataclass(frozen=True)
class Document:
    """One YAML file: its value and the line of every key and item."""

    path: Path
    value: Any
    lines: dict[Loc, int]

    def line(self, loc: Sequence[str | int]) -> int:
        """Line of the nearest enclosing place that stands in the file, counted from 1."""
        place = tuple(loc)
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_yaml(path: Path) -> Document:
    """Read one YAML file with its lines.

    Raises
    ------
    SpecError
        When the file cannot be read, is no YAML, or holds a key twice; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}.", cure="Save the file as UTF-8.") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.", cure="Check the path and its rights.") from error
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{path}:1: the file is empty.", cure="Describe the cohort, or remove the file.")
        lines: dict[Loc, int] = {}
        value = _walk(loader, node, (), lines, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(
            f"{where}: not valid YAML: {error.problem or error.context}.",
            cure="Check indentation, quotes and colons near that line.",
        ) from error
    finally:
        loader.dispose()
    return Document(path=path, value=value, lines=lines)


def _walk(loader: Any, node: yaml.Node, loc: Loc, lines: dict[Loc, int], path: Path) -> Any:
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in result:
                raise SpecError(
                    f"{path}:{line}: key {key!r} stands twice in one mapping (first on line {lines[(*loc, key)]}).",
                    cure="Keep one of the two.",
                )
            lines[(*loc, key)] = line
            result[key] = _walk(loader, value_node, (*loc, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_walk(loader, item, (*loc, index), lines, path) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def parse(model: type[Model], document: Document, *, value: Any = None, noun: str = "description") -> Model:
    """Check a document against a model.

    Parameters
    ----------
    model : type
        The pydantic model.
    document : Document
        Gives file and lines; its value is checked unless ``value`` is given.
    value : Any, optional
        A value derived from the document (a family's member, say) to check in its stead.
    noun : str
        What the file holds, for the message.

    Raises
    ------
    SpecError
        With one line per finding: file, line, key, what is wrong, cure.
    """
    subject = document.value if value is None else value
    if not isinstance(subject, dict):
        raise SpecError(f"{document.path}:1: a {noun} is a mapping of keys.", cure="Start with `name: ...`.")
    try:
        return model.model_validate(subject)
    except ValidationError as error:
        problems = [_problem(document, model, found) for found in error.errors(include_url=False)]
        count = len(problems)
        head = f"{document.path}: {count} problem{'s' if count > 1 else ''} in this {noun}:"
        raise SpecError("\n".join([head, *problems])) from error


def _problem(document: Document, model: type[BaseModel], found: Any) -> str:
    loc = _places_in_file(document, found["loc"])
    line = document.line(loc)
    key = ".".join(str(part) for part in loc) or "(whole)"
    message = found["msg"].removeprefix("Value error, ")
    cure = _CURES.get(found["type"], "")
    if found["type"] == "extra_forbidden":
        message = "unknown key"
        near = difflib.get_close_matches(str(loc[-1]), _keys_at(model, found["loc"][:-1]), n=1)
        if near:
            cure = f"Did you mean `{near[0]}`?"
    elif found["type"] == "missing":
        message = "missing key"
    elif isinstance(found["input"], bool) and found["type"].startswith("string"):
        cure = "YAML reads yes, no, on, off as true or false: put it in quotes."
    text = f"  {document.path.name}:{line}: {key}: {message}"
    if found["type"] not in ("missing", "extra_forbidden") and isinstance(found["input"], str | int | float | bool):
        text += f" (found {found['input']!r})"
    return f"{text}. {cure}".rstrip() if cure else f"{text}."


def _places_in_file(document: Document, loc: Sequence[str | int]) -> Loc:
    """Pydantic adds the tags of unions to a location; keep only what stands in the file, and the last part."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        if (*kept, part) in document.lines or index == len(loc) - 1:
            kept.append(part)
    return tuple(kept)


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Every key the models below this one know; near enough to guess a misspelling from."""
    schema = TypeAdapter(model).json_schema(by_alias=True)
    names: set[str] = set(schema.get("properties", ()) if not loc else ())
    if not names:
        for definition in schema.get("$defs", {}).values():
            names |= set(definition.get("properties", ()))
    return sorted(names)
