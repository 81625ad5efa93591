"""What a cohort's model is for: candidates, search, costs, risk tiers, limits of the gates.

The numbers here are the cohort owner's judgement; no module below may hold a default that decides for them
without being visible in this one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from clinical_assets.cohorts.base import Grown, Name, Scalar, Strict
from clinical_assets.cohorts.external.published import Published

Imbalance = Literal["none", "class_weight", "smote", "borderline_smote", "smotenc", "focal"]
#: Ways that invent records of the rare class.
SAMPLERS: tuple[Imbalance, ...] = ("smote", "borderline_smote", "smotenc")
Criterion = Literal["expected_cost", "brier", "auroc", "ranked_probability_score"]


class Search(Strict):
    """Budget of the hyperparameter search; everything is reproducible from ``seed``."""

    trials: int = Field(default=12, ge=1, description="Settings tried per candidate and fold; slow ones get half.")
    inner_folds: int = Field(default=3, ge=2)
    outer_folds: int = Field(default=5, ge=2)
    seed: int = Field(default=20260101, ge=0)


class LabelNoise(Strict):
    """What is done about labels that may be wrong: their share is estimated, and the most doubted may count less."""

    doubted_weight: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="What a row counts in fits whose label is among the most doubted, as many as are wrong at least "
        "(lower end of the interval); all rows count alike when left out.",
    )


_WORDS = re.compile(r"[a-z]{2,}( [a-z]{2,})?")


class NoteWords(Strict):
    """Words of a free text that become features: how often each note says them, weighed inside the folds (TF-IDF).

    The list is written down, because a word that only a name or a place explains must be seen by a person before a
    model holds it.
    """

    words: tuple[str, ...] = Field(
        min_length=1,
        max_length=1000,
        description="Single words, or pairs of neighbouring ones, of two letters or more; lower case without accents.",
    )
    minimum_persons: int = Field(
        default=5,
        ge=5,
        description="A word that fewer people's notes say is refused, and not learned where fewer rows of a fold do.",
    )

    @model_validator(mode="after")
    def _words_are_normal(self) -> Self:
        for word in self.words:
            if not _WORDS.fullmatch(word):
                raise ValueError(
                    f"{word!r} is no word of a normalised note: one or two words of lower case letters a to z, two "
                    "letters each at least, without accents"
                )
        doubled = [word for word, count in Counter(self.words).items() if count > 1]
        if doubled:
            raise ValueError(f"the word {doubled[0]!r} is listed twice")
        return self


def word_feature(column: str, word: str) -> str:
    """Name of the feature that counts a word in a note.

    >>> word_feature("note", "muscle tone")
    'note_word_muscle_tone'
    """
    return f"{column}_word_{word.replace(' ', '_')}"


class Modelling(Grown):
    """Which candidates compete, on what terms, and what is kept apart."""

    LATER: ClassVar[frozenset[str]] = frozenset({"published", "pooled", "notes", "label_noise"})

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
    notes: dict[Name, NoteWords] = Field(
        default_factory=dict,
        description="Columns of role note in the subject table, and the words of each that models read.",
    )
    label_noise: LabelNoise | None = Field(
        default=None,
        description="Says how many training labels are estimated to be wrong, and lets doubted count less.",
    )
    published: dict[Name, Published] = Field(
        default_factory=dict,
        description="Published formulas; `candidates` may name them, and NAME_recalibrated for recalibrated risks.",
    )

    @property
    def word_features(self) -> dict[str, tuple[str, str]]:
        """Note and word of each feature that counts one, by the feature's name."""
        return {word_feature(note, word): (note, word) for note, each in self.notes.items() for word in each.words}


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


TimeUnit = Literal["days", "weeks", "months", "years"]
#: The outcome model that makes classes at a horizon out of times and events.
FIXED_HORIZON = "fixed_horizon"
_AS_VARS = {
    "time": "time_column",
    "start": "start_column",
    "unit": "time_unit",
    "event": "event_column",
    "event_values": "event_values",
    "competing": "competing_values",
}


class TimeToEvent(Strict):
    """An outcome that is a time to an event, of which some are followed for a shorter time than the horizon.

    Times count from the index date, where there is one, and else from the moment of prediction. Values of the event's
    column that are neither of the event nor competing mean that follow-up ended without either: censored.
    """

    time: Name | Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Column of the subject table: time to the event or to the end of follow-up. Of several the first "
        "that has a value."
    )
    start: Name | None = Field(
        default=None, description="Column with the time from which is counted, where times are ages, for one."
    )
    unit: TimeUnit = Field(default="days", description="A month has 30.4375 days, a year 365.25.")
    event: Name = Field(description="Column of the subject table that says what ended the follow-up.")
    event_values: tuple[Scalar, ...] | None = Field(
        default=None, min_length=1, description="Its values that mean the event; a boolean needs none."
    )
    competing: tuple[Scalar, ...] | None = Field(
        default=None, min_length=1, description="Its values after which the event itself cannot come."
    )
    horizon_days: int = Field(gt=0, description="Days after the prediction within which the event counts.")

    @model_validator(mode="after")
    def _codes_differ(self) -> Self:
        if self.competing is not None and self.event_values is None:
            raise ValueError("competing values need event_values: codes tell the two apart")
        both = [value for value in self.competing or () if value in (self.event_values or ())]
        if both:
            raise ValueError(f"{both[0]!r} is both a value of the event and a competing one")
        return self

    def as_vars(self) -> dict[str, Scalar | list[Scalar]]:
        """The variables by which the outcome model reads it; the horizon is the prediction's."""
        given = self.model_dump(exclude_unset=True, exclude_none=True)
        return {
            name: list(given[key]) if isinstance(given[key], tuple) else given[key]
            for key, name in _AS_VARS.items()
            if key in given
        }

    @classmethod
    def of_vars(cls, given: Mapping[str, Scalar | list[Scalar]], horizon_days: int | None) -> TimeToEvent | None:
        """As `as_vars` gave it; None where a variable is missing or of another kind, which the outcome model says."""
        found: dict[str, Any] = {key: given[name] for key, name in _AS_VARS.items() if name in given}
        several = ("event_values", "competing")
        found |= {key: [found[key]] for key in several if key in found and not isinstance(found[key], list)}
        try:
            return cls.model_validate({"horizon_days": given.get("horizon_days", horizon_days), **found})
        except ValidationError:
            return None


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
