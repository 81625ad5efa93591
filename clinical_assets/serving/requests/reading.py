"""From the bytes of a request to records, or to everything that is wrong with their shape.

What belongs here: JSON and types. What does not: the promises of values (``record_checks``), which are looked at too
where a shape is wrong, so that a caller sees all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.serving.requests.findings import RequestFinding

_WORDS: Mapping[str, str] = {
    "missing": "must be given; null where it was not measured and may be missing",
    "extra_forbidden": "is no field of this cohort",
    "int_type": "not a whole number",
    "float_type": "not a number",
    "finite_number": "not a finite number",
    "string_type": "not a text",
    "string_too_long": "too long",
    "bool_type": "neither true nor false",
    "list_type": "not a list",
    "too_long": "too many entries",
    "too_short": "at least one is needed",
    "less_than_equal": "too large",
    "greater_than_equal": "too small",
}
_CURES: Mapping[str, str] = {
    "missing": "Add the field.",
    "extra_forbidden": "Leave it out; the OpenAPI document at /openapi.json lists the fields.",
}
_GENERAL_CURE = "Send a value of the type that the OpenAPI document at /openapi.json gives."
#: Findings of one answer; a body of nonsense must not be answered with a body of the same size.
MOST_FINDINGS = 200


class MalformedRequest(ClinicalAssetsError):
    """A body that is no JSON, or too deeply nested."""


@dataclass(frozen=True)
class ReadRequest:
    """Records, and what is wrong with their shape; a cell that cannot be read is None in them."""

    records: Sequence[Mapping[str, Any]]
    findings: tuple[RequestFinding, ...]


def read_records(model: type[BaseModel], body: bytes) -> ReadRequest:
    """Read a request for predictions.

    Parameters
    ----------
    model : type of BaseModel
        As ``record_models.predict_model`` made it.
    body : bytes
        JSON as it came.

    Raises
    ------
    MalformedRequest
        It is no JSON.
    """
    read, findings = read_body(model, body)
    if read is not None:
        return ReadRequest(_dumped(read), findings)
    whole = _parsed(body)
    if isinstance(whole, dict):
        repaired = _repaired(model, {"records": whole.get("records")}, findings)
        if repaired is not None:
            return ReadRequest(_dumped(repaired), findings)
    return ReadRequest((), findings)


def read_body(model: type[BaseModel], body: bytes) -> tuple[BaseModel | None, tuple[RequestFinding, ...]]:
    """A body as a model, or what is wrong with its shape; errors as `read_records`."""
    try:
        return model.model_validate_json(body), ()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        if any(each["type"] == "json_invalid" for each in found):
            raise MalformedRequest("The body is no JSON.", cure="Send a JSON object.") from None
        return None, tuple(_finding(each) for each in found[:MOST_FINDINGS])


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        raise MalformedRequest("The body is no JSON.", cure="Send a JSON object.") from None


def _repaired(model: type[BaseModel], whole: Any, findings: Sequence[RequestFinding]) -> BaseModel | None:
    """The same request with each wrong cell null and each unknown field gone; None where that is no request either."""
    for finding in findings:
        *path, last = finding.pointer.split("/")[1:] or [""]
        place = whole
        for part in path:
            place = _child(place, part)
        if not isinstance(place, dict):
            continue
        if finding.rule == "extra_forbidden":
            place.pop(_plain(last), None)
        else:
            place[_plain(last)] = None
    try:
        return model.model_validate_json(to_json(whole))
    except (ValidationError, ValueError):
        return None


def _child(place: Any, part: str) -> Any:
    if isinstance(place, list):
        return place[int(part)] if part.isdigit() and int(part) < len(place) else None
    return place.get(_plain(part)) if isinstance(place, dict) else None


def _dumped(read: BaseModel) -> Sequence[Mapping[str, Any]]:
    return [record.model_dump(by_alias=True) for record in read.records]  # type: ignore[attr-defined]


def _finding(error: Mapping[str, Any]) -> RequestFinding:
    kind = str(error["type"])
    if kind.startswith(("date", "datetime")):
        detail = "not a calendar date as YYYY-MM-DD" if kind.startswith("date_") else "not a date with time of day"
    else:
        detail = _WORDS.get(kind, "of another type")
    return RequestFinding(_pointer(error["loc"]), kind, detail, _CURES.get(kind, _GENERAL_CURE))


def _pointer(location: Sequence[Any]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def _plain(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
