"""Results of a training that nobody ran, for tests that need its traces only."""

from __future__ import annotations

from typing import Any

from clinical_assets.modelling.description.training_results import TrainingResults

_COUNTS = {"n": 100, "events": 20, "by_class": [80, 20]}


def made_up_results(cohort: str, bundle_digest: str, **changes: Any) -> TrainingResults:
    """The least that a training writes, with what a test wants otherwise."""
    content = {
        "cohort": cohort,
        "synthetic": True,
        "n": 200,
        "events": 40,
        "classes": ["alive", "dead"],
        "action_from": 1,
        "data_digest": "sha256:" + "d" * 64,
        "seed": 1,
        "train": _COUNTS,
        "holdout": _COUNTS,
        "candidates": [],
        "selected": "logistic_ridge",
        "selection": {},
        "model": {
            "name": "logistic_ridge",
            "parameters": {},
            "imbalance": "none",
            "recalibration": {"intercepts": [0.0], "slopes": [1.0]},
            "feature_columns": ["age_years"],
        },
        "metrics": {},
        "insufficient": {},
        "threshold": {
            "value": 0.2,
            "optimum": None,
            "optimum_low": None,
            "optimum_high": None,
            "cost": None,
            "optimum_cost": None,
            "net_benefit": None,
            "advantage": None,
        },
        "business_table": [],
        "tiers": [],
        "tier_cost": None,
        "leakage": [],
        "warnings": [],
        "subgroups": [],
        "sample_size": {
            "n": 100,
            "events": 20,
            "n_parameters": 1,
            "r2_cox_snell": 0.1,
            "r2_source": "assumed",
            "required": 90,
            "is_met": True,
            "events_per_parameter": 20.0,
            "statement": "Enough.",
        },
        "contributions": {},
        "bundle_digest": bundle_digest,
        "training_digest": "sha256:" + "e" * 64,
        "provenance": {},
    }
    return TrainingResults.of({**content, **changes}, where="made-up results")
