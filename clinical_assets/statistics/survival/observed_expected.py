"""Predicted risks beside what became of people of whom some are censored: O/E and the groups of a calibration plot.

What belongs here: comparing predicted with Kaplan-Meier or Aalen-Johansen risks. What does not: the smooth curve and
what is read off it, which are those of ``calibration.smooth_calibration`` with the weights of `censoring_weights`.

Everybody at risk counts in the predicted mean, the censored included: their risks are known.

Sources: Royston & Altman 2013, doi 10.1186/1471-2288-13-33; McLernon et al. 2023, doi 10.7326/M22-0844; competing
risks: van Geloven et al. 2022, doi 10.1136/bmj-2021-069249.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.calibration_spline import weighted_quantiles
from clinical_assets.statistics.inputs import InvalidArray, as_probability, as_weights
from clinical_assets.statistics.survival.censored_outcomes import CensoredOutcomes
from clinical_assets.statistics.survival.incidence import observed_risk, risk_at_horizon, summed_error
from clinical_assets.statistics.uncertainty.intervals import Estimate, normal_quantile


def observed_expected_at_horizon(
    outcomes: CensoredOutcomes,
    p: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Kaplan-Meier or Aalen-Johansen risk over the mean predicted risk, with an interval symmetric on the log scale.

    Parameters
    ----------
    outcomes : CensoredOutcomes
        Of n people.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks of the event by the horizon.
    weights : array of shape (n,), optional
        Case weights.
    groups : array of shape (n,), optional
        Subjects that have several rows.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    Estimate
        1 is ideal, above 1 the risks are too low on average. The interval counts both the observed and the predicted
        mean as estimates from these people.

    Raises
    ------
    InsufficientData
        Nobody has the event, or the follow-up ends before the horizon.

    Examples
    --------
    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([2, 3, 4, 7], [1, 0, 1, 0], horizon=5)
    >>> observed_expected_at_horizon(people, [0.5] * 4).value
    1.25
    """
    risk, base = _risks(outcomes, p), as_weights(weights, n=outcomes.n)
    found, expected = observed_risk(outcomes, base), float(base @ risk) / float(base.sum())
    if found.value <= 0:
        raise InsufficientData("nobody has the event by the horizon", cure="Pass more people, or a later horizon.")
    parts = base * (found.influence / found.value - (risk / expected - 1) / base.sum())
    half = normal_quantile(level) * summed_error(parts, groups)
    ratio = found.value / expected
    events = int((outcomes.outcome * (base > 0)).sum())
    low, high = ratio * np.exp([-half, half])
    return Estimate(ratio, float(low), float(high), outcomes.n, events, "infinitesimal jackknife (log)", level)


@dataclass(frozen=True)
class ObservedGroups:
    """Groups of predicted risk and what became of them; each array has shape (groups,), by ascending risk.

    Attributes
    ----------
    predicted : mean predicted risks
    observed, low, high : Kaplan-Meier or Aalen-Johansen risks at the horizon, with intervals
    n, events : people (sums of weights, the censored included), and those with the event by the horizon (counted)
    """

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    n: FloatArray
    events: FloatArray


def observed_groups(
    outcomes: CensoredOutcomes,
    p: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    n_bins: int = 10,
) -> ObservedGroups:
    """Observed risk in quantile groups of the predicted risk.

    Parameters and errors as `observed_expected_at_horizon`; `n_bins` groups of about equal weight, fewer where risks
    are tied. A group in which nobody or everybody has the event, or whose follow-up ends before the horizon, has no
    interval and is left out.

    Examples
    --------
    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> time, event = [2, 3, 4, 7] * 50 + [3, 8, 8, 9] * 50, [1, 0, 1, 0] * 50 + [1, 0, 0, 0] * 50
    >>> people = censored_outcomes(time, event, horizon=5)
    >>> groups = observed_groups(people, [0.6] * 200 + [0.25] * 200, n_bins=2)
    >>> groups.predicted.round(3).tolist(), groups.observed.round(3).tolist()
    ([0.25, 0.6], [0.25, 0.625])
    """
    risk, base = _risks(outcomes, p), as_weights(weights, n=outcomes.n)
    order = np.argsort(risk, kind="stable")
    edges = np.unique(weighted_quantiles(risk[order], base[order], tuple(np.arange(1, n_bins) / n_bins)))
    group_of = np.searchsorted(edges, risk, side="left")
    rows: list[tuple[float, ...]] = []
    for number in np.unique(group_of):
        chosen = group_of == number
        own = base[chosen]
        try:
            found = risk_at_horizon(outcomes.people(chosen), weights=own, level=level)
        except InsufficientData:
            continue
        mean = float(own @ risk[chosen]) / float(own.sum())
        rows.append((mean, found.value, found.ci_low, found.ci_high, float(own.sum()), float(found.events)))
    return ObservedGroups(*np.array(rows, dtype=np.float64).reshape(-1, 6).T)


def _risks(outcomes: CensoredOutcomes, p: ArrayLike) -> FloatArray:
    risk = as_probability(p)
    if risk.size != outcomes.n:
        raise InvalidArray(
            f"p has {risk.size} elements but there are {outcomes.n} people", cure="Pass one risk per person, in order."
        )
    return risk
