"""Estimates with intervals: the result type of the room, and the intervals that need no resampling.

What belongs here: `Estimate`, intervals of proportions (Wilson, Clopper-Pearson) and of means (Wald, logit).
What does not: resampling, which is in `resampling`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray, check_fraction

ProportionMethod = Literal["wilson", "clopper-pearson"]


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval and what it rests on.

    Attributes
    ----------
    value, ci_low, ci_high : float
        Point value and bounds, in the unit of the statistic.
    n : int
        Records the value rests on (sum of weights, rounded). For a proportion this is its denominator.
    events : int
        Events among them, or the numerator of a proportion.
    method : str
        How the interval was made.
    level : float
        Confidence level, .95 unless told.
    """

    value: float
    ci_low: float
    ci_high: float
    n: int
    events: int
    method: str
    level: float = 0.95

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit, such as per 1,000 patients. `factor` must be positive."""
        if not factor > 0:
            raise InvalidArray(f"factor is {factor}, expected a positive number")
        return replace(self, value=self.value * factor, ci_low=self.ci_low * factor, ci_high=self.ci_high * factor)

    def as_dict(self) -> dict[str, float | int | str]:
        """Plain values for a record, a card or a log."""
        return {
            "value": self.value,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "n": self.n,
            "events": self.events,
            "method": self.method,
            "level": self.level,
        }


def normal_quantile(level: float) -> float:
    """Two-sided standard normal quantile: 1.96 for level .95.

    Examples
    --------
    >>> round(normal_quantile(0.95), 2), round(normal_quantile(0.90), 3)
    (1.96, 1.645)
    """
    return NormalDist().inv_cdf(0.5 + check_fraction(level, name="level") / 2)


def wilson_interval(successes: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Wilson score interval, element by element.

    Parameters
    ----------
    successes, n : arrays of the same shape
        Counts or sums of weights, 0 <= successes <= n and n > 0.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    low, high : arrays in [0, 1]

    Raises
    ------
    InvalidArray
        Counts are negative, NaN, or successes exceed n.
    InsufficientData
        An n is zero.

    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953; recommended over Wald by Brown, Cai, DasGupta
    2001, doi 10.1214/ss/1009213286.

    Examples
    --------
    >>> low, high = wilson_interval([5, 0], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.0], [0.763, 0.278])
    """
    k, size = _counts(successes, n)
    z2 = normal_quantile(level) ** 2
    share = k / size
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2) / (1 + z2 / size) * np.sqrt(share * (1 - share) / size + z2 / (4 * size**2))
    # Rounding would otherwise leave 1e-17 where the bound is exactly 0 or 1.
    low = np.where(k == 0, 0.0, np.clip(centre - half, 0, share))
    high = np.where(k == size, 1.0, np.clip(centre + half, share, 1))
    return low, high


def clopper_pearson_interval(
    successes: ArrayLike, n: ArrayLike, *, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson ("exact", conservative) interval, element by element.

    Shapes and errors as `wilson_interval`.

    Source: Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> low, high = clopper_pearson_interval([5, 0], [10, 10])
    >>> low.round(3).tolist(), high.round(3).tolist()  # wider than Wilson's
    ([0.187, 0.0], [0.813, 0.308])
    """
    from scipy.special import betaincinv

    k, size = _counts(successes, n)
    tail = (1 - check_fraction(level, name="level")) / 2
    low = np.where(k == 0, 0.0, betaincinv(np.where(k == 0, 1.0, k), size - k + 1, tail))
    high = np.where(k == size, 1.0, betaincinv(k + 1, np.where(k == size, 1.0, size - k), 1 - tail))
    return low, high


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    k, size = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    if not (np.isfinite(k).all() and np.isfinite(size).all()) or (k < 0).any() or (size < 0).any():
        raise InvalidArray("counts of a proportion must be finite and not negative")
    if (size == 0).any():
        raise InsufficientData(
            "a proportion without a denominator: n is 0",
            cure="Report it as not estimable, or widen the group it is taken over.",
        )
    # Sums of weights reach the two counts by different orders of addition.
    if (k > size * (1 + 1e-9)).any():
        raise InvalidArray("a proportion has more successes than records")
    return np.minimum(k, size), size


def proportion(successes: float, n: float, *, method: ProportionMethod = "wilson", level: float = 0.95) -> Estimate:
    """A proportion in [0, 1] with its interval.

    `successes` and `n` are counts or sums of frequency weights. Raises InsufficientData when n is 0.

    Examples
    --------
    >>> share = proportion(5, 10)
    >>> share.value, round(share.ci_low, 3), round(share.ci_high, 3)
    (0.5, 0.237, 0.763)
    """
    interval = wilson_interval if method == "wilson" else clopper_pearson_interval
    low, high = interval(successes, n, level=level)
    return Estimate(float(successes) / float(n), float(low), float(high), round(n), round(successes), method, level)


def mean_estimate(
    values: FloatArray,
    weights: FloatArray,
    *,
    events: float,
    level: float = 0.95,
    value: float | None = None,
    method: str = "wald",
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """A weighted mean of per-record contributions with its Wald interval.

    Parameters
    ----------
    values, weights : arrays of shape (n,)
        Contributions and frequency weights. When `value` is given, `values` are the record's influences
        on it: their mean is about zero and only their spread is used (delta method).
    events : float
        Number of events, which stands in the result.
    level : float in (0, 1)
        Confidence level of the interval.
    value : float, optional
        Point value of the statistic, where it is not the mean of `values`.
    method : str
        How the interval was made, for the result.
    bounds : (float, float)
        Range of the statistic, to which the interval is cut.

    Raises
    ------
    InsufficientData
        The weights add up to less than 2: a spread cannot be estimated.

    Examples
    --------
    Standard deviation 1, standard error 1 / sqrt(3):

    >>> mean = mean_estimate(np.array([1.0, 2, 3]), np.ones(3), events=0)
    >>> mean.value, round(mean.ci_high - mean.value, 2)  # 1.96 / sqrt(3)
    (2.0, 1.13)
    """
    total = float(weights.sum())
    if total < 2:
        raise InsufficientData(f"{total:g} records, at least 2 needed for an interval", cure="Pass more records.")
    mean = float(weights @ values) / total
    variance = float(weights @ (values - mean) ** 2) / (total - 1)
    half = normal_quantile(level) * math.sqrt(variance / total)
    centre = mean if value is None else value
    low, high = max(bounds[0], centre - half), min(bounds[1], centre + half)
    return Estimate(centre, low, high, round(total), round(events), method, level)


def logit_interval(value: float, standard_error: float, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a statistic in (0, 1), symmetric in log-odds, so that it stays inside (0, 1).

    `standard_error` is that of the value itself. Raises InvalidArray when the value is 0 or 1.

    Examples
    --------
    >>> low, high = logit_interval(0.9, 0.05)
    >>> round(low, 3), round(high, 3)  # 0.9 + 1.96 * 0.05 would be 0.998
    (0.752, 0.964)
    """
    check_fraction(value, name="value")
    log_odds = math.log(value / (1 - value))
    half = normal_quantile(level) * standard_error / (value * (1 - value))
    return _expit(log_odds - half), _expit(log_odds + half)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
