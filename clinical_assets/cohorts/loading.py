"""From a YAML file to a checked cohort description, and from the models to the schema that editors use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import parse, read_yaml

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
            "false_negative": 5,
            "rationale": "Why a missed event weighs so much more than a false alarm.",
        },
        "tiers": [
            {"name": "Low", "lower": 0, "action": "What is done below the threshold."},
            {"name": "High", "lower": 0.3, "action": "What is done from it on."},
        ],
    },
}


def load_spec(path: Path) -> CohortSpec:
    """Read and check one cohort description.

    Parameters
    ----------
    path : Path
        A YAML file named like the cohort.

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
    document = read_yaml(path)
    spec = parse(CohortSpec, document, noun="cohort description", example={"name": path.stem, **EXAMPLE})
    if spec.name != path.stem:
        raise SpecError(
            f"{path}:{document.line(('name',))}: name: the cohort is called {spec.name!r} but the file {path.name!r}.",
            cure=f"Rename the file to {spec.name}.yaml or the cohort to {path.stem}.",
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
    column["role"] = {"anyOf": [roles, {"type": "array", "items": roles, "minItems": 1}], "default": ["feature"]}
    column["categories"]["anyOf"].append({"type": "array", "items": {"type": ["string", "number"]}})
    coded = schema["$defs"]["ColumnCode"]["properties"]
    several = dict(coded["code"])
    coded["code"] = {"anyOf": [{"type": "string"}, several]}
    coded["values"]["additionalProperties"] = {"anyOf": [{"type": "string"}, several]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Cohort description", **schema}
