"""The difference of two arms of bounded values, with bounds that hold at every look and at every sample size.

What belongs here: contributions of a randomised trial whose share of treatment was raised on the way, the empirical-
Bernstein e-process of their sum, and its confidence sequence. What does not: sequences that hold asymptotically
(``comparison.sequential``), and the verdict (``experiments``).

Record i has the value y_i in [lower, upper], arm a_i and planned share p_i, known before a_i was drawn. With running
means m1, m0 of both arms strictly before it and the weight w_i = 4 p_i (1 - p_i), its contribution is

    X_i = w_i [m1 - m0 + a_i (y_i - m1) / p_i - (1 - a_i) (y_i - m0) / (1 - p_i)]

whose conditional mean is w_i times the difference of the arms, whatever m1 and m0 are. The weight keeps every
contribution within `contribution_bound` also at a share of one in a hundred, where an unweighted one would be
fifty times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.comparison.sequential import ConfidenceSequence
from clinical_assets.statistics.inputs import InvalidArray, check_fraction

_BISECTIONS = 60


@dataclass(frozen=True)
class RunningDifference:
    """Sums over the records seen so far; the last axis is the order of arrival, others are trials of their own.

    Attributes
    ----------
    total : array of shape (..., n)
        Sum of the contributions X_i.
    weight : array of shape (..., n)
        Sum of their weights w_i; total / weight estimates the difference.
    variation : array of shape (..., n)
        Sum of squared distances of the contributions from what the past foretold: the clock of the process.
    bound : float
        No contribution is farther from its prediction.
    """

    total: FloatArray
    weight: FloatArray
    variation: FloatArray
    bound: float

    @property
    def estimate(self) -> FloatArray:
        """Difference of the arms, treated minus control, in the unit of the values."""
        return self.total / self.weight

    def log_evidence(self, *, above: float, rho: float) -> FloatArray:
        """Log e-value against "the difference is at most `above`"; see `gamma_exponential_log_e` for `rho`."""
        return gamma_exponential_log_e(self.total - above * self.weight, self.variation, rho=rho, scale=self.bound)

    def log_evidence_below(self, *, below: float, rho: float) -> FloatArray:
        """Log e-value against "the difference is at least `below`"."""
        return gamma_exponential_log_e(below * self.weight - self.total, self.variation, rho=rho, scale=self.bound)

    def sequence(self, *, rho: float, alpha: float = 0.05) -> ConfidenceSequence:
        """Bounds of the difference that hold at all looks together with probability 1 - alpha, of one trial.

        Raises InvalidArray for several trials.
        """
        if self.total.ndim != 1:
            raise InvalidArray(f"{self.total.ndim} axes, expected one trial")
        half = mixture_boundary(self.variation, rho=rho, scale=self.bound, alpha=alpha / 2) / self.weight
        n = np.arange(1, self.total.size + 1)
        return ConfidenceSequence(n, self.estimate, self.estimate - half, self.estimate + half, alpha)


def running_difference(
    values: ArrayLike, treated: ArrayLike, *, share_treated: ArrayLike, lower: float, upper: float
) -> RunningDifference:
    """Sums of the contributions of a randomised trial.

    Parameters
    ----------
    values : array of shape (..., n)
        In order of arrival, each in [lower, upper].
    treated : array of shape (..., n), 0 or 1
        Arm that was assigned.
    share_treated : float or array of shape (n,), in (0, 1)
        Planned probability of treatment of each record.
    lower, upper : float
        Range of the values, known beforehand.

    Raises
    ------
    InsufficientData
        No record.
    InvalidArray
        Values out of their range, arms other than 0 and 1, shapes that differ, shares outside (0, 1).

    Source: augmented inverse-probability contributions as in Waudby-Smith et al., arXiv:2103.06476; the weights are
    known before the arm, so that the sum stays a martingale about the weighted difference.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> treated = rng.integers(2, size=4000)
    >>> values = rng.random(4000) < np.where(treated == 1, 0.4, 0.2)
    >>> trial = running_difference(values, treated, share_treated=0.5, lower=0, upper=1)
    >>> round(float(trial.estimate[-1]), 1)
    0.2
    >>> sequence = trial.sequence(rho=tuned_rho(1000 * 0.8))
    >>> bool(sequence.low[-1] > 0), bool((sequence.low <= 0.2).all())
    (True, True)
    """
    y, arm = np.asarray(values, dtype=np.float64), np.asarray(treated, dtype=np.float64)
    share = np.asarray(share_treated, dtype=np.float64)
    _refuse_unusable(y, arm, share, lower, upper)
    p = np.broadcast_to(share, y.shape[-1:])
    middle = (lower + upper) / 2
    before_treated, before_control = _mean_before(y, arm, middle), _mean_before(y, 1 - arm, middle)
    weight = 4 * p * (1 - p)
    foretold = weight * (before_treated - before_control)
    noise = 4 * (1 - p) * arm * (y - before_treated) - 4 * p * (1 - arm) * (y - before_control)
    return RunningDifference(
        total=np.cumsum(foretold + noise, axis=-1),
        weight=np.broadcast_to(np.cumsum(weight), y.shape),
        variation=np.cumsum(noise**2, axis=-1),
        bound=contribution_bound(share, lower=lower, upper=upper),
    )


def contribution_bound(share_treated: ArrayLike, *, lower: float, upper: float) -> float:
    """Farthest that a contribution can be from its prediction: 4 max(p, 1 - p) (upper - lower).

    Examples
    --------
    >>> contribution_bound(0.5, lower=-0.25, upper=1)  # the range of 1.25, twice for an inverse share of 1/2
    2.5
    """
    p = np.asarray(share_treated, dtype=np.float64)
    return float(4 * np.maximum(p, 1 - p).max() * (upper - lower))


def running_mean(values: ArrayLike, *, lower: float, upper: float) -> RunningDifference:
    """The same sums for paired values: differences of two models on the same record, shape (..., n), in [lower, upper].

    Raises as `running_difference`.

    Examples
    --------
    >>> pairs = running_mean([0.0, 1.0, 0.0, 1.0], lower=-1, upper=1)
    >>> pairs.estimate.tolist()[-1], pairs.bound
    (0.5, 2.0)
    """
    y = np.asarray(values, dtype=np.float64)
    _refuse_unusable(y, np.zeros(y.shape), np.asarray(0.5), lower, upper)
    before = _mean_before(y, np.ones(y.shape), (lower + upper) / 2)
    return RunningDifference(
        total=np.cumsum(y, axis=-1),
        weight=np.broadcast_to(np.arange(1.0, y.shape[-1] + 1), y.shape),
        variation=np.cumsum((y - before) ** 2, axis=-1),
        bound=float(upper - lower),
    )


def tuned_rho(variation: float, *, alpha: float = 0.05) -> float:
    """The tuning that makes the bounds tightest where the variation is about so large; they hold everywhere.

    variation / (2 ln(1/alpha) + ln(1 + 2 ln(1/alpha))).

    Source: Howard et al. 2021, doi 10.1214/20-AOS1991, section 3.5.

    Examples
    --------
    >>> round(tuned_rho(100.0), 1)
    12.6
    """
    if not variation > 0:
        raise InvalidArray(f"variation is {variation}, expected a positive number")
    spread = -2 * math.log(check_fraction(alpha, name="alpha"))
    return variation / (spread + math.log1p(spread))


def gamma_exponential_log_e(total: ArrayLike, variation: ArrayLike, *, rho: float, scale: float) -> FloatArray:
    """Log e-value of a sum S of bounded martingale differences with empirical variation V: evidence that it drifts up.

    Parameters
    ----------
    total, variation : arrays of one shape
        S and V >= 0.
    rho : float
        Tuning; `tuned_rho`.
    scale : float
        No difference is farther from its prediction.

    Returns
    -------
    array
        Its exponential is at most 1 in expectation at any stopping time while the drift is at most 0, at any sample
        size. -inf where S is so low that there is none.

    Source: the mixture of Howard et al. 2021, doi 10.1214/20-AOS1991, proposition 9, over the empirical-Bernstein
    supermartingale of Fan et al. 2015, doi 10.1214/EJP.v20-3496.

    Examples
    --------
    >>> gamma_exponential_log_e([0.0, 50.0], [0.0, 100.0], rho=12.6, scale=1.0).round(1).tolist()
    [-0.0, 8.1]
    """
    from scipy.special import gammainc, gammaln, xlogy

    if not (rho > 0 and scale > 0):
        raise InvalidArray(f"rho is {rho} and scale {scale}, expected positive numbers")
    s, v = np.asarray(total, dtype=np.float64), np.asarray(variation, dtype=np.float64)
    squared = scale**2
    start, shape = rho / squared, (v + rho) / squared
    place = np.maximum((scale * s + v + rho) / squared, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        prior = xlogy(start, start) - gammaln(start) - np.log(gammainc(start, start))
        # Of the exponential, place - start is (scale * s + v) / squared.
        log_e = prior + gammaln(shape) + np.log(gammainc(shape, place)) - xlogy(shape, place) + place - start
    return np.where(np.isnan(log_e) | (place <= 0), -np.inf, log_e)


def mixture_boundary(variation: ArrayLike, *, rho: float, scale: float, alpha: float) -> FloatArray:
    """What a sum may reach while its e-value stays below 1 / alpha, for each variation; found by bisection.

    Examples
    --------
    A single look of a normal sum at 2.5 % would allow 1.96 * sqrt(1000) = 62.

    >>> mixture_boundary([1000.0], rho=tuned_rho(1000, alpha=0.025), scale=1.0, alpha=0.025).round(0).tolist()
    [99.0]
    """
    v = np.asarray(variation, dtype=np.float64)
    goal = -math.log(check_fraction(alpha, name="alpha"))
    low = np.zeros(v.shape)
    high = np.full(v.shape, scale + rho)
    for _ in range(_BISECTIONS):
        short = gamma_exponential_log_e(high, v, rho=rho, scale=scale) < goal
        if not short.any():
            break
        high = np.where(short, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = gamma_exponential_log_e(middle, v, rho=rho, scale=scale) >= goal
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def _mean_before(y: FloatArray, mask: FloatArray, first: float) -> FloatArray:
    """Mean of the masked values strictly before each position, with one value `first` before all of them."""
    total = np.cumsum(y * mask, axis=-1) - y * mask
    count = np.cumsum(mask, axis=-1) - mask
    return (total + first) / (count + 1)


def _refuse_unusable(y: FloatArray, arm: FloatArray, share: FloatArray, lower: float, upper: float) -> None:
    if y.ndim == 0 or y.shape[-1] == 0:
        raise InsufficientData("no record", cure="Wait for the first outcome.")
    if not lower < upper:
        raise InvalidArray(f"the range is {lower} to {upper}, expected ascending bounds")
    if y.shape != arm.shape:
        raise InvalidArray(f"treated has shape {arm.shape} but values have {y.shape}")
    if share.ndim and share.shape != y.shape[-1:]:
        raise InvalidArray(f"share_treated has shape {share.shape}, expected one number or {y.shape[-1:]}")
    # NaN is in no range.
    if not ((y >= lower) & (y <= upper)).all():
        raise InvalidArray(f"values outside {lower} to {upper}", cure="State the range that the values can have.")
    if not np.isin(arm, (0, 1)).all():
        raise InvalidArray("treated holds other numbers than 0 and 1")
    if not ((share > 0) & (share < 1)).all():
        raise InvalidArray("share_treated holds numbers outside (0, 1)")
