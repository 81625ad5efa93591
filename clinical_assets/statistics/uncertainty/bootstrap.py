"""Bootstrap estimates: the distribution of a weighted statistic, its percentile and BCa intervals.

What belongs here: turning resamples into intervals.
What does not: drawing the resamples (`resampling`); the statistics, each of which lives with its measure.

Source: Efron 1979, doi 10.1214/aos/1176344552; BCa: Efron 1987, doi 10.1080/01621459.1987.10478410.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray, Seed, as_codes, as_weights, check_fraction
from clinical_assets.statistics.uncertainty.intervals import Estimate, normal_quantile
from clinical_assets.statistics.uncertainty.resampling import MAX_CHUNK_ELEMENTS, resample_weights

WeightedStatistic = Callable[[FloatArray], FloatArray]
BootstrapInterval = Literal["percentile", "bca", "normal"]

# Above this share of undefined resamples a percentile describes the survivors, not the statistic.
MAX_UNDEFINED_SHARE = 0.05
MAX_JACKKNIFE_BLOCKS = 500


def bootstrap_distribution(
    statistic: WeightedStatistic,
    n: int,
    *,
    n_resamples: int = 1000,
    seed: Seed = 0,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> FloatArray:
    """Values of a weighted statistic over bootstrap resamples, shape (n_resamples,) or (n_resamples, k).

    Parameters as in `resample_weights`; `statistic` takes weights (b, n) and returns (b,) or (b, k), NaN
    where undefined.

    Examples
    --------
    The share of events among four records, each of them drawn again and again:

    >>> events = np.array([0, 1, 1, 1])
    >>> values = bootstrap_distribution(lambda w: w @ events / w.sum(axis=1), 4, n_resamples=20_000)
    >>> values.shape
    (20000,)
    >>> round(float(values.mean()), 2), round(float(values.std()), 2)  # theory: 0.75 and sqrt(0.75 * 0.25 / 4) = 0.22
    (0.75, 0.22)
    """
    chunks = resample_weights(n, n_resamples=n_resamples, seed=seed, weights=weights, strata=strata, groups=groups)
    return np.concatenate([np.asarray(statistic(chunk), dtype=np.float64) for chunk in chunks])


def percentile_interval(distribution: FloatArray, *, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Percentile interval along the first axis: (low, high), each of shape distribution.shape[1:].

    Raises InsufficientData if more than 5 % of the resamples of any column are undefined (NaN).

    Examples
    --------
    >>> low, high = percentile_interval(np.arange(101.0), level=0.90)
    >>> round(float(low), 2), round(float(high), 2)
    (5.0, 95.0)
    """
    tail = (1 - check_fraction(level, name="level")) / 2
    refuse_undefined(distribution)
    low, high = np.nanquantile(distribution, [tail, 1 - tail], axis=0)
    return low, high


def refuse_undefined(distribution: FloatArray) -> None:
    """Raise InsufficientData if more than 5 % of the resamples of any column are NaN.

    Examples
    --------
    >>> refuse_undefined(np.array([0.7] * 99 + [np.nan]))  # 1 % is let pass
    >>> refuse_undefined(np.array([0.7, np.nan]))
    Traceback (most recent call last):
        ...
    InsufficientData: the statistic is undefined in 50% of the bootstrap resamples
    """
    share = float(np.max(np.isnan(distribution).mean(axis=0)))
    if share > MAX_UNDEFINED_SHARE:
        raise InsufficientData(
            f"the statistic is undefined in {share:.0%} of the bootstrap resamples",
            cure="There are too few records or events for this statistic: widen the group, or "
            "resample within strata of the outcome.",
        )


def bootstrap(
    statistic: WeightedStatistic,
    n: int,
    *,
    events: float,
    n_resamples: int = 1000,
    seed: Seed = 0,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    interval: BootstrapInterval = "percentile",
) -> Estimate:
    """A weighted statistic with its bootstrap interval.

    Parameters
    ----------
    statistic : function of weights (b, n) to values (b,)
        For instance `discrimination.auroc_statistic(y, p)`.
    n : int
        Number of records.
    events : float
        Number of events, which stands in the result.
    n_resamples : int
        Number of bootstrap resamples.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.
    weights : array of shape (n,), optional
        Frequency weights, as in `resample_weights`.
    strata : array of shape (n,), optional
        Labels whose sizes stay fixed, as in `resample_weights`.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of the interval.
    interval : "percentile", "bca" or "normal"
        BCa corrects for bias and skewness; it needs a smooth statistic and is refused for one whose
        resamples do not vary. Its acceleration comes from leaving out records or, above 500 of them,
        blocks of records. Normal takes the spread of the resamples alone, for levels so high that few
        resamples lie beyond them.

    Raises
    ------
    InsufficientData
        The statistic is undefined on the data or in more than 5 % of the resamples, or BCa has nothing to
        work on.

    Examples
    --------
    A share of 75 in 100, whose standard error is .043:

    >>> events = np.repeat([0, 1], [25, 75])
    >>> share = bootstrap(lambda w: w @ events / w.sum(axis=1), 100, events=75)
    >>> share.value, round(share.ci_low, 2), round(share.ci_high, 2)
    (0.75, 0.66, 0.83)
    """
    base = as_weights(weights, n=n)
    value = float(statistic(base[None, :])[0])
    if np.isnan(value):
        raise InsufficientData("the statistic is undefined on these records", cure="Pass records with both outcomes.")
    values = bootstrap_distribution(
        statistic,
        n,
        n_resamples=n_resamples,
        seed=seed,
        weights=weights,
        strata=strata,
        groups=groups,
    )
    if interval == "percentile":
        low, high = (float(bound) for bound in percentile_interval(values, level=level))
    elif interval == "normal":
        refuse_undefined(values)
        half = normal_quantile(level) * float(np.nanstd(values, ddof=1))
        low, high = value - half, value + half
    else:
        if strata is not None or (groups is None and (base != 1).any()):
            raise InvalidArray(
                "BCa leaves out one record at a time, which strata and frequency weights do not allow",
                cure='Use interval="percentile", or repeat the rows.',
            )
        refuse_undefined(values)
        left_out = _jackknife(statistic, base, groups)
        low, high = _bca(values[~np.isnan(values)], value, left_out, level)
    kind = "bootstrap" if groups is None else "group bootstrap"
    return Estimate(
        value,
        low,
        high,
        round(float(base.sum())),
        round(float(events)),
        f"{kind} {interval}",
        level,
    )


def _jackknife(statistic: WeightedStatistic, base: FloatArray, groups: ArrayLike | None) -> FloatArray:
    """The statistic with each record, group or block of them left out."""
    n = base.size
    units, n_units = (np.arange(n), n) if groups is None else as_codes(groups, n=n, name="groups")
    if n_units > MAX_JACKKNIFE_BLOCKS:
        # Block sums have 1/sqrt(size) of the skewness, and the acceleration divides by sqrt(blocks): it
        # stays the same.
        units = np.random.default_rng(0).permutation(n_units)[units] % MAX_JACKKNIFE_BLOCKS
        n_units = MAX_JACKKNIFE_BLOCKS
    chunk = max(1, MAX_CHUNK_ELEMENTS // n)
    parts: list[FloatArray] = []
    for start in range(0, n_units, chunk):
        blocks = np.arange(start, min(start + chunk, n_units))
        keep: NDArray[np.bool_] = units[None, :] != blocks[:, None]
        parts.append(statistic(keep * base))
    return np.concatenate(parts)


def _bca(values: FloatArray, value: float, left_out: FloatArray, level: float) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    below = ((values < value).sum() + (values <= value).sum()) / (2 * values.size)
    deviations = np.mean(left_out) - left_out
    spread = float((deviations**2).sum())
    if not 0 < below < 1 or not np.isfinite(spread) or spread == 0:
        raise InsufficientData(
            "BCa needs a statistic that varies to both sides and is defined without any one record",
            cure='Use interval="percentile", or more records.',
        )
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    bias = float(ndtri(below))
    tail = (1 - check_fraction(level, name="level")) / 2
    z = np.array([ndtri(tail), ndtri(1 - tail)])
    shares = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
    low, high = np.quantile(values, shares)
    return float(low), float(high)
