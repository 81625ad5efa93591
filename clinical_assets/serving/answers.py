"""Answers as JSON, as types: the same for sending them and for the OpenAPI document.

What belongs here: their fields, and what a caller with fewer rights does not see. What does not: making them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_assets.experiments.assignment import TrialArm
from clinical_assets.modelling.bundle.bundle_description import COVERED
from clinical_assets.serving.access.callers import Right
from clinical_assets.serving.predictions import LoggedAnswer, UnitAnswer
from clinical_assets.serving.scoring.reasons import NAMED, Reasons


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ReasonAnswer(_Answer):
    """The share of one feature in the served log-odds."""

    feature: str
    label: str = Field(description="What the feature is called.")
    value: float | None = Field(description="null where it is missing.")
    unit: str | None = Field(description="UCUM unit.")
    contribution: float = Field(description="In log-odds.")
    direction: Literal["raises", "lowers", "leaves"]


class ReasonsAnswer(_Answer):
    """base + sum of the contributions + rest = log_odds, which the risk is made from."""

    of_class: str = Field(description="Class whose log-odds are explained.")
    base: float
    contributions: list[ReasonAnswer] = Field(description="The largest first.")
    rest: float = Field(description="Contributions of the features that are not named.")
    log_odds: float


class IntervalAnswer(_Answer):
    """Where the true risk of people with the same values lies; `model.uncertainty` says what is covered."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    level: float = Field(description="Of the interval.")
    other_tier_prob: float = Field(ge=0, le=1, description="Probability that the true risk lies in another tier.")


class WarningAnswer(_Answer):
    """What must be known about a record when its risk is read."""

    code: str
    field: str
    detail: str


class PredictionAnswer(_Answer):
    """What the model says of one record, in the order of the request."""

    prediction: str = Field(description="Name of the line in the prediction log; outcomes and actions refer to it.")
    predicted_class: str
    tier: str
    action: str = Field(description="What the tier recommends.")
    is_alert: bool = Field(description="Whether the risk reaches the threshold.")
    risk: float | None = Field(None, ge=0, le=1, description="With the right `probability`.")
    risk_interval: IntervalAnswer | None = Field(
        None, description="With the right `probability`, where the model says how certain it is."
    )
    class_probabilities: dict[str, float] | None = Field(
        None, description="With the right `probability`, of each class where there are more than two; they add up to 1."
    )
    reasons: ReasonsAnswer | None = Field(None, description="With the right `reasons`.")
    warnings: list[WarningAnswer]
    arm: TrialArm | None = Field(None, description="TrialArm of an experiment that the record's unit is assigned to.")
    model: str | None = Field(None, description="Digest of the model that answered this record, in an experiment.")


class ModelNamed(_Answer):
    """Which model answered; of records that an experiment divides between two, the champion."""

    digest: str
    promotion: str | None = Field(
        description="Id of the recorded promotion or rollback that made it champion; null for a challenger."
    )
    since: str | None = Field(description="UTC; null for a challenger.")
    synthetic: bool = Field(description="Whether it was made from records that are made up.")
    uncertainty: str = Field(description="What `risk_interval` covers, or why there is none.")


class PredictionsAnswer(_Answer):
    """An answer that was on disk before it left."""

    request_id: str
    cohort: str
    model: ModelNamed
    threshold: float
    predictions: list[PredictionAnswer]


class RecordedAnswer(_Answer):
    """What became of outcomes or actions."""

    request_id: str
    recorded: int = Field(description="New facts, on disk.")
    known: int = Field(description="Facts that were known already; nothing was changed.")


def predictions_answer(
    logged: LoggedAnswer, *, request: str, rights: Collection[str], explain: bool
) -> PredictionsAnswer:
    """What a caller with these rights is told.

    Parameters
    ----------
    logged : LoggedAnswer
        What is on disk.
    request : str
        Id of the request.
    rights : collection of str
        Of the caller.
    explain : bool
        True names the contribution of every feature, False the largest.
    """
    champion, bundle = logged.served.champion, logged.served.bundle
    digests = {unit.bundle.digest for unit in logged.units}
    by_challenger = len(digests) == 1 and digests != {bundle.digest}
    if by_challenger:
        bundle = logged.units[0].bundle
    return PredictionsAnswer(
        request_id=request,
        cohort=bundle.cohort,
        model=ModelNamed(
            digest=bundle.digest,
            promotion=None if by_challenger else champion.promotion,
            since=None if by_challenger else champion.since,
            synthetic=bundle.description.synthetic,
            uncertainty=bundle.description.without_interval() or COVERED,
        ),
        threshold=bundle.description.threshold,
        predictions=[_prediction(unit, rights, explain=explain) for unit in logged.units],
    )


def _prediction(unit: UnitAnswer, rights: Collection[str], *, explain: bool) -> PredictionAnswer:
    score = unit.score
    probability: Right = "probability"
    reasons: Right = "reasons"
    shown = score.reasons if explain else score.reasons.largest(NAMED)
    # Fields that were not given are left out of the JSON.
    allowed: dict[str, Any] = {}
    if probability in rights:
        allowed["risk"] = score.risk
        stored = unit.bundle.description.uncertainty
        if score.interval is not None and stored is not None:
            allowed["risk_interval"] = IntervalAnswer(level=stored.level, **asdict(score.interval))
        if score.probabilities is not None:
            allowed["class_probabilities"] = dict(score.probabilities)
    if reasons in rights:
        allowed["reasons"] = _reasons(shown)
    if unit.part is not None:
        allowed |= {"arm": unit.part.arm, "model": unit.bundle.digest}
    return PredictionAnswer(
        prediction=unit.receipt.name,
        predicted_class=score.predicted,
        tier=score.tier,
        action=score.action,
        is_alert=score.is_alert,
        **allowed,
        warnings=[WarningAnswer(code=each.code, field=each.field, detail=each.detail) for each in unit.warnings],
    )


def _reasons(reasons: Reasons) -> ReasonsAnswer:
    return ReasonsAnswer(
        of_class=reasons.of_class,
        base=reasons.base,
        contributions=[
            ReasonAnswer(
                feature=each.feature,
                label=each.label,
                value=each.value,
                unit=each.unit,
                contribution=each.contribution,
                direction=each.direction,
            )
            for each in reasons.named
        ],
        rest=reasons.rest,
        log_odds=reasons.log_odds,
    )
