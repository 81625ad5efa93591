"""Request models of a cohort, made from its description: types, units, limits, categories, nested tables.

What belongs here: the shape of a request, for reading it and for the OpenAPI document. What does not: the promises of
values (``record_checks`` asks the same validation as a batch); the limits in the document are there to be read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.outcomes.batch_spec import batch_spec

#: Most records of one request, and most rows of one nested table of a record.
MAX_RECORDS, MAX_NESTED = 1000, 1000
_LARGEST_WHOLE = 2**63 - 1


def _whole(value: object) -> object:
    """``54.0`` is a whole number in JSON, as JSON Schema has it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_TYPES: Mapping[str, Any] = {
    "integer": Annotated[int, BeforeValidator(_whole), Field(ge=-_LARGEST_WHOLE, le=_LARGEST_WHOLE)],
    "number": Annotated[float, Field(allow_inf_nan=False)],
    "string": Annotated[str, Field(max_length=10_000)],
    "boolean": bool,
    "date": dt.date,
    "datetime": dt.datetime,
}


def request_spec(spec: CohortSpec) -> CohortSpec:
    """The description that a request is held to: a batch's, under the description's own names, dates in ISO form."""
    early = batch_spec(spec, {name: f"{name}.jsonl" for name in spec.tables})
    tables = {
        name: table.model_copy(
            update={
                "columns": {
                    column: described.model_copy(update={"source_name": None, "format": None})
                    for column, described in table.columns.items()
                }
            }
        )
        for name, table in early.tables.items()
    }
    return early.model_copy(update={"tables": tables})


def nested_tables(spec: CohortSpec) -> tuple[str, ...]:
    """Tables that lie within a record as lists of rows."""
    return tuple(name for name in spec.tables if name != spec.subject_table)


def predict_model(spec: CohortSpec) -> type[BaseModel]:
    """The body of a request for predictions.

    Parameters
    ----------
    spec : CohortSpec
        As `request_spec` gave it.

    Raises
    ------
    SpecError
        A table has the name of a column of the subject table, so that a record cannot hold both.
    """
    clash = set(nested_tables(spec)) & set(spec.subjects.columns)
    if clash:
        raise SpecError(
            f"cohort {spec.name}: {min(clash)!r} names a table and a column of {spec.subject_table!r}.",
            cure="Name the table or the column otherwise: a request holds the table's rows under its name.",
        )
    fields: dict[str, Any] = _fields(spec, spec.subject_table, filled=set())
    for name in nested_tables(spec):
        row = _model(f"{spec.name}_{name}_row", spec.tables[name], _fields(spec, name, filled=set(spec.key)))
        described = spec.tables[name].description
        fields[f"t_{name}"] = (
            list[row],  # type: ignore[valid-type]
            Field(default_factory=list, alias=name, description=described, max_length=MAX_NESTED),
        )
    record = _model(f"{spec.name}_record", spec.subjects, fields)
    return create_model(
        f"{spec.name}_predict",
        __config__=ConfigDict(extra="forbid", strict=True),
        records=(
            list[record],  # type: ignore[valid-type]
            Field(min_length=1, max_length=MAX_RECORDS, description=f"One to {MAX_RECORDS} records."),
        ),
    )


def _fields(spec: CohortSpec, name: str, *, filled: set[str]) -> dict[str, Any]:
    """One field per column; those that the record around it fills may be left out."""
    table = spec.tables[name]
    needed = {*table.key, spec.subject_of(name), *([table.recorded] if table.recorded else [])}
    optional = {spec.subject_of(name), *filled} if name != spec.subject_table else set()
    fields: dict[str, Any] = {}
    for number, (column, described) in enumerate(table.columns.items()):
        # Read as nullable, so that a null is found together with all else; described as what is accepted.
        needs_value = (not described.nullable or column in needed) and column not in optional
        extra = partial(_describe, more=_limits(described), filled=needs_value)
        fields[f"c{number}"] = (
            (_on_clock(spec.timezone) if described.type == "datetime" else _TYPES[described.type]) | None,
            Field(
                default=... if needs_value else None,
                alias=column,
                title=column,
                description=_words(described),
                json_schema_extra=extra,
            ),
        )
    return fields


def _on_clock(timezone: str | None) -> Any:
    """Times as training has them: one with an offset on the clock of the cohort, or UTC where it describes none."""
    zone = ZoneInfo(timezone or "UTC")

    def turned(value: dt.datetime) -> dt.datetime:
        return value if value.tzinfo is None else value.astimezone(zone).replace(tzinfo=None)

    return Annotated[dt.datetime, AfterValidator(turned)]


def _model(name: str, table: Table, fields: Mapping[str, Any]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
    made: type[BaseModel] = create_model(name, __config__=config, __doc__=table.description, **fields)
    return made


def _words(column: Column) -> str:
    parts = [column.description]
    if column.unit not in (None, "1"):
        parts.append(f"Unit: {column.unit}.")
    if column.categories and any(code != label for code, label in column.categories.items()):
        parts.append("; ".join(f"{code}: {label}" for code, label in column.categories.items()) + ".")
    if column.missing:
        parts.append(f"Taken for not measured: {', '.join(map(str, column.missing))}.")
    return " ".join(parts)


def _describe(schema: dict[str, Any], *, more: Mapping[str, Any], filled: bool) -> None:
    """Put limits into a field's schema; one that must be filled takes no null, and no text of nothing."""
    schema |= more
    if filled:
        schema.update(schema.pop("anyOf")[0])
        schema.pop("default", None)
        if "enum" in schema:
            schema["enum"] = [code for code in schema["enum"] if code is not None]
        if schema["type"] == "string":
            schema.setdefault("pattern", r"\S")


def _limits(column: Column) -> dict[str, Any]:
    """Limits and an example, as JSON Schema names them; a value that stands for missing is no limit's business."""
    found: dict[str, Any] = {}
    low, high = column.range or (None, None)
    if column.unit is not None:
        found["x-unit"] = column.unit
    if column.missing:
        found["x-missing"] = list(column.missing)
    else:
        found |= {key: value for key, value in (("minimum", low), ("maximum", high)) if value is not None}
        if column.categories is not None:
            codes = list(column.categories)
            found["enum"] = [*(map(int, codes) if column.type == "integer" else codes), None]
        if column.pattern is not None:
            found["pattern"] = f"^(?:{column.pattern})$"
    example = _example(column)
    if example is not None:
        found["examples"] = [example]
    return found


def _example(column: Column) -> Any:
    """A value that would be accepted, where the description lets one be made."""
    if column.categories:
        code = next(iter(column.categories))
        return int(code) if column.type == "integer" else code
    if column.type in ("integer", "number"):
        low, high = column.plausible or column.range or (None, None)
        ends = [end for end in (low, high) if end is not None]
        middle = sum(ends) / len(ends) if ends else 1.0
        return round(middle) if column.type == "integer" else round(middle, 3)
    if column.type == "boolean":
        return False
    if column.type in ("date", "datetime"):
        return "2026-01-31" if column.type == "date" else "2026-01-31T08:30:00"
    return None if column.pattern else "a-1"
