"""Is acting on the model worth it? Net benefit, decision curve, and the expected cost that says the same.

What belongs here: net benefit and expected cost at thresholds.
What does not: the empirical search for a threshold (`cost_curve`), policies side by side
(`business_table`); rates at one threshold (`classification`).

A record raises an alert when p >= threshold. For a threshold t* = C_FP / (C_FP + C_FN), the expected cost
per patient is C_FN * (prevalence - NB(t*)), where a missed event costs C_FN and a false alarm C_FP.

Source: Vickers & Elkin 2006, doi 10.1177/0272989X06295361.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, Seed, binary_sample, check_fraction
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic, percentile_interval
from clinical_assets.statistics.uncertainty.intervals import Estimate, mean_estimate
from clinical_assets.statistics.uncertainty.resampling import cell_totals, resampled_cell_totals


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over thresholds; each array has shape (thresholds,), each band is pointwise.

    Attributes
    ----------
    thresholds : risks in (0, 1), ascending
    model, model_low, model_high : net benefit of acting on the model
    treat_all, treat_all_low, treat_all_high : of acting on everybody; acting on nobody has 0 everywhere
    advantage, advantage_low, advantage_high :
        The model over the better of these two; above 0 the model is worth using at that threshold.
    n, events : sums of weights, rounded
    level : float
    """

    thresholds: FloatArray
    model: FloatArray
    model_low: FloatArray
    model_high: FloatArray
    treat_all: FloatArray
    treat_all_low: FloatArray
    treat_all_high: FloatArray
    advantage: FloatArray
    advantage_low: FloatArray
    advantage_high: FloatArray
    n: int
    events: int
    level: float


def cost_threshold(c_fp: float, c_fn: float) -> float:
    """The threshold that minimises expected cost for a calibrated model: C_FP / (C_FP + C_FN), in (0, 1).

    `c_fp` and `c_fn` are the costs of a false alarm and of a missed event, in one unit. Raises
    InvalidArray unless both are finite and positive. Source: Pauker & Kassirer 1980, doi
    10.1056/NEJM198005153022003.

    Examples
    --------
    >>> cost_threshold(c_fp=1, c_fn=4)  # a missed event is as bad as four false alarms
    0.2
    """
    if not (np.isfinite(c_fp) and np.isfinite(c_fn) and c_fp > 0 and c_fn > 0):
        raise InvalidArray(
            f"costs of a false alarm ({c_fp}) and of a missed event ({c_fn}) must be finite and positive",
            cure="State both costs in one unit; only their ratio moves the threshold.",
        )
    return c_fp / (c_fp + c_fn)


def net_benefit(
    y: ArrayLike,
    p: ArrayLike,
    *,
    threshold: float,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Net benefit TP/n - FP/n * t/(1-t) of acting when p >= t, with a Wald interval.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    threshold : float in (0, 1)
        Risk from which on the patient would rather be treated.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    Estimate
        In true positives per patient; the prevalence is ideal, 0 is acting on nobody, negative does harm.

    Raises
    ------
    InsufficientData
        A class is missing.
    InvalidArray
        NaN, infinite, out of range, or shapes that differ.

    Source: Vickers & Elkin 2006, doi 10.1177/0272989X06295361. Being a mean over records, it has the
    standard error of a mean.

    Examples
    --------
    Acting from a risk of .2 on, two of four patients are treated rightly and one in vain, at odds of .2 / .8:

    >>> net_benefit([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2], threshold=0.2).value  # 2/4 - 1/4 * 1/4
    0.4375
    """
    sample = binary_sample(y, p, weights)
    gain = _gain(sample.y, check_fraction(threshold, name="threshold"))
    return mean_estimate(gain * (sample.score >= threshold), sample.weights, events=sample.events, level=level)


def net_benefit_treat_all(
    y: ArrayLike, *, threshold: float, weights: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Net benefit of acting on everybody, prevalence - (1 - prevalence) * t/(1-t); acting on nobody has 0.

    Parameters, unit, errors and source as in `net_benefit`.

    Examples
    --------
    >>> net_benefit_treat_all([1, 0, 0, 1], threshold=0.2).value  # 2/4 - 2/4 * 1/4
    0.375
    >>> net_benefit_treat_all([1, 0, 0, 1], threshold=0.5).value
    0.0
    """
    outcome = np.asarray(y, dtype=np.float64)
    sample = binary_sample(y, np.zeros(outcome.shape), weights, score_range="real")
    gain = _gain(sample.y, check_fraction(threshold, name="threshold"))
    return mean_estimate(gain, sample.weights, events=sample.events, level=level)


def net_benefit_statistic(y: ArrayLike, p: ArrayLike, *, threshold: float) -> WeightedStatistic:
    """Net benefit as a function of weights (b, n) -> (b,), for `bootstrap.bootstrap`.

    Examples
    --------
    >>> statistic = net_benefit_statistic([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2], threshold=0.2)
    >>> statistic(np.array([[1, 1, 1, 1], [1, 0, 1, 1]])).round(4).tolist()  # all, and without the false alarm
    [0.4375, 0.6667]
    """
    sample = binary_sample(y, p)
    gain = _gain(sample.y, check_fraction(threshold, name="threshold")) * (sample.score >= threshold)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray((weights @ gain) / weights.sum(axis=1))

    return statistic


def expected_cost(
    y: ArrayLike,
    p: ArrayLike,
    *,
    threshold: float,
    c_fp: float,
    c_fn: float,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean cost per patient, (C_FP * FP + C_FN * FN) / n, of acting when p >= threshold.

    With a Wald interval.

    Parameters as in `net_benefit`; the costs are in one unit, which is that of the result. 0 is ideal. At
    threshold = cost_threshold(c_fp, c_fn) it equals c_fn * (prevalence - net benefit).

    Examples
    --------
    >>> cost = expected_cost([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2], threshold=0.2, c_fp=1, c_fn=4)
    >>> cost.value  # one false alarm among four
    0.25
    >>> 4 * (0.5 - net_benefit([1, 0, 0, 1], [0.9, 0.6, 0.1, 0.2], threshold=0.2).value)
    0.25
    """
    cost_threshold(c_fp, c_fn)
    check_fraction(threshold, name="threshold")
    sample = binary_sample(y, p, weights)
    alert = sample.score >= threshold
    cost = np.where(alert, c_fp * (1 - sample.y), c_fn * sample.y)
    return mean_estimate(cost, sample.weights, events=sample.events, level=level, bounds=(0, max(c_fp, c_fn)))


def decision_curve(
    y: ArrayLike,
    p: ArrayLike,
    *,
    thresholds: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: Seed = 0,
) -> DecisionCurve:
    """Net benefit over a range of thresholds, with pointwise bootstrap bands.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    thresholds : ascending risks in (0, 1), default .01, .02, ... .99
        Clinically, show only the range in which a reasonable patient's threshold lies.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of the bands, at each threshold by itself.
    n_resamples : int
        Number of bootstrap resamples.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.

    Errors and source as in `net_benefit`.

    Examples
    --------
    >>> y, p = [1, 0, 0, 1] * 10, [0.9, 0.6, 0.1, 0.2] * 10
    >>> curve = decision_curve(y, p, thresholds=[0.2, 0.5], n_resamples=100)
    >>> curve.model.round(4).tolist(), curve.treat_all.round(4).tolist()
    ([0.4375, 0.0], [0.375, 0.0])
    >>> curve.advantage.round(4).tolist()  # over the better of treating all and none
    [0.0625, 0.0]
    """
    sample = binary_sample(y, p, weights)
    grid = np.linspace(0.01, 0.99, 99) if thresholds is None else _ascending(thresholds)
    cells = alert_cells(sample.y, sample.score, grid)
    n_cells = 2 * (grid.size + 1)
    observed = cell_totals(cells, sample.weights, n_cells)
    resampled = resampled_cell_totals(
        cells, n_cells, n_resamples=n_resamples, seed=seed, weights=sample.weights, groups=groups
    )
    values = _curves(observed[None, :], grid)
    bands = [percentile_interval(v, level=level) for v in _curves(resampled, grid)]
    (model, treat_all, advantage), ((m_low, m_high), (t_low, t_high), (a_low, a_high)) = (
        (v[0] for v in values),
        bands,
    )
    return DecisionCurve(
        grid, model, m_low, m_high, treat_all, t_low, t_high, advantage, a_low, a_high,
        round(sample.n), round(sample.events), level,
    )  # fmt: skip


def alert_cells(y: FloatArray, p: FloatArray, thresholds: FloatArray) -> IntArray:
    """Cell of each record: the number of ascending thresholds at or below its risk, events last.

    The table of alerts at every threshold follows from the totals of these 2 * (k + 1) cells.

    Examples
    --------
    With one threshold: below and above it, non-events first.

    >>> alert_cells(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.6, 0.2, 0.9]), np.array([0.5])).tolist()
    [0, 1, 2, 3]
    """
    passed = np.searchsorted(thresholds, p, side="right")
    return np.asarray(passed + (thresholds.size + 1) * (y == 1))


def alerts_by_threshold(totals: FloatArray, n_thresholds: int) -> tuple[FloatArray, FloatArray]:
    """False and true alerts, each (b, k), at k thresholds from totals (b, 2 * (k + 1)) of `alert_cells`.

    Examples
    --------
    One record in each of the four cells of one threshold:

    >>> false_alerts, true_alerts = alerts_by_threshold(np.ones((1, 4)), n_thresholds=1)
    >>> false_alerts.tolist(), true_alerts.tolist()
    ([[1.0]], [[1.0]])
    """
    by_class = totals.reshape(totals.shape[0], 2, n_thresholds + 1)
    alerts = np.cumsum(by_class[:, :, :0:-1], axis=2)[:, :, ::-1]
    return alerts[:, 0], alerts[:, 1]


def _curves(totals: FloatArray, grid: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Net benefit of the model, of treating all, and the model's advantage, each (b, k)."""
    false_alerts, true_alerts = alerts_by_threshold(totals, grid.size)
    n = totals.sum(axis=1, keepdims=True)
    events = totals[:, grid.size + 1 :].sum(axis=1, keepdims=True)
    odds = grid / (1 - grid)
    model = (true_alerts - false_alerts * odds) / n
    treat_all = (events - (n - events) * odds) / n
    return model, treat_all, model - np.maximum(treat_all, 0)


def _gain(y: FloatArray, threshold: float) -> FloatArray:
    """What acting on a record adds: 1 for an event, minus the odds of the threshold otherwise."""
    return np.where(y == 1, 1.0, -threshold / (1 - threshold))


def _ascending(thresholds: ArrayLike) -> FloatArray:
    grid = np.asarray(thresholds, dtype=np.float64)
    if grid.ndim != 1 or grid.size == 0 or not ((grid > 0) & (grid < 1)).all():
        raise InvalidArray("thresholds must be a flat array of risks strictly between 0 and 1")
    if (np.diff(grid) <= 0).any():
        raise InvalidArray("thresholds must ascend", cure="Sort them and remove repetitions.")
    return grid
