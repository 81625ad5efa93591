"""What a cohort's model is for: candidates, search, costs, risk tiers, limits of the gates.

The numbers here are the cohort owner's judgement; no module below may hold a default that decides for them
without being visible in this one.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Grown, Name, Strict
from clinical_assets.cohorts.external.published import Published

Imbalance = Literal["none", "class_weight", "smote", "borderline_smote"]
Criterion = Literal["expected_cost", "brier", "auroc", "ranked_probability_score"]


class Search(Strict):
    """Budget of the hyperparameter search; everything is reproducible from ``seed``."""

    trials: int = Field(default=12, ge=1, description="Settings tried per candidate and fold; slow ones get half.")
    inner_folds: int = Field(default=3, ge=2)
    outer_folds: int = Field(default=5, ge=2)
    seed: int = Field(default=20260101, ge=0)


class Modelling(Grown):
    """Which candidates compete, on what terms, and what is kept apart."""

    LATER: ClassVar[frozenset[str]] = frozenset({"published", "pooled"})

    # Any name by its form; which candidates there are is known further up (modelling.search.kinds).
    candidates: tuple[Name, ...] = Field(default=("logistic_ridge", "lightgbm", "xgboost"), min_length=1)
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
    pooled: tuple[Name, ...] = Field(
        default=(),
        description="Features that hold the number of a group (disease, hospital): a model reads the group's mean "
        "outcome in its place, drawn to that of all the more, the fewer cases the group has.",
    )
    published: dict[Name, Published] = Field(
        default_factory=dict,
        description="Published formulas; `candidates` may name them, and NAME_recalibrated for recalibrated risks.",
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


class ClassCosts(Strict):
    """What each decision costs for a patient of each class, for an outcome of more than two; the costs' unit.

    The decision is then the class with the least expected cost; without these costs it is the likeliest class.
    """

    matrix: tuple[tuple[float, ...], ...] = Field(
        min_length=3,
        description="One row per true class, in it the cost of deciding for each class, both as `classes`.",
    )
    rationale: str = Field(min_length=1)

    @model_validator(mode="after")
    def _right_decisions_are_cheapest(self) -> Self:
        k = len(self.matrix)
        for true, row in enumerate(self.matrix):
            if len(row) != k:
                raise ValueError(f"row {true} of the matrix has {len(row)} costs, expected {k}: one for each class")
            if not all(0 <= cost < math.inf for cost in row):
                raise ValueError(f"row {true} of the matrix holds a cost that is negative or no number")
            wrong = min((cost, decided) for decided, cost in enumerate(row) if decided != true)
            if wrong[0] <= row[true]:
                raise ValueError(
                    f"row {true} of the matrix: deciding for class {wrong[1]} costs {wrong[0]:g}, the right decision "
                    f"{row[true]:g}; being right must be the cheapest"
                )
        return self

    def thresholds(self, action_from: int) -> tuple[float, float]:
        """Lowest and highest probability from which acting is cheaper, over all pairs of a class on either side.

        Of a patient who can only be of class a (below `action_from`) or b (from it on), b is decided from the
        probability regret_a / (regret_a + regret_b) on, where regret is what the wrong of the two decisions costs more.

        >>> costs = ClassCosts(matrix=[[0, 1, 2], [4, 0, 1], [18, 8, 0]], rationale="Judgement.")
        >>> costs.thresholds(action_from=1)
        (0.1, 0.2)
        """
        cost = self.matrix
        found = []
        for low, high in itertools.product(range(action_from), range(action_from, len(cost))):
            too_much, too_little = cost[low][high] - cost[low][low], cost[high][low] - cost[high][high]
            found.append(too_much / (too_much + too_little))
        return min(found), max(found)


class Tier(Strict):
    """One risk tier: from ``lower`` (inclusive) up to the next tier, and what is recommended for it."""

    name: str = Field(min_length=1)
    lower: float = Field(ge=0, lt=1)
    action: str = Field(min_length=1)
    cost: float = Field(default=0.0, ge=0, description="Cost of the action per patient, in the costs' unit.")


class GateLimits(Grown):
    """Limits that a model must keep to be released. Lower bounds are compared with the interval's lower end."""

    LATER: ClassVar[frozenset[str]] = frozenset({"subgroup_events"})

    auroc_lower: float = Field(default=0.60, ge=0.5, le=1)
    calibration_slope: tuple[float, float] = (0.7, 1.4)
    calibration_intercept: tuple[float, float] = (-0.5, 0.5)
    missing_share: float = Field(default=0.5, ge=0, le=1)
    refused_share: float = Field(default=0.05, ge=0, le=1)
    minimum_events: int = Field(default=20, ge=1)
    subgroup_minimum: int = Field(default=50, ge=2)
    subgroup_events: int = Field(
        default=10,
        ge=2,
        description="Least rows of each outcome that a comparison of groups rests on; twice as many for a slope.",
    )
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


class Decisions(Grown):
    """Costs, threshold range for the decision curve, tiers and limits of one cohort."""

    LATER: ClassVar[frozenset[str]] = frozenset({"class_costs"})

    costs: Costs
    class_costs: ClassCosts | None = Field(default=None, description="Only for more than two classes.")
    threshold_range: tuple[float, float] = Field(
        default=(0.05, 0.60),
        description="Of the decision curve. Where it is not given, it is widened to a quarter and four times the "
        "operating threshold.",
    )
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


# Costs are round numbers: a tier that begins this much above the threshold still means the same.
_ROOM = 1.1


def contradictions(decisions: Decisions, *, action_from: int = 1) -> tuple[str, ...]:
    """Where tiers, thresholds and curve of a description contradict each other, in words with the numbers.

    The threshold C_FP / (C_FP + C_FN) says from which risk acting is right. Whoever lies above it must not be told what
    the lowest tier tells, an action may not become cheaper as the risk rises, and the curve that is shown must hold the
    threshold that is used. Where classes have costs of their own, the threshold must lie among those that follow from
    them.

    Examples
    --------
    >>> low = Tier(name="Low", lower=0, action="Nothing.")
    >>> costs = Costs(false_positive=1, false_negative=4, rationale="Judgement.")
    >>> contradictions(Decisions(costs=costs, tiers=(low, Tier(name="High", lower=0.6, action="Visit."))))
    ("the costs act from 0.2, but tier 'Low' reaches to 0.6: whoever lies between is alerted and told 'Nothing.'",)
    >>> contradictions(Decisions(costs=costs, tiers=(low, Tier(name="High", lower=0.2, action="Visit."))))
    ()
    """
    t, tiers = decisions.costs.threshold, decisions.tiers
    found = []
    if tiers[1].lower > t * _ROOM:
        found.append(
            f"the costs act from {t:.3g}, but tier {tiers[0].name!r} reaches to {tiers[1].lower:.3g}: whoever lies "
            f"between is alerted and told {tiers[0].action!r}"
        )
    for lower, upper in itertools.pairwise(tiers):
        if upper.cost < lower.cost:
            found.append(
                f"tier {upper.name!r} lies above {lower.name!r} but its action costs less ({upper.cost:g} < "
                f"{lower.cost:g}): the higher risk gets the milder action"
            )
    if "threshold_range" in decisions.model_fields_set:
        low, high = decisions.threshold_range
        if not low <= t <= high:
            found.append(
                f"threshold_range is {low:.3g} to {high:.3g} and does not hold the threshold {t:.3g} from which the "
                "costs act: the decision curve says nothing of the model in use"
            )
    if decisions.class_costs is not None:
        low, high = decisions.class_costs.thresholds(action_from)
        if not low / _ROOM <= t <= high * _ROOM:
            found.append(
                f"the costs act from {t:.3g}, but by class_costs acting is cheaper from {low:.3g} to {high:.3g}, "
                "depending on the class: patients are alerted and decided to need nothing, or the other way round"
            )
    return tuple(found)


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
