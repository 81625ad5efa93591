"""The report on one set of rows: ranking, calibration, benefit and rates at the threshold, each with its interval.

What belongs here: putting the estimates of ``clinical_assets.statistics`` together for one model on rows that it has
not seen. What does not: subgroups (``subgroups``), the choice of the threshold (``thresholds``).

With more than two classes everything that speaks of one risk (AUROC, calibration, benefit, rates) is about the
probability of class ``action_from`` or a more severe one; the measures of all classes stand beside it. Where subjects
have several rows, every interval comes from resampling subjects, because rows of one person are not independent; where
rows have case weights, from resampling rows (or subjects) with their weights. Numbers of rows and events are counted,
not weighed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np

from clinical_assets.cohorts.decisions import Decisions
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.table.resampled import drawn_units, rate_parts, ratio, resampled, scaled_brier_statistic
from clinical_assets.modelling.table.row_losses import action_risk, proper_losses
from clinical_assets.statistics.calibration import calibration
from clinical_assets.statistics.calibration.smooth_calibration import (
    CalibrationPlot,
    calibration_indices,
    calibration_plot,
)
from clinical_assets.statistics.decisions import net_benefit as benefit
from clinical_assets.statistics.decisions.cost_curve import SPAN
from clinical_assets.statistics.decisions.net_benefit import DecisionCurve, decision_curve
from clinical_assets.statistics.discrimination import discrimination, multiclass
from clinical_assets.statistics.discrimination.classification import ThresholdMetrics, threshold_metrics
from clinical_assets.statistics.discrimination.discrimination import auprc
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic
from clinical_assets.statistics.uncertainty.effective_size import effective_weights
from clinical_assets.statistics.uncertainty.intervals import Estimate

EstimateT = TypeVar("EstimateT")
RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "alert_rate", "number_needed_to_evaluate")
# Above this many rows resampling the precision-recall curve takes minutes and its closed-form interval is as good.
MANY = 50_000
# A decision curve without a described range ends here at the latest: the odds of the threshold grow without bound.
HIGHEST = 0.99
UNDEFINED = "no row is on the side of the threshold that this rate divides by"


@dataclass(frozen=True)
class Evaluation:
    """What is known about a model on some rows.

    Attributes
    ----------
    n, events : int
        Rows, and rows of class `action_from` or above.
    metrics : dict of name to Estimate
        What can be computed.
    insufficient : dict of name to reason
        What cannot.
    decision_curve : DecisionCurve or None
        Over `threshold_grid`.
    calibration : CalibrationPlot or None
    """

    n: int
    events: int
    metrics: dict[str, Estimate]
    insufficient: dict[str, str]
    decision_curve: DecisionCurve | None
    calibration: CalibrationPlot | None


def evaluate(
    y: IntArray,
    p: FloatArray,
    *,
    decisions: Decisions,
    action_from: int = 1,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
    leave_out: frozenset[str] = frozenset(),
) -> Evaluation:
    """Every measure with its 95 % interval.

    Parameters
    ----------
    y : array of shape (n,)
        Class numbers.
    p : array of shape (n,) or (n, k)
        Served risks of rows that the model has not seen.
    decisions : Decisions
        Costs and threshold range.
    action_from : int
        First class that calls for action: it and the more severe ones count as events.
    groups : array of shape (n,), optional
        Subjects, where they have several rows.
    weights : array of shape (n,), optional
        Case weights: for how many people of the population each row stands; their scale has no meaning.
    seed : int
        Of the bootstrap.
    n_resamples : int
        Bootstrap resamples per interval that needs them.
    leave_out : set of "auprc", "ici" and "curves"
        What is not wanted; these take most of the time.

    Returns
    -------
    Evaluation
        A measure that the rows cannot support is under `insufficient` with the reason, never a number.
    """
    risk, event = action_risk(p, action_from=action_from), (y >= action_from).astype(np.int64)
    n, events = int(y.size), int(event.sum())
    collected = _Collected()
    groups = drawn_units(n, groups, weights)
    drawn = _Drawn(groups, None if weights is None else weights / weights.mean(), seed, n_resamples)
    _ranking_and_calibration(collected, event, risk, drawn)
    if "auprc" not in leave_out:
        how: Literal["bootstrap", "logit"] = "bootstrap" if groups is not None or n <= MANY else "logit"
        collected.add("auprc", lambda: auprc(event, risk, interval=how, **drawn.arguments))
    if "ici" not in leave_out:
        _indices(collected, event, risk, drawn)
    _benefit_and_rates(collected, event, risk, drawn, decisions=decisions)
    if p.ndim == 2:
        _classes(collected, y, p, drawn)
    metrics = collected.metrics
    if weights is not None:
        metrics = {name: _in_records(name, found, n=n, events=events) for name, found in metrics.items()}
    if "curves" in leave_out:
        return Evaluation(n, events, metrics, collected.insufficient, None, None)
    curve = collected.part(
        "decision_curve",
        lambda: replace(
            decision_curve(event, risk, thresholds=threshold_grid(decisions), **drawn.arguments), n=n, events=events
        ),
    )
    plot = collected.part(
        "calibration_plot",
        lambda: calibration_plot(event, risk, weights=None if weights is None else effective_weights(weights)),
    )
    return Evaluation(n, events, metrics, collected.insufficient, curve, plot)


def threshold_grid(decisions: Decisions) -> FloatArray:
    """Thresholds of the decision curve, in about sixty steps of a hundredth or, for low thresholds, of less.

    The described range; where none is described, the default range widened to a quarter and four times the operating
    threshold, so that the curve always shows where the model acts. Its ends and the operating threshold are included.
    """
    (low, high), t = decisions.threshold_range, decisions.costs.threshold
    if "threshold_range" not in decisions.model_fields_set:
        low, high = min(low, t / SPAN), max(high, min(SPAN * t, HIGHEST))
    step = min(0.01, low)
    fine = np.arange(low, min(high, 0.05), step) if step < 0.01 else np.empty(0)
    inside = np.arange(np.ceil(low * 100) / 100, high + 1e-9, 0.01)
    operating = [t] if low <= t <= high else []
    return np.unique(np.round(np.concatenate([[low], fine, operating, inside, [high]]), 6))


def _in_records(name: str, found: Estimate, *, n: int, events: int) -> Estimate:
    """The estimate with the numbers of records; measures of all classes have events of their own."""
    own = name.startswith(("auroc_class_", "auroc_from_class_", "macro_")) or name == "quadratic_kappa"
    return replace(found, n=n) if own else replace(found, n=n, events=events)


class _Collected:
    """Estimates and reasons, filled measure by measure."""

    def __init__(self) -> None:
        self.metrics: dict[str, Estimate] = {}
        self.insufficient: dict[str, str] = {}

    def add(self, name: str, compute: Callable[[], Estimate | None]) -> None:
        estimate = self.part(name, compute)
        if estimate is not None:
            self.metrics[name] = estimate
        else:
            self.insufficient.setdefault(name, UNDEFINED)

    def part(self, name: str, compute: Callable[[], EstimateT]) -> EstimateT | None:
        try:
            return compute()
        except InsufficientData as error:
            self.insufficient[name] = error.message
            return None


@dataclass(frozen=True)
class _Drawn:
    """How intervals come about: what a resample draws, with which weights, and how often."""

    groups: IntArray | None
    weights: FloatArray | None
    seed: int
    n_resamples: int

    @property
    def arguments(self) -> dict[str, Any]:
        """As the measures of ``statistics`` take them."""
        return {
            "groups": self.groups,
            "weights": self.weights,
            "seed": self.seed,
            "n_resamples": self.n_resamples,
        }

    def again(
        self, make: Callable[[], WeightedStatistic], y: IntArray, *, checked: Callable[[], Estimate] | None = None
    ) -> Callable[[], Estimate]:
        """The statistic with an interval from resampling."""
        assert self.groups is not None
        return resampled(make, y, self.groups, self.seed, self.n_resamples, weights=self.weights, checked=checked)


def _ranking_and_calibration(into: _Collected, y: IntArray, p: FloatArray, drawn: _Drawn) -> None:
    plain: dict[str, Callable[[], Estimate]] = {
        "auroc": lambda: discrimination.auroc(y, p),
        "brier": lambda: calibration.brier(y, p),
        "scaled_brier": lambda: calibration.scaled_brier(y, p),
        "calibration_intercept": lambda: calibration.calibration_intercept(y, p),
        "calibration_slope": lambda: calibration.calibration_slope(y, p),
        "observed_expected_ratio": lambda: calibration.observed_expected_ratio(y, p),
    }
    weighted: dict[str, Callable[[], WeightedStatistic]] = {
        "auroc": lambda: discrimination.auroc_statistic(y, p),
        "brier": lambda: calibration.brier_statistic(y, p),
        "scaled_brier": lambda: scaled_brier_statistic(y, p),
        "calibration_intercept": lambda: calibration.calibration_intercept_statistic(y, p),
        "calibration_slope": lambda: calibration.calibration_slope_statistic(y, p),
        "observed_expected_ratio": lambda: calibration.observed_expected_statistic(y, p),
    }
    for name, compute in plain.items():
        into.add(name, compute if drawn.groups is None else drawn.again(weighted[name], y, checked=compute))


def _indices(into: _Collected, y: IntArray, p: FloatArray, drawn: _Drawn) -> None:
    how = {name: drawn.arguments[name] for name in ("groups", "weights", "seed")}
    indices = into.part("ici", lambda: calibration_indices(y, p, **how))
    for name in ("ici", "e50", "e90"):
        if indices is not None:
            into.metrics[name] = getattr(indices, name)
        else:
            into.insufficient[name] = into.insufficient["ici"]


def _benefit_and_rates(into: _Collected, y: IntArray, p: FloatArray, drawn: _Drawn, *, decisions: Decisions) -> None:
    costs, t = decisions.costs, decisions.costs.threshold
    c_fp, c_fn = costs.false_positive, costs.false_negative
    curve = into.part("net_benefit", lambda: benefit.decision_curve(y, p, thresholds=[t], **drawn.arguments))
    if drawn.groups is None:
        into.add("net_benefit", lambda: benefit.net_benefit(y, p, threshold=t))
        into.add("net_benefit_treat_all", lambda: benefit.net_benefit_treat_all(y, threshold=t))
        into.add("expected_cost", lambda: benefit.expected_cost(y, p, threshold=t, c_fp=c_fp, c_fn=c_fn))
    else:
        gain = np.where(y == 1, 1.0, -t / (1 - t))
        cost = np.where(p >= t, c_fp * (1 - y), c_fn * y)
        means = {"net_benefit": gain * (p >= t), "net_benefit_treat_all": gain, "expected_cost": cost}
        for name, values in means.items():
            into.add(name, drawn.again(ratio(values, np.ones(y.size)), y))
    if curve is not None:
        kind = "bootstrap percentile" if drawn.groups is None else "group bootstrap percentile"
        into.metrics["net_benefit_advantage"] = replace(
            into.metrics["net_benefit"],
            value=float(curve.advantage[0]),
            ci_low=float(curve.advantage_low[0]),
            ci_high=float(curve.advantage_high[0]),
            method=kind,
        )
    if drawn.groups is not None:
        for name, (top, bottom) in rate_parts(y, p, threshold=t).items():
            into.add(name, drawn.again(ratio(top, bottom), y))
        return
    rates: ThresholdMetrics | None = into.part("sensitivity", lambda: threshold_metrics(y, p, threshold=t))
    for name in RATES:
        if rates is None:
            into.insufficient[name] = into.insufficient["sensitivity"]
        else:
            estimate: Estimate | None = getattr(rates, name)
            into.add(name, lambda estimate=estimate: estimate)  # type: ignore[misc]


def _classes(into: _Collected, y: IntArray, p: FloatArray, drawn: _Drawn) -> None:
    k = p.shape[1]
    into.add("macro_auroc", lambda: multiclass.macro_auroc(y, p, **drawn.arguments))
    for label in range(k):
        own, score = (y == label).astype(np.int64), p[:, label]
        into.add(
            f"auroc_class_{label}",
            partial(discrimination.auroc, own, score)
            if drawn.groups is None
            else drawn.again(partial(discrimination.auroc_statistic, own, score), own),
        )
    for cut in range(1, k):
        own, score = (y >= cut).astype(np.int64), p[:, cut:].sum(axis=1)
        into.add(
            f"auroc_from_class_{cut}",
            partial(discrimination.auroc, own, score)
            if drawn.groups is None
            else drawn.again(partial(discrimination.auroc_statistic, own, score), own),
        )
    likeliest = p.argmax(axis=1)
    into.add(
        "quadratic_kappa",
        lambda: multiclass.quadratic_kappa(y, likeliest, n_classes=k, **drawn.arguments),
    )
    into.add(
        "macro_mean_absolute_error",
        lambda: multiclass.macro_mean_absolute_error(y, likeliest, n_classes=k, **drawn.arguments),
    )
    if drawn.groups is None:
        into.add("ranked_probability_score", lambda: multiclass.ranked_probability_score(y, p))
    else:
        into.add("ranked_probability_score", drawn.again(ratio(proper_losses(y, p), np.ones(y.size)), y))
