"""YAML that remembers its lines, so that a refusal can say where.

What belongs here: reading one YAML file, refusing what YAML lets slip (duplicate keys), and turning pydantic's
findings into file, line, key and cure. It serves cohort descriptions and the tests beside SQL models alike.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.settings import limit

Loc = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)

# The C parser is ten times as quick; both read the same YAML and keep the same marks.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: From so many missing keys on they are shown filled in, not one by one.
_MANY_MISSING = 3
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

    def below(self, key: str) -> Document:
        """What stands below a key at the top, with its lines in the file."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        lines: dict[Loc, int] = {(): self.lines.get((key,), 1)}
        lines |= {loc[1:]: line for loc, line in self.lines.items() if len(loc) > 1 and loc[0] == key}
        return Document(path=self.path, value=value, lines=lines)


_NODES, _DEPTH = "CLINICAL_ASSETS_MAX_YAML_NODES", "CLINICAL_ASSETS_MAX_YAML_DEPTH"


def read_yaml(path: Path) -> Document:
    """Read one YAML file with its lines.

    Raises
    ------
    SpecError
        When the file cannot be read, is no YAML, holds a key twice, or is larger or deeper than the limits; names file
        and line.
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
        _refuse_bombs(node, path)
        lines: dict[Loc, int] = {}
        value = _walk(loader, node, (), lines, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(
            f"{where}: not valid YAML: {error.problem or error.context}.",
            cure=_yaml_cure(text, mark.line if mark else None),
        ) from error
    except RecursionError:
        raise _too_deep(path, 1) from None
    finally:
        loader.dispose()
    return Document(path=path, value=value, lines=lines)


def read_value(text: str) -> Any:
    """A text as YAML reads it, such as ``5`` or ``[a, b]``; for values that stand outside of a YAML file.

    Raises
    ------
    yaml.YAMLError
        When it is no YAML.
    """
    loader = _LOADER(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _yaml_cure(text: str, line: int | None) -> str:
    lines = text.splitlines()
    found = lines[line] if line is not None and line < len(lines) else ""
    if re.search(r"unit:\s*[^'\"\s,}][^,}]*\[", found):
        return "Put a unit with brackets in quotes between braces, such as unit: 'm[IU]/L'."
    if "\t" in found[: len(found) - len(found.lstrip())]:
        return "Indent with spaces: YAML takes no tabs."
    return "Check indentation, quotes and colons near that line."


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
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:
        # Such as a number of thousands of digits, or a date that no calendar has.
        raise SpecError(
            f"{path}:{node.start_mark.line + 1}: the value cannot be read: {str(error).partition(';')[0]}.",
            cure="Correct it, or put it in quotes if it is text.",
        ) from None


def _refuse_bombs(root: yaml.Node, path: Path) -> None:
    """Refuse what grows without bound when aliases are spelled out, refers to itself, or lies too deep."""
    most, deepest = limit(_NODES), limit(_DEPTH)
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise SpecError(
                f"{path}:{node.start_mark.line + 1}: a value refers to itself.",
                cure="Take the alias out of its anchor.",
            )
        if depth > deepest:
            raise _too_deep(path, node.start_mark.line + 1)
        if id(node) not in sizes:
            open_nodes.add(id(node))
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            below = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
            sizes[id(node)] = 1 + sum(size(part, depth + 1) for part in below)
            open_nodes.discard(id(node))
        if sizes[id(node)] > most:
            raise SpecError(
                f"{path}:{node.start_mark.line + 1}: the description has more than {most:,} values once its aliases "
                "are spelled out.",
                cure=f"Write it without aliases of aliases, or set {_NODES}.",
            )
        return sizes[id(node)]

    size(root, 0)


def _too_deep(path: Path, line: int) -> SpecError:
    return SpecError(
        f"{path}:{line}: values lie more than {limit(_DEPTH)} levels deep.", cure=f"Write it flatter, or set {_DEPTH}."
    )


def parse(
    model: type[ModelT],
    document: Document,
    *,
    value: Any = None,
    noun: str = "description",
    example: Mapping[str, Any] | None = None,
) -> ModelT:
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
    example : mapping, optional
        A whole and right one, from which keys that are missing at the top are shown filled in.

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
        found = _causes(error.errors(include_url=False))
        missing = [str(each["loc"][0]) for each in found if each["type"] == "missing" and len(each["loc"]) == 1]
        shown = [name for name in missing if name in (example or {})]
        if len(shown) < _MANY_MISSING:
            shown = []
        problems = [
            _problem(document, model, each) for each in found if tuple(each["loc"]) not in {(n,) for n in shown}
        ]
        count = len(problems) + len(shown)
        if shown:
            problems.insert(0, _skeleton(document, {name: (example or {})[name] for name in shown}))
        head = f"{document.path}: {count} problem{'s' if count > 1 else ''} in this {noun}:"
        raise SpecError("\n".join([head, *problems])) from error


def _causes(found: Sequence[Any]) -> list[Any]:
    """Findings without those that only follow from another: a list is short because one of its items is wrong."""
    wrong = [tuple(each["loc"]) for each in found]
    return [
        each
        for each in found
        if each["type"] != "too_short"
        or not any(loc[: len(each["loc"])] == tuple(each["loc"]) and len(loc) > len(each["loc"]) for loc in wrong)
    ]


def _skeleton(document: Document, keys: Mapping[str, Any]) -> str:
    """Keys that are missing, filled in as YAML to be put into the file and changed."""
    text = yaml.safe_dump(dict(keys), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    head = f"  {document.path.name}: {len(keys)} keys are missing. Put this into the file, with your own words:"
    return "\n".join([head, *(f"    {line}" for line in text.rstrip().splitlines())])


def _problem(document: Document, model: type[BaseModel], found: Any) -> str:
    loc = _places_in_file(document, found["loc"])
    line = document.line(loc)
    key = ".".join(str(part) for part in loc) or "(whole)"
    message = found["msg"].removeprefix("Value error, ")
    cure = _CURES.get(found["type"], "")
    if found["type"] == "extra_forbidden":
        message = "unknown key"
        near = difflib.get_close_matches(str(loc[-1]), _keys_at(model, found["loc"][:-1]), n=1)
        if near and near[0] == loc[-1]:
            cure = f"`{near[0]}` belongs to another `kind` of this part."
        elif near:
            cure = f"Did you mean `{near[0]}`?"
    elif found["type"] == "missing":
        message = "missing key"
    elif found["type"] == "too_short":
        message, cure = "too few", f"Give at least {found['ctx']['min_length']}."
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
