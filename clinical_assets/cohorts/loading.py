"""From a YAML file to a checked cohort description, and from the models to the schema that editors use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.decisions import TimeToEvent
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import Document, parse, read_yaml

#: The file by which Dagster declares a component in its folder.
COMPONENT_FILE = "defs.yaml"
# Folders of Dagster projects are not deep; one with data may be.
_COMPONENT_DEPTH = 4


class ComponentType(StrEnum):
    """Names of the Dagster components that are descriptions."""

    COHORT = "Cohort"
    FAMILY = "CohortFamily"


#: A right description, from which missing keys are shown filled in.
EXAMPLE: Mapping[str, Any] = {
    "title": "Readmission within 30 days of discharge",
    "disease": {"name": "Heart failure", "icd10": ["I50.9"]},
    "intended_use": "Who may use the risk, for which decision.",
    "not_for": "What it must not be used for.",
    "owner": {"team": "Quality of Care"},
    "data": {
        "kind": "real",
        "source": "Who collected the records, where and when.",
        "licence": "Under what they may be used.",
        "limits": ["What these records cannot support."],
    },
    "prediction": {"moment": "At discharge.", "horizon_days": 30},
    "subject": "patient_id",
    "tables": {
        "subjects": {
            "description": "One row per patient discharged alive.",
            "source": {"kind": "file", "path": "subjects.csv"},
            "key": ["patient_id"],
            "columns": {
                "patient_id": {"type": "string", "role": "identifier", "description": "Number of the patient."},
                "age_years": {"type": "integer", "unit": "a", "range": [18, 110], "description": "Age at discharge."},
                "is_readmitted": {"type": "boolean", "role": "target", "description": "Came back within 30 days."},
            },
        }
    },
    "features": "name_of_your_sql_file",
    "outcome": "target_class",
    "target": {
        "description": "Unplanned readmission within 30 days of discharge.",
        "classes": ["stayed out", "readmitted"],
    },
    "decisions": {
        "costs": {
            "false_positive": 1,
            "false_negative": 4,
            "rationale": "Why a missed event weighs so much more than a false alarm.",
        },
        "tiers": [
            {"name": "Low", "lower": 0, "action": "What is done below the threshold."},
            {"name": "High", "lower": 0.2, "action": "What is done from it on."},
        ],
    },
}


def component_folders(folder: Path) -> tuple[Path, ...]:
    """Folders below one that hold a component of ours, sorted; those that are hidden are not looked into."""
    found, level = [], [folder]
    for _ in range(_COMPONENT_DEPTH):
        level = [
            each for parent in level for each in sorted(parent.iterdir()) if each.is_dir() and each.name[0] not in "._"
        ]
        found += [each for each in level if component_type(each)]
    return tuple(found)


def component_type(folder: Path) -> ComponentType | None:
    """Which component of ours a folder holds, found without reading its YAML."""
    try:
        text = (folder / COMPONENT_FILE).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    stated = re.search(
        rf"^type:\s*[\"']?clinical_assets\.components\.({'|'.join(ComponentType)})\b", text, re.MULTILINE
    )
    return ComponentType(stated[1]) if stated else None


def is_component(path: Path) -> bool:
    """Whether a description is a Dagster component: ``defs.yaml`` in a folder that is named like what it describes."""
    return path.name == COMPONENT_FILE


def described_name(path: Path) -> str:
    """Name of the cohort or family that a file describes."""
    return path.parent.name if is_component(path) else path.stem


def read_description(path: Path) -> Document:
    """A description as it is written, with its lines; of a component what stands below ``attributes``.

    Raises
    ------
    SpecError
        When the file cannot be read, or is no YAML.
    """
    document = read_yaml(path)
    return document.below("attributes") if is_component(path) else document


def load_spec(path: Path) -> CohortSpec:
    """Read and check one cohort description.

    Parameters
    ----------
    path : Path
        A YAML file named like the cohort, or the ``defs.yaml`` of a folder that is.

    Raises
    ------
    SpecError
        Naming file, line, key and cure of everything that is wrong.
    """
    try:
        facts = path.stat()
    except OSError:
        return _load(path, 0, 0)  # says what is wrong
    return _load(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=256)
def _load(path: Path, changed_ns: int, size: int) -> CohortSpec:
    # Every check of a run asks for the description again; a file that was not written since is not parsed again.
    del changed_ns, size
    document, name = read_description(path), described_name(path)
    value = document.value
    if is_component(path) and isinstance(value, dict):
        value = {"name": name, **value}
    spec = parse(CohortSpec, document, value=value, noun="cohort description", example={"name": name, **EXAMPLE})
    if spec.name != name:
        what, to = ("folder", spec.name) if is_component(path) else ("file", f"{spec.name}.yaml")
        called = name if is_component(path) else path.name
        raise SpecError(
            f"{path}:{document.line(('name',))}: name: the cohort is called {spec.name!r} but the {what} {called!r}.",
            cure=f"Rename the {what} to {to} or the cohort to {name}.",
        )
    return spec


def json_schema(candidates: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a cohort description, for completion and checks in editors.

    Parameters
    ----------
    candidates : sequence of str
        Names that ``modelling.candidates`` may hold; the descriptions themselves do not know them.
    """
    schema = CohortSpec.model_json_schema(by_alias=True)
    # The parser takes these short forms; editors must not mark them as wrong.
    column = schema["$defs"]["Column"]["properties"]
    roles = column["role"]["items"]
    # Beside these, formulas of the description's own, which no schema can know.
    named = {"anyOf": [{"enum": list(candidates)}, {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}]}
    schema["$defs"]["Modelling"]["properties"]["candidates"]["items"] = named
    timed = TimeToEvent.model_json_schema()
    schema["$defs"]["TimeToEvent"] = timed
    outcome = schema["properties"]["outcome"]
    schema["properties"]["outcome"] = {"anyOf": [outcome, {"$ref": "#/$defs/TimeToEvent"}]}
    column["role"] = {"anyOf": [roles, {"type": "array", "items": roles, "minItems": 1}], "default": ["feature"]}
    column["categories"]["anyOf"].append({"type": "array", "items": {"type": ["string", "number"]}})
    coded = schema["$defs"]["ColumnCode"]["properties"]
    several = dict(coded["code"])
    coded["code"] = {"anyOf": [{"type": "string"}, several]}
    coded["values"]["additionalProperties"] = {"anyOf": [{"type": "string"}, several]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Cohort description", **schema}
