"""Descriptions of made-up cohorts as plain values: what every description has, and a small one that is right.

Each function returns values of the caller's own: change them freely.
"""

from __future__ import annotations

import copy
from typing import Any

_FRAME: dict[str, Any] = {
    "title": "A small cohort for tests",
    "disease": {"name": "Test disease", "icd10": ["Z00"]},
    "intended_use": "Show how a description behaves.",
    "not_for": "Patients.",
    "owner": {"team": "Tests"},
    "data": {"kind": "synthetic", "source": "made here", "licence": "CC0", "limits": ["It is made up."]},
}
_DECISIONS: dict[str, Any] = {
    "costs": {"false_positive": 1, "false_negative": 4, "rationale": "For tests."},
    "tiers": [{"name": "Low", "lower": 0, "action": "None."}, {"name": "High", "lower": 0.5, "action": "Look."}],
}
_SUBJECTS: dict[str, Any] = {
    "description": "One row per patient.",
    "source": {"kind": "file", "path": "small_cohort.csv"},
    "key": ["patient_id"],
    "columns": {
        "patient_id": {"type": "string", "role": "identifier", "nullable": False, "description": "Patient."},
        "age_years": {"type": "integer", "range": [0, 120], "unit": "a", "description": "Age."},
        "sex": {
            "type": "string",
            "role": ["feature", "protected"],
            "categories": ["f", "m"],
            "description": "Sex.",
        },
        "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died in hospital."},
    },
}
_CARD: dict[str, Any] = {
    "users": "Nurses of a ward that does not exist.",
    "population": "Patients who do not exist.",
    "risk_level": "low",
    "maintenance": "The tests, at every change.",
    "consent": "Not needed: the records are made up.",
    "funding": "No funds.",
    "contact": "The maintainers of the tests.",
    "horizon": "Until the end of a stay that never was.",
}
_CASE_WEIGHT: dict[str, Any] = {
    "type": "number",
    "role": "weight",
    "nullable": False,
    "range": [0.01, 500],
    "unit": "1",
    "description": "For how many patients of the region the record stands.",
}
_INFLUENZA = {"name": "Influenza", "icd10": ["J11.1"]}


def frame(name: str, **parts: Any) -> dict[str, Any]:
    """What the description of any kind of cohort has: name, title, disease, use, owner, data; and other parts."""
    return {"name": name, **copy.deepcopy(_FRAME), **parts}


def minimal(**parts: Any) -> dict[str, Any]:
    """A right description of one table with three columns and an outcome; some parts replaced."""
    return {
        **frame("small_cohort"),
        "prediction": {"moment": "At admission."},
        "subject": "patient_id",
        "tables": {"subjects": copy.deepcopy(_SUBJECTS)},
        "features": "declared_columns",
        "outcome": "target_class",
        "target": {"description": "Death in hospital.", "classes": ["alive", "dead"]},
        "decisions": decisions(),
        "card": dict(_CARD),
        **parts,
    }


def decisions(**parts: Any) -> dict[str, Any]:
    """Costs of one to four and two tiers; ``limits`` and the like as more parts."""
    return {**copy.deepcopy(_DECISIONS), **parts}


def case_weight() -> dict[str, Any]:
    """A right column of case weights."""
    return copy.deepcopy(_CASE_WEIGHT)


def small_search(**changes: Any) -> dict[str, Any]:
    """The part ``modelling``: one ridge, two trials, two inner and three outer folds."""
    search = {"trials": 2, "inner_folds": 2, "outer_folds": 3, "seed": 11, **changes}
    return {"candidates": ["logistic_ridge"], "search": search}


def paired(name: str, **parts: Any) -> dict[str, Any]:
    """A right description of paired samples in files, before and after."""
    return {
        **frame(name, title="Made-up volunteers", disease=dict(_INFLUENZA)),
        "expression": {"kind": "file", "matrix": "m.csv", "samples": "s.csv"},
        "conditions": {"control": "before", "affected": "after"},
        "positive": "symptomatic",
        "gene_sets": {"kind": "gmt", "path": "sets.gmt"},
        **parts,
    }
