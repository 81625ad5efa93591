"""Ridge regression of a hazard on features: Cox's, and Fine and Gray's where other events compete.

What belongs here: the fit and the risk at the horizon. What does not: choosing the penalty; classes at the horizon.

The hazard of the event, at time t of somebody with features x, is h0(t) exp(x b). Where events compete it is the hazard
of the subdistribution: who had a competing event stays at risk, and counts as much as somebody like them would still be
followed, G(t-) / G(T-), where G is the chance not to be censored. Ties are Breslow's, and so is the baseline.
Coefficients are of the whole follow-up, and the baseline is that at the horizon. Who stops times at the horizon, where
hazards are proportional until then only, passes outcomes cut there.

Sources: Cox 1972, doi 10.1111/j.2517-6161.1972.tb00899.x; Breslow 1974, doi 10.2307/2529620; Fine & Gray 1999,
doi 10.1080/01621459.1999.10474144.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, as_weights
from clinical_assets.statistics.survival.censored_outcomes import COMPETING, EVENT, CensoredOutcomes
from clinical_assets.statistics.survival.censoring_weights import NOBODY, free_of_censoring

_STEPS = 60
_CLOSE = 1e-10
_SHORT = 1e-3
# Hazards further apart than this, as logs, have no sum in double precision.
_WIDEST = 300.0


@dataclass(frozen=True)
class HazardRegression:
    """A fitted hazard; `risk` is the risk of the event by the horizon.

    Attributes
    ----------
    coefficients : array of shape (p,)
        Log hazard ratios per unit of each feature.
    log_cumulative_hazard : float
        Log of the cumulative baseline hazard at the horizon, of somebody whose features are all 0.
    """

    coefficients: FloatArray
    log_cumulative_hazard: float

    def risk(self, X: FloatArray) -> FloatArray:
        """Risks (n,) by the horizon of features (n, p): 1 - exp(-H0 exp(x b))."""
        return risk_of_hazard(self.log_cumulative_hazard + X @ self.coefficients)


def risk_of_hazard(log_cumulative_hazard: FloatArray) -> FloatArray:
    """Risks of log cumulative hazards, of any shape.

    >>> risk_of_hazard(np.array([-np.inf, np.log(np.log(2)), np.inf])).round(3).tolist()
    [0.0, 0.5, 1.0]
    """
    with np.errstate(over="ignore"):
        return np.asarray(-np.expm1(-np.exp(log_cumulative_hazard)))


def fit_hazards(
    X: FloatArray, outcomes: CensoredOutcomes, *, ridge: float = 0.0, weights: ArrayLike | None = None
) -> HazardRegression:
    """Fit by Newton's method on the penalised log partial likelihood.

    Parameters
    ----------
    X : array of shape (n, p)
        Features, none missing; where `ridge` is above 0, of like scale.
    outcomes : CensoredOutcomes
        Of the same n people.
    ridge : float, at least 0
        Half of it times the squared coefficients is taken from the log partial likelihood.
    weights : array of shape (n,), optional
        Case weights, ones by default.

    Raises
    ------
    InsufficientData
        Nobody had the event by the horizon, or features order the times of events wholly and no penalty holds them.
    InvalidArray
        X has another shape.

    Examples
    --------
    Without features it is the risk by the Nelson-Aalen estimate:

    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([1, 2, 3, 4], [1, 0, 1, 0], horizon=5)
    >>> fit_hazards(np.empty((4, 0)), people).risk(np.empty((1, 0))).round(4).tolist()
    [0.5276]
    >>> round(1 - float(np.exp(-(1 / 4 + 1 / 2))), 4)
    0.5276
    """
    if X.ndim != 2 or X.shape[0] != outcomes.n:
        raise InvalidArray(f"X has shape {X.shape}, expected ({outcomes.n}, p)")
    sets = _RiskSets(X, outcomes, as_weights(weights, n=outcomes.n))
    beta = np.zeros(X.shape[1])
    value, gradient, information = sets.likelihood(beta, ridge)
    for _ in range(_STEPS):
        step = _solve(information, gradient)
        # Where hazard ratios grow without bound the likelihood hardly rises any more, but the steps stay as long.
        if float(gradient @ step) <= _CLOSE and np.abs(X @ step).max(initial=0.0) <= _SHORT:
            return HazardRegression(beta, sets.log_cumulative_hazard(beta))
        # Half of the step until the likelihood rises: it is concave, so that some part of the step does.
        for _ in range(_STEPS):
            found = sets.likelihood(beta + step, ridge)
            if np.isfinite(found[0]) and found[0] >= value:
                break
            step = step / 2
        else:
            break
        beta = beta + step
        value, gradient, information = found
    raise InsufficientData(
        "the hazard ratios grow without bound: some features order the times of events wholly.",
        cure="Penalise them (ridge above 0), or leave such features out.",
    )


def log_cumulative_hazard(linear: FloatArray, outcomes: CensoredOutcomes, *, weights: ArrayLike | None = None) -> float:
    """Log of Breslow's cumulative hazard at the horizon where the log hazard ratios (n,) of all n people are known.

    It is that of somebody whose log hazard ratio is 0. Errors as `fit_hazards`.

    Examples
    --------
    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([1, 2, 3, 4], [1, 0, 1, 0], horizon=5)
    >>> round(float(np.exp(log_cumulative_hazard(np.zeros(4), people))), 4)
    0.75
    """
    return _RiskSets(linear[:, None], outcomes, as_weights(weights, n=outcomes.n)).log_cumulative_hazard(np.ones(1))


def _solve(information: FloatArray, gradient: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(information, gradient))
    except np.linalg.LinAlgError:  # columns that say the same, and no penalty: the shortest of the steps
        return np.asarray(np.linalg.lstsq(information, gradient, rcond=None)[0])


class _RiskSets:
    """Who was at risk at each time of an event, sorted by time, so that their sums are running sums."""

    def __init__(self, X: FloatArray, outcomes: CensoredOutcomes, weights: FloatArray) -> None:
        order = np.argsort(outcomes.time, kind="stable")
        time, code = outcomes.time[order], outcomes.event[order]
        self.X, self.weights = np.ascontiguousarray(X[order]), weights[order]
        event = code == EVENT
        if not (event & (time <= outcomes.horizon)).any():
            raise InsufficientData(
                "nobody had the event by the horizon.", cure="Lengthen the horizon, or widen the cohort."
            )
        self.event, self.horizon = event, outcomes.horizon
        self.times, place = np.unique(time[event], return_inverse=True)
        #: Weight of the events of each time (k,).
        self.deaths = np.bincount(place.reshape(-1), weights=self.weights[event])
        #: First person (k,) who is followed up to each of these times.
        self.first = np.searchsorted(time, self.times, side="left")
        #: Number of times of events (n,) up to the end of each follow-up.
        self.passed: IntArray = np.searchsorted(self.times, time, side="right")
        levels, free = free_of_censoring(CensoredOutcomes(time, code, outcomes.horizon), self.weights)
        self.free = free[np.searchsorted(levels, self.times)]
        before = free[np.searchsorted(levels, time)]
        #: 1 / G (n,) of who had a competing event, else 0.
        competing = (code == COMPETING) & (before > NOBODY)
        self.stays = np.where(competing, 1 / np.where(competing, before, 1.0), 0.0)

    def likelihood(self, beta: FloatArray, ridge: float) -> tuple[float, FloatArray, FloatArray]:
        """Penalised log partial likelihood, its gradient (p,) and its information (p, p)."""
        linear = self.X @ beta
        top = float(linear.max())
        if top - float(linear.min()) > _WIDEST:
            return -np.inf, np.zeros_like(beta), np.eye(beta.size)
        hazard = self.weights * np.exp(linear - top)
        total = self._at_risk(hazard)
        mean = self._at_risk(hazard[:, None] * self.X) / total[:, None]
        counted = self.weights * self.event
        value = float(counted @ linear - self.deaths @ (np.log(total) + top)) - 0.5 * ridge * float(beta @ beta)
        gradient = counted @ self.X - self.deaths @ mean - ridge * beta
        spread = (self.X * (hazard * self._exposure(total))[:, None]).T @ self.X
        information = spread - (mean * self.deaths[:, None]).T @ mean + ridge * np.eye(beta.size)
        return value, gradient, information

    def log_cumulative_hazard(self, beta: FloatArray) -> float:
        """Breslow's cumulative hazard at the horizon, of features 0, as its log."""
        linear = self.X @ beta
        top = float(linear.max())
        total = self._at_risk(self.weights * np.exp(linear - top))
        return float(np.log((self.deaths / total)[self.times <= self.horizon].sum()) - top)

    def _at_risk(self, values: FloatArray) -> FloatArray:
        """Sums (k, ...) of values (n, ...) over who is at risk at each time of an event."""
        followed = np.cumsum(values[::-1], axis=0)[::-1][self.first]
        if not self.stays.any():
            return np.asarray(followed)
        wide = (slice(None), *(None,) * (values.ndim - 1))
        gone = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(self.stays[wide] * values, axis=0)])
        return np.asarray(followed + self.free[wide] * gone[self.first])

    def _exposure(self, total: FloatArray) -> FloatArray:
        """Baseline hazard (n,) that each person was exposed to, while followed and after a competing event."""
        while_followed = np.concatenate([[0.0], np.cumsum(self.deaths / total)])[self.passed]
        if not self.stays.any():
            return np.asarray(while_followed)
        shares = self.deaths * self.free / total
        after = np.concatenate([np.cumsum(shares[::-1])[::-1], [0.0]])[self.passed]
        return np.asarray(while_followed + self.stays * after)
