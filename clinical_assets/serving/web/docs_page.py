"""The OpenAPI document as a page for people: one file of HTML, without script or an address outside this server.

What belongs here: from the document to what the page shows. What does not: the document (``openapi``), the template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

JsonSchema = Mapping[str, Any]
_REFERENCE = "#/components/schemas/"
_METHODS = ("get", "post")
_LIMITS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
    ("maxItems", "at most {} of them"),
    ("pattern", "pattern {}"),
)
_FORMATS = {"date": "date", "date-time": "date and time"}


@dataclass(frozen=True)
class ApiOperation:
    """One address as it can be asked: what it takes and gives, as names of schemas where they have one."""

    method: str
    path: str
    summary: str
    parameters: tuple[str, ...]
    body: str | None
    answer: str | None
    statuses: tuple[tuple[str, str], ...]
    example: str | None


@dataclass(frozen=True)
class ApiField:
    """One field of a body or an answer; `schema` is the one that it holds, where that has a name."""

    name: str
    type: str
    schema: str | None
    unit: str
    limits: str
    required: bool
    description: str


@dataclass(frozen=True)
class ApiSchema:
    """One body, answer or part of them."""

    name: str
    description: str
    fields: tuple[ApiField, ...]


@dataclass(frozen=True)
class ApiPage:
    """Every operation by cohort, and every schema that they name."""

    template: ClassVar[str] = "api.html.j2"
    title: str
    synthetic: bool
    version: str
    description: str
    secured: bool
    groups: tuple[tuple[str, tuple[ApiOperation, ...]], ...]
    schemas: tuple[ApiSchema, ...]


def api_page(document: Mapping[str, Any]) -> ApiPage:
    """What the page shows.

    Parameters
    ----------
    document : mapping
        As `openapi_document` made it.
    """
    schemas = document["components"]["schemas"]
    groups: dict[str, list[ApiOperation]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                tag = next(iter(item[method].get("tags", [])), "")
                groups.setdefault(tag, []).append(_operation(method, path, item[method], schemas))
    return ApiPage(
        title="Prediction API",
        synthetic=False,
        version=document["info"]["version"],
        description=document["info"]["description"],
        secured="securitySchemes" in document["components"],
        groups=tuple((tag, tuple(found)) for tag, found in groups.items()),
        schemas=tuple(
            ApiSchema(name, schema.get("description", ""), tuple(_fields(schema)))
            for name, schema in sorted(schemas.items())
        ),
    )


def _operation(method: str, path: str, told: Mapping[str, Any], schemas: Mapping[str, JsonSchema]) -> ApiOperation:
    body = _content(told.get("requestBody", {}))
    answer = _content(next(each for status, each in told["responses"].items() if status.startswith("2")))
    kinds = told.get("requestBody", {}).get("content", {})
    example = _example(body, schemas) if body is not None and all("json" in kind for kind in kinds) else None
    return ApiOperation(
        method=method.upper(),
        path=path,
        summary=told["summary"],
        parameters=tuple(f"{each['name']}: {each['description']}" for each in told.get("parameters", ())),
        body=None if body is None else _named(body),
        answer=None if answer is None else _named(answer),
        statuses=tuple((status, each["description"]) for status, each in told["responses"].items()),
        example=json.dumps(example, indent=1, ensure_ascii=False) if example else None,
    )


def _content(told: Mapping[str, Any]) -> JsonSchema | None:
    return next((each["schema"] for each in told.get("content", {}).values()), None)


def _fields(schema: JsonSchema) -> Iterator[ApiField]:
    needed = set(schema.get("required", ()))
    for name, told in schema.get("properties", {}).items():
        yield ApiField(
            name=name,
            type=_type(told),
            schema=_named(told),
            unit=str(told.get("x-unit", "")),
            limits="; ".join(words.format(each[key]) for each in _ways(told) for key, words in _LIMITS if key in each),
            required=name in needed,
            description=told.get("description", ""),
        )


def _ways(schema: JsonSchema) -> list[JsonSchema]:
    """The schema itself, and each of what it may be."""
    return [schema, *schema.get("anyOf", ())]


def _named(schema: JsonSchema) -> str | None:
    """Name of the schema that this one is, or holds as a list or as one of several ways."""
    for each in _ways(schema):
        held = each.get("items", each)
        if "$ref" in held:
            return str(held["$ref"]).removeprefix(_REFERENCE)
    return None


def _type(schema: JsonSchema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join("null" if each is None else str(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return _FORMATS.get(str(schema.get("format")), str(schema.get("type", "any value")))


def _example(schema: JsonSchema, schemas: Mapping[str, JsonSchema]) -> Any:
    """A value as the examples of its fields make it; None where there are none."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return _example(schemas[str(schema["$ref"]).removeprefix(_REFERENCE)], schemas)
    if schema.get("type") == "array":
        held = _example(schema.get("items", {}), schemas)
        return None if held is None else [held]
    found = {name: _example(told, schemas) for name, told in schema.get("properties", {}).items()}
    return {name: value for name, value in found.items() if value is not None} or None
