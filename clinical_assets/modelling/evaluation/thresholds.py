"""The decision threshold: what the costs say, what the data say, and what follows for 1,000 patients.

The threshold in use is always the closed form t* = C_FP / (C_FP + C_FN), which is right for a calibrated model and
cannot be fitted to noise. The empirical cost curve stands beside it as a witness, and where the two disagree by more
than chance, or where using the model is worth no more than treating everyone or no one, that is a finding to show.

Source: Pauker & Kassirer 1980, doi 10.1056/NEJM198005153022003; Vickers & Elkin 2006, doi 10.1177/0272989X06295361.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.cohorts.decisions import Decisions, Tier, contradictions
from clinical_assets.modelling.table.findings import Finding
from clinical_assets.statistics.decisions.cost_curve import CostCurve, PolicyOutcome, business_table, cost_curve
from clinical_assets.statistics.decisions.net_benefit import decision_curve
from clinical_assets.statistics.inputs import binary_sample
from clinical_assets.statistics.uncertainty.effective_size import effective_weights
from clinical_assets.statistics.uncertainty.intervals import Estimate, proportion

PER = 1000


@dataclass(frozen=True)
class TierRow:
    """One risk tier and the patients in it.

    Attributes
    ----------
    lower, upper : float
        The tier holds risks in [lower, upper); the last one holds 1 too.
    share : Estimate
        Of all patients.
    n, events : int
    observed_risk : Estimate or None
        Share of events among the tier's patients; None when it holds nobody.
    mean_risk : float or None
        Mean predicted risk in it.
    action : str
        What is recommended.
    action_cost : float
        Of the action, for one patient, in the costs' unit.
    """

    name: str
    lower: float
    upper: float
    action: str
    action_cost: float
    share: Estimate
    n: int
    events: int
    observed_risk: Estimate | None
    mean_risk: float | None


@dataclass(frozen=True)
class ThresholdDecision:
    """The threshold in use and the evidence around it.

    Attributes
    ----------
    threshold : float
        C_FP / (C_FP + C_FN).
    curve : CostCurve
        Cost per patient over thresholds with its bootstrap band; holds the empirical optimum.
    net_benefit, advantage : Estimate
        Of the model at the threshold, and over the better of treating everyone and no one.
    business_table : tuple of PolicyOutcome
        Per 1,000 patients: the model at the threshold, at .5, treat all, treat none.
    tiers : tuple of TierRow
    tier_cost : float
        Cost of all recommended actions per 1,000 patients, in the costs' unit.
    findings : tuple of Finding
    """

    threshold: float
    curve: CostCurve
    net_benefit: Estimate
    advantage: Estimate
    business_table: tuple[PolicyOutcome, ...]
    tiers: tuple[TierRow, ...]
    tier_cost: float
    findings: tuple[Finding, ...]


def decide_threshold(
    y: ArrayLike,
    risk: ArrayLike,
    *,
    decisions: Decisions,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> ThresholdDecision:
    """The threshold with its evidence.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes.
    risk : array of shape (n,)
        Served risks in (0, 1) of rows that the model has not seen.
    decisions : Decisions
        Costs and tiers.
    weights : array of shape (n,), optional
        Case weights; their scale has no meaning, and numbers of rows and events count records.
    groups : array of shape (n,), optional
        Subjects to resample as a whole.
    n_resamples : int
        Bootstrap resamples of the cost curve.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InsufficientData
        A class is missing.
    """
    costs = decisions.costs
    c_fp, c_fn, t = costs.false_positive, costs.false_negative, costs.threshold
    records = binary_sample(y, risk)
    n, events = round(records.n), round(records.events)
    if weights is not None:
        weights = effective_weights(weights)
        groups = np.arange(records.y.size) if groups is None else groups
    curve = cost_curve(
        y, risk, c_fp=c_fp, c_fn=c_fn, weights=weights, groups=groups, n_resamples=n_resamples, seed=seed
    )
    curve = replace(curve, n=n, events=events, excess=replace(curve.excess, n=n, events=events))
    at = decision_curve(y, risk, thresholds=[t], weights=weights, groups=groups, n_resamples=n_resamples, seed=seed)
    at = replace(at, n=n, events=events)
    kind = "bootstrap percentile" if groups is None else "group bootstrap percentile"
    benefit, advantage = (
        Estimate(float(value[0]), float(low[0]), float(high[0]), at.n, at.events, kind, at.level)
        for value, low, high in (
            (at.model, at.model_low, at.model_high),
            (at.advantage, at.advantage_low, at.advantage_high),
        )
    )
    tiers = tier_rows(y, risk, tiers=decisions.tiers, weights=weights)
    return ThresholdDecision(
        threshold=t,
        curve=curve,
        net_benefit=benefit,
        advantage=advantage,
        business_table=business_table(y, risk, c_fp=c_fp, c_fn=c_fn, weights=weights, per=PER),
        tiers=tiers,
        tier_cost=PER * sum(row.action_cost * row.share.value for row in tiers),
        findings=(
            *_disagreement(curve, costs.unit),
            *_uselessness(advantage, t),
            *_contradictions(decisions, tiers, y, risk, weights),
        ),
    )


def tier_rows(
    y: ArrayLike, risk: ArrayLike, *, tiers: tuple[Tier, ...], weights: ArrayLike | None = None
) -> tuple[TierRow, ...]:
    """How patients fall into tiers, and what happened to them; parameters and errors as in `decide_threshold`.

    Shares and risks are weighted, with intervals of `effective_weights`; ``n`` and ``events`` count records.
    """
    sample = binary_sample(y, risk, None if weights is None else effective_weights(weights))
    place = tier_of(sample.score, tiers=tiers)
    rows = []
    for number, tier in enumerate(tiers):
        mine = sample.weights * (place == number)
        n, events = float(mine.sum()), float(mine @ sample.y)
        rows.append(
            TierRow(
                name=tier.name,
                lower=tier.lower,
                upper=tiers[number + 1].lower if number + 1 < len(tiers) else 1.0,
                action=tier.action,
                action_cost=tier.cost,
                share=proportion(n, sample.n),
                n=int((place == number).sum()),
                events=int(sample.y[place == number].sum()),
                observed_risk=proportion(events, n) if n > 0 else None,
                mean_risk=float(mine @ sample.score) / n if n > 0 else None,
            )
        )
    return tuple(rows)


def tier_of(risk: ArrayLike, *, tiers: tuple[Tier, ...]) -> np.ndarray:
    """Number of the tier, 0 .. k-1, of each risk; a risk on a border belongs to the upper tier."""
    borders = np.array([tier.lower for tier in tiers])
    return np.asarray(np.searchsorted(borders, np.asarray(risk, dtype=np.float64), side="right") - 1)


def _disagreement(curve: CostCurve, unit: str) -> tuple[Finding, ...]:
    """A finding where the optimum lies elsewhere and acting there would have been cheaper, both by more than chance."""
    t, excess = curve.theoretical_threshold, curve.excess
    if curve.optimum_low <= t <= curve.optimum_high or excess.ci_low <= 0:
        return ()
    return (
        Finding(
            code="threshold_disagreement",
            message=(
                f"the costs put the threshold at {t:.3f}, but these {curve.n} rows would have been cheapest at "
                f"{curve.optimum_threshold:.3f} (95 % interval {curve.optimum_low:.3f} to {curve.optimum_high:.3f}); "
                f"the costs' own choice costs {excess.value:.3g} {unit} more per patient ({excess.ci_low:.3g} to "
                f"{excess.ci_high:.3g}, paired; measured on the rows that chose it, so it flatters)."
            ),
            cure="Look at the calibration near the threshold: a calibrated model has its optimum where the costs say.",
        ),
    )


def _uselessness(advantage: Estimate, t: float) -> tuple[Finding, ...]:
    if advantage.ci_low > 0:
        return ()
    shown = f"{advantage.value:.4f} (95 % interval {advantage.ci_low:.4f} to {advantage.ci_high:.4f})"
    if advantage.value <= 0:
        code, text = (
            "no_net_benefit",
            f"at the threshold {t:.3f} the model is worth no more than treating everyone or no one",
        )
    else:
        code, text = (
            "net_benefit_uncertain",
            f"at the threshold {t:.3f} it is not shown that the model is worth more than treating everyone or no one",
        )
    return (
        Finding(
            code=code,
            message=f"{text}: its net benefit beyond the better of the two is {shown}, n = {advantage.n}.",
            cure="Do not act on the model at these costs; more patients or other features may change that.",
        ),
    )


def _contradictions(
    decisions: Decisions, tiers: tuple[TierRow, ...], y: ArrayLike, risk: ArrayLike, weights: ArrayLike | None
) -> tuple[Finding, ...]:
    sample = binary_sample(y, risk, weights)
    between = (sample.score >= decisions.costs.threshold) & (sample.score < tiers[0].upper)
    share = float(sample.weights[between].sum()) / sample.n
    caught = f" Alerted and in tier {tiers[0].name!r}: {share:.1%} of {sample.y.size} rows." if share else ""
    return tuple(
        Finding(
            code="decisions_contradict",
            message=f"{text}.{caught if number == 0 else ''}",
            cure="Let the second tier begin at the threshold, or give costs that say what the tiers say.",
        )
        for number, text in enumerate(contradictions(decisions))
    )
