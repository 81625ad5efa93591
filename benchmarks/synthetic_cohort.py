"""The synthetic cohort of the benchmarks that need a warehouse: patients with numbers, and no disease."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.warehouse.store.warehouse import Warehouse

COHORT = "benchmark_cohort"
TIERS = [{"name": "Low", "lower": 0, "action": "-"}, {"name": "High", "lower": 0.5, "action": "-"}]
THREADS = os.cpu_count() or 1


def names_of(features: int) -> tuple[str, ...]:
    """Names of the features."""
    return tuple(f"f{i:02d}" for i in range(features))


def description(table: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A right description as plain values: one table named ``subjects``, and what a benchmark needs otherwise."""
    (subject,) = table["key"]
    return {
        "name": COHORT,
        "title": "Synthetic records for timing",
        "disease": {"name": "None", "icd10": ["Z00"]},
        "intended_use": "Timing.",
        "not_for": "Anything else.",
        "owner": {"team": "Benchmarks"},
        "data": {"kind": "synthetic", "source": "made here", "licence": "CC0", "limits": ["It is made up."]},
        "prediction": {"moment": "Never."},
        "subject": subject,
        "tables": {"subjects": {"description": "Synthetic patients.", **table}},
        "features": "declared_columns",
        "outcome": "target_class",
        "target": {"description": "None.", "classes": ["no", "yes"]},
        "decisions": {"costs": {"false_positive": 1, "false_negative": 1, "rationale": "None."}, "tiers": TIERS},
        **parts,
    }


def describe(features: int) -> CohortSpec:
    """The cohort: an identifier, a protected attribute, numbers, an outcome."""
    from clinical_assets.cohorts.spec import CohortSpec

    columns: dict[str, Any] = {
        "patient_id": {"type": "integer", "role": "identifier", "nullable": False, "description": "Number."},
        "sex": {"type": "string", "role": "protected", "categories": ["f", "m"], "description": "Sex."},
        "outcome": {"type": "boolean", "role": "target", "nullable": False, "description": "Outcome."},
    }
    columns |= {name: {"type": "number", "description": "A number."} for name in names_of(features)}
    source = {"kind": "file", "path": "none.csv"}
    return CohortSpec.model_validate(description({"source": source, "key": ["patient_id"], "columns": columns}))


def open_warehouse(folder: Path, memory: str) -> Warehouse:
    """The cohort's warehouse below ``folder``."""
    from clinical_assets.foundation.settings import Settings
    from clinical_assets.warehouse.store.warehouse import Warehouse

    here = replace(Settings.from_environment(), data=folder / "data", memory_limit=memory, threads=THREADS)
    return Warehouse(COHORT, replace(here, master_key=None))
