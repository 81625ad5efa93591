"""How many have the event by the horizon: Kaplan-Meier risk, with competing events the Aalen-Johansen risk.

What belongs here: the observed risk, its interval and each person's influence on it.
What does not: comparing it with predicted risks (`observed_risk`).

One minus the Kaplan-Meier curve is the Aalen-Johansen estimate without competing events, so that there is one function.
Its variance is the infinitesimal jackknife, which is Greenwood's without competing events and holds for case weights
and for people with several rows.

Sources: Aalen & Johansen 1978, Scand J Stat 5:141-150; infinitesimal jackknife as in R's survival::survfit, Therneau et
al. 2024, https://CRAN.R-project.org/package=survival (methods vignette).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import as_codes, as_weights
from clinical_assets.statistics.survival.censored_outcomes import CENSORED, EVENT, CensoredOutcomes
from clinical_assets.statistics.uncertainty.intervals import Estimate, normal_quantile

METHOD = "infinitesimal jackknife (log-log)"


@dataclass(frozen=True)
class ObservedRisk:
    """The observed risk of a group at the horizon.

    Attributes
    ----------
    value : float
        Share with the event by the horizon, in [0, 1].
    influence : array of shape (n,)
        What a small change of each person's weight would change: sums to 0 over the weights.
    """

    value: float
    influence: FloatArray

    def standard_error(self, weights: FloatArray, groups: ArrayLike | None = None) -> float:
        """Of the value, from each person's (or group's) influence."""
        return summed_error(self.influence * weights, groups)


def summed_error(parts: FloatArray, groups: ArrayLike | None = None) -> float:
    """Root of the sum of squares of parts (n,), added up within groups first.

    Examples
    --------
    >>> summed_error(np.array([3.0, 4.0])), summed_error(np.array([3.0, 4.0]), groups=["a", "a"])
    (5.0, 7.0)
    """
    if groups is not None:
        codes, size = as_codes(groups, n=parts.size, name="groups")
        parts = np.bincount(codes, weights=parts, minlength=size).astype(np.float64, copy=False)
    return float(np.sqrt(parts @ parts))


def observed_risk(outcomes: CensoredOutcomes, weights: FloatArray) -> ObservedRisk:
    """Kaplan-Meier or Aalen-Johansen risk at the horizon, in O(n log n).

    Parameters
    ----------
    outcomes : CensoredOutcomes
        Of n people.
    weights : array of shape (n,)
        Case weights; ones where all count alike.

    Raises
    ------
    InsufficientData
        Nobody is followed up to the horizon and the last one left is censored before it: what comes after is unknown.

    Examples
    --------
    One of four has the event; one is censored; one of the two left has it: 1/4 + 3/4 * 1/2.

    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([2, 3, 4, 7], [1, 0, 1, 0], horizon=5)
    >>> observed_risk(people, np.ones(4)).value
    0.625

    A competing event leaves fewer who can have the event, but censors nobody:

    >>> people = censored_outcomes([2, 3, 4, 7], [1, 2, 1, 0], horizon=5)
    >>> observed_risk(people, np.ones(4)).value
    0.5
    """
    order = np.argsort(outcomes.time, kind="stable")
    time, event, drawn = outcomes.time[order], outcomes.event[order], weights[order]
    levels, first, level_of = np.unique(time, return_index=True, return_inverse=True)
    at_risk = np.cumsum(np.add.reduceat(drawn, first)[::-1])[::-1]
    by_then = levels <= outcomes.horizon
    own = np.add.reduceat(drawn * (event == EVENT), first) * by_then
    ended = np.add.reduceat(drawn * (event != CENSORED), first) * by_then
    rate, all_rates = own / at_risk, ended / at_risk
    left = np.clip(1 - all_rates, 0.0, 1.0)
    surviving = np.cumprod(left)
    last = event[time == levels[-1]]
    if levels[-1] < outcomes.horizon and (last == CENSORED).any():
        raise InsufficientData(
            f"the last person is censored at {levels[-1]:g}, before the horizon of {outcomes.horizon:g}",
            cure="Judge the risks at an earlier horizon, or wait.",
        )
    before = np.concatenate([[1.0], surviving[:-1]])
    cumulative = np.cumsum(before * rate)
    value = float(cumulative[-1])
    # What an event at each time adds to the event's share, and takes from what could still come.
    to_come = np.where(left > 0, (value - cumulative) / np.where(left > 0, left, 1.0), 0.0)
    step_own, step_all = before / at_risk, to_come / at_risk
    exposure = np.cumsum(step_own * rate - step_all * all_rates)
    place = level_of.reshape(-1)
    counted = by_then[place]
    jump = counted * (step_own[place] * (event == EVENT) - step_all[place] * (event != CENSORED))
    influence = np.empty(outcomes.n)
    influence[order] = jump - exposure[place]
    return ObservedRisk(value, influence)


def risk_at_horizon(
    outcomes: CensoredOutcomes,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """The observed risk at the horizon with an interval that is symmetric on the scale log(-log(1 - risk)).

    Parameters
    ----------
    outcomes : CensoredOutcomes
        Of n people.
    weights : array of shape (n,), optional
        Case weights.
    groups : array of shape (n,), optional
        Subjects that have several rows.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    Estimate
        With `n` people, the censored included, and `events` by the horizon.

    Raises
    ------
    InsufficientData
        As `observed_risk`, or nobody or everybody has the event, which no such interval is around.

    Examples
    --------
    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([2, 3, 4, 7] * 25, [1, 0, 1, 0] * 25, horizon=5)
    >>> risk = risk_at_horizon(people)
    >>> risk.value, round(risk.ci_low, 2), round(risk.ci_high, 2)
    (0.625, 0.51, 0.74)
    """
    base = as_weights(weights, n=outcomes.n)
    found = observed_risk(outcomes, base)
    if not 1e-12 < found.value < 1 - 1e-12:
        raise InsufficientData(
            f"the observed risk is {found.value:.0f}: it has no interval on the log-log scale",
            cure="Pass more people, or another horizon.",
        )
    hazard = -np.log1p(-found.value)
    half = normal_quantile(level) * found.standard_error(base, groups) / ((1 - found.value) * hazard)
    low, high = -np.expm1(-hazard * np.exp([-half, half]))
    return Estimate(
        found.value, float(low), float(high), outcomes.n, int((outcomes.outcome * (base > 0)).sum()), METHOD, level
    )
