"""Which threshold costs least? The empirical cost curve, its optimum, and policies side by side.

What belongs here: searching thresholds by their measured cost, and tabulating what policies do.
What does not: net benefit and the cost at a given threshold (`net_benefit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.decisions.net_benefit import alert_cells, alerts_by_threshold, cost_threshold
from clinical_assets.statistics.inputs import BinarySample, InvalidArray, Seed, binary_sample, check_fraction
from clinical_assets.statistics.uncertainty.bootstrap import percentile_interval
from clinical_assets.statistics.uncertainty.intervals import Estimate, mean_estimate, proportion
from clinical_assets.statistics.uncertainty.resampling import cell_totals, resampled_cell_totals

DEFAULT_THRESHOLD = 0.5
SPAN = 4.0
"""A curve reaches from the theoretical threshold divided by this to that times this, whatever the risks."""


@dataclass(frozen=True)
class CostCurve:
    """Expected cost per patient over candidate thresholds.

    Attributes
    ----------
    thresholds : array of shape (k,), ascending
        An alert is raised when p >= threshold. Distinct risks, with which the first alerts everybody and the last
        nobody, and beside them a quarter, once and four times the theoretical threshold.
    cost, low, high : arrays of shape (k,)
        Cost per patient in the unit of the costs, with a pointwise bootstrap band.
    optimum_threshold : float
        The candidate of least cost among all distinct risks; of equal ones the lowest, which misses
        fewest events.
    optimum_low, optimum_high : float
        Bootstrap percentile interval of the optimal threshold.
    optimum_cost : Estimate
        Cost at the optimum. Chosen and measured on the same records, it is optimistic:
        report the cost of a threshold on records that did not choose it.
    theoretical_threshold : float
        C_FP / (C_FP + C_FN). A calibrated model has its optimum near it.
    theoretical_cost : float
        Cost per patient at the theoretical threshold.
    excess : Estimate
        Cost at the theoretical threshold minus cost at the optimum, on the same resamples of the same records (paired).
        Chosen on them too, it is optimistic: where even its interval reaches 0, no better threshold is shown.
    """

    thresholds: FloatArray
    cost: FloatArray
    low: FloatArray
    high: FloatArray
    optimum_threshold: float
    optimum_low: float
    optimum_high: float
    optimum_cost: Estimate
    theoretical_threshold: float
    theoretical_cost: float
    excess: Estimate
    n: int
    events: int
    level: float


@dataclass(frozen=True)
class PolicyOutcome:
    """What a policy does among `per` patients; counts and cost with 95 % intervals unless told.

    Attributes
    ----------
    policy : str
    threshold : float or None
        None for the policies that do not use the model.
    alerts, caught, missed, false_alarms : Estimate
        Patients per `per`; Wilson intervals, none for what a policy fixes by definition (treat none: no
        alerts).
    cost : Estimate
        Cost per `per` patients in the unit of the costs; Wald interval.
    per : int
    """

    policy: str
    threshold: float | None
    alerts: Estimate
    caught: Estimate
    missed: Estimate
    false_alarms: Estimate
    cost: Estimate
    per: int


def cost_curve(
    y: ArrayLike,
    p: ArrayLike,
    *,
    c_fp: float,
    c_fn: float,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    max_candidates: int = 1000,
    seed: Seed = 0,
) -> CostCurve:
    """Cost per patient at every candidate threshold, with a bootstrap band and the empirical optimum.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    c_fp, c_fn : float
        Cost of a false alarm and of a missed event, in one unit.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of band and intervals.
    n_resamples : int
        Number of bootstrap resamples.
    max_candidates : int
        The optimum is sought among all distinct risks. The curve and its resamples use all of them up to
        this number, otherwise this many of them at equal steps of rank, with the optimum among them.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.

    Raises
    ------
    InsufficientData
        A class is missing.
    InvalidArray
        NaN, infinite, out of range, or shapes that differ; costs that are not positive.

    Source: cost as net benefit, Vickers & Elkin 2006, doi 10.1177/0272989X06295361.

    Examples
    --------
    At .3 there is one false alarm among five patients, at .9 one missed event, which costs four times as much:

    >>> curve = cost_curve([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.6, 0.9], c_fp=1, c_fn=4, n_resamples=200)
    >>> curve.optimum_threshold, curve.optimum_cost.value
    (0.3, 0.2)
    >>> curve.theoretical_threshold  # 1 / (1 + 4)
    0.2
    >>> round(curve.excess.value, 2), curve.excess.ci_low  # one false alarm more, of five patients: it may be chance
    (0.2, 0.0)
    """
    theoretical = cost_threshold(c_fp, c_fn)
    if max_candidates < 2:
        raise InvalidArray(f"max_candidates is {max_candidates}, expected at least 2")
    sample = binary_sample(y, p, weights)
    distinct, at = np.unique(sample.score, return_inverse=True)
    # Above the highest risk nobody is alerted.
    candidates = np.append(distinct, np.nextafter(distinct[-1], 1.0))
    cells = at.reshape(-1) + 1 + (candidates.size + 1) * (sample.y == 1)
    totals = cell_totals(cells, sample.weights, 2 * (candidates.size + 1))
    cost = _cost(totals[None, :], candidates.size, c_fp, c_fn)[0]
    best = _first_least(cost[None, :])[0]

    chosen = np.arange(candidates.size)
    if candidates.size > max_candidates:
        steps = np.linspace(0, candidates.size - 1, max_candidates).round().astype(np.int64)
        chosen = np.unique(np.append(steps, best))
    around = np.array([theoretical / SPAN, theoretical, theoretical * SPAN])
    grid = np.unique(np.append(candidates[chosen], around[around < 1]))
    searched = np.flatnonzero(np.isin(grid, candidates[chosen]))
    at_theory, at_best = np.searchsorted(grid, [theoretical, candidates[best]])
    grid_cells = alert_cells(sample.y, sample.score, grid)
    n_cells = 2 * (grid.size + 1)
    observed = _cost(cell_totals(grid_cells, sample.weights, n_cells)[None, :], grid.size, c_fp, c_fn)[0]
    resampled = _cost(
        resampled_cell_totals(
            grid_cells, n_cells, n_resamples=n_resamples, seed=seed, weights=sample.weights, groups=groups
        ),
        grid.size,
        c_fp,
        c_fn,
    )
    low, high = percentile_interval(resampled, level=level)
    chosen_again = grid[searched][_first_least(resampled[:, searched])]
    optimum_low, optimum_high = percentile_interval(chosen_again, level=level)
    excess_low, excess_high = percentile_interval(resampled[:, at_theory] - resampled[:, at_best], level=level)
    n, events = round(sample.n), round(sample.events)
    kind = "paired bootstrap percentile" if groups is None else "paired group bootstrap percentile"
    return CostCurve(
        thresholds=grid,
        cost=observed,
        low=low,
        high=high,
        optimum_threshold=float(candidates[best]),
        optimum_low=float(optimum_low),
        optimum_high=float(optimum_high),
        optimum_cost=_policy_cost(sample, sample.score >= candidates[best], c_fp, c_fn, level),
        theoretical_threshold=theoretical,
        theoretical_cost=float(observed[at_theory]),
        excess=Estimate(
            float(observed[at_theory] - observed[at_best]),
            float(excess_low),
            float(excess_high),
            n,
            events,
            kind,
            level,
        ),
        n=n,
        events=events,
        level=level,
    )


def business_table(
    y: ArrayLike,
    p: ArrayLike,
    *,
    c_fp: float,
    c_fn: float,
    thresholds: Mapping[str, float] | None = None,
    weights: ArrayLike | None = None,
    per: int = 1000,
    level: float = 0.95,
) -> tuple[PolicyOutcome, ...]:
    """What policies do among `per` patients: the model at t*, at .5 and elsewhere, treat all, treat none.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    c_fp, c_fn : float
        Cost of a false alarm and of a missed event, in one unit.
    thresholds : mapping of policy name to threshold in (0, 1), optional
        Further uses of the model, such as the threshold chosen in training.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    per : int
        Number of patients the counts are stated for.
    level : float in (0, 1)
        Confidence level of the intervals.

    Errors as in `cost_curve`.

    Examples
    --------
    >>> table = business_table([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.6, 0.9], c_fp=1, c_fn=4, per=100)
    >>> for row in table:
    ...     print(f"{row.policy}: {row.alerts.value:.0f} alerts, cost {row.cost.value:.0f}")
    ...
    model at cost threshold: 80 alerts, cost 40
    model at 0.5: 40 alerts, cost 100
    treat all: 100 alerts, cost 60
    treat none: 0 alerts, cost 160
    """
    if per < 1:
        raise InvalidArray(f"per is {per}, expected at least 1")
    t_star = cost_threshold(c_fp, c_fn)
    sample = binary_sample(y, p, weights)
    model = {"model at cost threshold": t_star, "model at 0.5": DEFAULT_THRESHOLD, **(thresholds or {})}
    policies: list[tuple[str, float | None, np.ndarray]] = [
        (name, t, sample.score >= check_fraction(t, name=f"threshold of {name!r}")) for name, t in model.items()
    ]
    policies.append(("treat all", None, np.ones(sample.y.size, dtype=bool)))
    policies.append(("treat none", None, np.zeros(sample.y.size, dtype=bool)))
    event = sample.y == 1

    def count(mask: np.ndarray, threshold: float | None) -> Estimate:
        # Policies without a threshold leave nothing to chance but the events themselves.
        if threshold is None and (not mask.any() or mask.all()):
            return _by_definition(float(per * mask.any()), sample, level)
        return proportion(float(sample.weights[mask].sum()), sample.n, level=level).scaled(per)

    return tuple(
        PolicyOutcome(
            policy=name,
            threshold=threshold,
            alerts=count(alert, threshold),
            caught=count(alert & event, threshold),
            missed=count(~alert & event, threshold),
            false_alarms=count(alert & ~event, threshold),
            cost=_policy_cost(sample, alert, c_fp, c_fn, level).scaled(per),
            per=per,
        )
        for name, threshold, alert in policies
    )


def _by_definition(value: float, sample: BinarySample, level: float) -> Estimate:
    return Estimate(value, value, value, round(sample.n), round(sample.events), "by definition", level)


def _cost(totals: FloatArray, n_thresholds: int, c_fp: float, c_fn: float) -> FloatArray:
    """Cost per patient (b, k) from totals of alert cells (b, 2 * (k + 1))."""
    false_alerts, true_alerts = alerts_by_threshold(totals, n_thresholds)
    n = totals.sum(axis=1, keepdims=True)
    events = totals[:, n_thresholds + 1 :].sum(axis=1, keepdims=True)
    return np.asarray((c_fp * false_alerts + c_fn * (events - true_alerts)) / n)


def _first_least(cost: FloatArray) -> np.ndarray:
    """Index of the first least cost of each row; costs that differ by rounding alone count as equal."""
    least = cost.min(axis=1, keepdims=True)
    return np.asarray(np.argmax(cost <= least * (1 + 1e-12) + 1e-300, axis=1))


def _policy_cost(sample: BinarySample, alert: np.ndarray, c_fp: float, c_fn: float, level: float) -> Estimate:
    cost = np.where(alert, c_fp * (1 - sample.y), c_fn * sample.y)
    return mean_estimate(cost, sample.weights, events=sample.events, level=level, bounds=(0, max(c_fp, c_fn)))
