"""The ward of a year as its team describes it, and the people who sign. All of it is made up."""

from __future__ import annotations

from typing import Any

from assets_tests.worlds.descriptions import decisions, minimal, small_search
from clinical_assets.governance.signing.signatures import Proof

# A cohort of a team may stand in for a shipped one of the same name, so this process knows its partition.
COHORT = "heart_disease"


TRAINED_ON = 2_000


PEOPLE = {"ann": ("Ann Acker", ("reviewer",)), "bob": ("Bob Brook", ("reviewer",))}


COLUMNS: dict[str, Any] = {
    "patient_id": {
        "type": "string",
        "role": "identifier",
        "nullable": False,
        "unique": True,
        "description": "Number of the patient.",
    },
    "age_years": {"type": "integer", "unit": "a", "range": [0, 120], "plausible": [18, 105], "description": "Age."},
    "sex": {"type": "string", "role": ["protected"], "categories": ["f", "m"], "description": "Sex."},
    "marker_a": {"type": "number", "unit": "mg/dL", "description": "A marker."},
    "marker_b": {"type": "number", "unit": "mg/dL", "description": "Another marker."},
    "pressure_mmhg": {"type": "number", "unit": "mm[Hg]", "range": [0, 400], "description": "Systolic pressure."},
    "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died in hospital."},
}


# Limits are the made-up owner's; a holdout of five hundred decides little, so they are wide.
DESCRIPTION: dict[str, Any] = minimal(
    name=COHORT,
    title="Ward patients whose truth is known (synthetic)",
    tables={
        "subjects": {
            "description": "One row per patient.",
            "source": {"kind": "file", "path": f"{COHORT}/subjects.csv"},
            "key": ["patient_id"],
            "columns": COLUMNS,
        }
    },
    modelling=small_search(),
    decisions=decisions(
        limits={
            "calibration_slope": [0.5, 1.8],
            "calibration_intercept": [-0.7, 0.7],
            "calibration_slope_difference": 1.0,
            "tpr_difference": 0.35,
            "fpr_difference": 0.35,
            "selection_rate_ratio": 0.3,
        }
    ),
    pccp={
        "reference": "QM-0 (made up)",
        "permitted": [
            {"kind": kind, "criteria": {"calibration_slope": [0.5, 1.8], "calibration_intercept": [-0.7, 0.7]}}
            for kind in ("intercept", "intercept_and_slope", "refit")
        ],
    },
    monitoring={"minimum_n": 200, "minimum_outcomes": 200, "minimum_events": 30},
)


def secret(login: str) -> str:
    """The password of a person of these tests."""
    return f"{login} says friend and enters"


BOB = Proof(login="bob", secret=secret("bob"))
