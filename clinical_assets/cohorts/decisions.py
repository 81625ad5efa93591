"""What a cohort's model is for: candidates, search, costs, risk tiers, limits of the gates.

The numbers here are the cohort owner's judgement; no module below may hold a default that decides for them
without being visible in this one.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Name, Strict

CandidateName = Literal[
    "logistic_ridge", "logistic_elastic_net", "lightgbm", "xgboost", "random_forest", "naive_bayes", "mlp"
]
Imbalance = Literal["none", "class_weight", "smote", "borderline_smote"]
Criterion = Literal["expected_cost", "brier", "auroc", "ranked_probability_score"]


class Search(Strict):
    """Budget of the hyperparameter search; everything is reproducible from ``seed``."""

    trials: int = Field(default=12, ge=1, description="Settings tried per candidate and fold; slow ones get half.")
    inner_folds: int = Field(default=3, ge=2)
    outer_folds: int = Field(default=5, ge=2)
    seed: int = Field(default=20260101, ge=0)


class Modelling(Strict):
    """Which candidates compete, on what terms, and what is kept apart."""

    candidates: tuple[CandidateName, ...] = Field(default=("logistic_ridge", "lightgbm", "xgboost"), min_length=1)
    imbalance: tuple[Imbalance, ...] = Field(default=("none",), min_length=1)
    criterion: Criterion = "expected_cost"
    search: Search = Search()
    holdout_share: float = Field(default=0.25, gt=0, lt=1)
    separation_limit: float = Field(
        default=0.98, gt=0.5, le=1, description="AUROC of a single column above which it is taken for a leak."
    )
    split_by: str | None = Field(default=None, description="Protected attribute for leave-one-group-out views.")
    known_before: dict[str, str] = Field(
        default_factory=dict,
        description="Features that look like leaks although known when the prediction is made, each with the reason.",
    )


class Costs(Strict):
    """What a wrong decision costs, in one currency or utility per patient."""

    false_positive: float = Field(gt=0)
    false_negative: float = Field(gt=0)
    unit: str = "relative"
    rationale: str = Field(min_length=1)

    @property
    def threshold(self) -> float:
        """Probability above which acting is cheaper than not acting: C_FP / (C_FP + C_FN)."""
        return self.false_positive / (self.false_positive + self.false_negative)


class Tier(Strict):
    """One risk tier: from ``lower`` (inclusive) up to the next tier, and what is recommended for it."""

    name: str = Field(min_length=1)
    lower: float = Field(ge=0, lt=1)
    action: str = Field(min_length=1)
    cost: float = Field(default=0.0, ge=0, description="Cost of the action per patient, in the costs' unit.")


class GateLimits(Strict):
    """Limits that a model must keep to be released. Lower bounds are compared with the interval's lower end."""

    auroc_lower: float = Field(default=0.60, ge=0.5, le=1)
    calibration_slope: tuple[float, float] = (0.7, 1.4)
    calibration_intercept: tuple[float, float] = (-0.5, 0.5)
    missing_share: float = Field(default=0.5, ge=0, le=1)
    refused_share: float = Field(default=0.05, ge=0, le=1)
    minimum_events: int = Field(default=20, ge=1)
    subgroup_minimum: int = Field(default=50, ge=2)
    tpr_difference: float = Field(default=0.2, gt=0, le=1)
    fpr_difference: float = Field(default=0.2, gt=0, le=1)
    latency_ms: float = Field(default=50.0, gt=0)
    calibration_slope_difference: float = Field(default=0.5, gt=0)
    calibration_intercept_difference: float = Field(default=0.7, gt=0)
    selection_rate_ratio: float = Field(
        default=0.5, gt=0, le=1, description="Lowest ratio of two groups' alert rates at equal need; 1 is equal."
    )
    net_benefit_difference: float = Field(default=0.1, gt=0, le=1)
    label_noise_share: float = Field(default=0.1, gt=0, le=1, description="Highest share of labels in doubt.")
    data_age_days: int | None = Field(default=None, gt=0, description="Age of the newest ingestion that is too old.")
    bundle_mb: float = Field(default=100.0, gt=0, description="Largest size of a bundle, in megabytes.")
    non_inferiority_margin_auroc: float = Field(default=0.02, ge=0, le=0.5)


class Decisions(Strict):
    """Costs, threshold range for the decision curve, tiers and limits of one cohort."""

    costs: Costs
    threshold_range: tuple[float, float] = (0.05, 0.60)
    tiers: tuple[Tier, ...] = Field(min_length=2)
    limits: GateLimits = GateLimits()

    @model_validator(mode="after")
    def _tiers_cover(self) -> Self:
        lowers = [tier.lower for tier in self.tiers]
        if lowers[0] != 0:
            raise ValueError(f"the first tier starts at {lowers[0]:g}; it must start at 0")
        if lowers != sorted(set(lowers)):
            raise ValueError("tiers must rise from one to the next")
        low, high = self.threshold_range
        if not 0 < low < high < 1:
            raise ValueError("threshold_range must rise within 0 and 1")
        return self


class Target(Strict):
    """What is predicted, as the outcome model yields it.

    ``classes`` are labels of the outcome's values 0, 1, ... in rising severity; two of them make it binary. Costs,
    threshold and tiers speak of one risk: the probability of class ``action_from`` or a more severe one.
    """

    name: Name = "outcome"
    description: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2, description="Labels for 0, 1, ... in rising severity.")
    action_from: int = Field(default=1, ge=1, description="Number of the mildest class in which acting is right.")

    @model_validator(mode="after")
    def _action_class_exists(self) -> Self:
        if self.action_from >= len(self.classes):
            raise ValueError(
                f"action_from is {self.action_from}, but classes are numbered 0 to {len(self.classes) - 1}"
            )
        return self

    @property
    def binary(self) -> bool:
        """True when there are two classes."""
        return len(self.classes) == 2
