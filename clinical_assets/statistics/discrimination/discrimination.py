"""Does the model rank events above non-events? AUROC, paired comparison, average precision.

What belongs here: threshold-free measures of ranking for a binary outcome.
What does not: measures at a threshold (`classification`), several classes (`multiclass`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import BinarySample, InvalidArray, Seed, binary_sample
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic, bootstrap
from clinical_assets.statistics.uncertainty.intervals import Estimate, logit_interval, normal_quantile

ROUNDING = 1e-13


@dataclass(frozen=True)
class AurocComparison:
    """Two models on the same records.

    Attributes
    ----------
    difference : Estimate
        AUROC of the first minus that of the second; 0 means no difference.
    first, second : Estimate
    z : float
        Difference divided by its standard error.
    p_value : float
        Two-sided, of the hypothesis that the AUROCs are equal.
    """

    difference: Estimate
    first: Estimate
    second: Estimate
    z: float
    p_value: float


def auroc(
    y: ArrayLike,
    score: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    scale: Literal["logit", "identity"] = "logit",
) -> Estimate:
    """Area under the ROC curve with DeLong's interval, in O(n log n).

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    score : array of shape (n,)
        Any finite number that rises with the risk; ties count one half.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the interval.
    scale : "logit" or "identity"
        Where the interval is symmetric. "logit" stays inside (0, 1) and covers better near 1;
        "identity" is the interval of pROC, cut at 0 and 1.

    Returns
    -------
    Estimate
        .5 is chance, 1 is ideal. At an AUROC of exactly 0 or 1 DeLong's variance is zero; the interval is
        then the Clopper-Pearson interval of k concordant among k disjoint pairs, k = min(events,
        non-events).

    Raises
    ------
    InsufficientData
        Fewer than 2 events or 2 non-events.
    InvalidArray
        NaN, infinite, or shapes that differ.

    Source: DeLong et al. 1988, doi 10.2307/2531595; algorithm Sun & Xu 2014, doi 10.1109/LSP.2014.2337313;
    logit scale Qin & Hotilovac 2008, Stat Methods Med Res 17:207-221.

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value  # three of four pairs are in order
    0.75
    >>> auroc([0, 0, 1, 1], [1, 2, 3, 4]).value
    1.0
    >>> auroc([0, 0, 1, 1], [5, 5, 5, 5]).value  # ties count one half
    0.5
    """
    sample = binary_sample(y, score, weights, score_range="real", min_per_class=2, name="score")
    value, placements = _placements(sample)
    return _delong_estimate(sample, value, placements, level, scale)


def compare_auroc(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    reference: Literal["normal", "t"] = "normal",
) -> AurocComparison:
    """Paired DeLong comparison of two scores on the same records.

    Parameters, errors and source as in `auroc`. With ``reference="t"`` interval and p-value of the difference follow
    Student's distribution, for levels far from 95 %, whose tails the normal one makes too thin; its degrees of freedom
    are those of the rarer outcome, the least that Welch and Satterthwaite's may be (Brunner & Munzel 2000, doi
    10.1002/(SICI)1521-4036(200001)42:1<17::AID-BIMJ17>3.0.CO;2-U). Raises InsufficientData as well when the AUROCs
    differ but DeLong's variance of the difference is zero, as for a perfect score against a constant one.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> test = compare_auroc(y, [1, 2, 3, 5, 4, 6, 7, 8], [1, 6, 3, 5, 4, 2, 7, 8])
    >>> test.first.value, test.second.value, test.difference.value
    (0.9375, 0.6875, 0.25)
    >>> round(test.p_value, 2)  # eight records cannot tell the two apart
    0.22
    """
    samples = [
        binary_sample(y, s, weights, score_range="real", min_per_class=2, name=name)
        for s, name in ((first, "first"), (second, "second"))
    ]
    (value_1, placements_1), (value_2, placements_2) = (_placements(s) for s in samples)
    sample, difference = samples[0], value_1 - value_2
    error = math.sqrt(_delong_variance(sample, placements_1 - placements_2))
    if error < 1e-12:
        if abs(difference) > 1e-12:
            raise InsufficientData(
                "the AUROCs differ, but their difference has no estimable variance",
                cure="Compare the models on more records.",
            )
        z, p_value = 0.0, 1.0
    else:
        z = difference / error
        p_value = 2 * NormalDist().cdf(-abs(z))
    quantile = normal_quantile(level)
    if reference == "t":
        from scipy.stats import t

        rarer = t(min(sample.events, sample.n - sample.events) - 1)
        quantile, p_value = float(rarer.ppf(0.5 + level / 2)), float(2 * rarer.sf(abs(z)))
    half = quantile * error
    estimate = Estimate(
        difference,
        max(-1.0, difference - half),
        min(1.0, difference + half),
        round(sample.n),
        round(sample.events),
        "paired DeLong" if reference == "normal" else "paired DeLong, t",
        level,
    )
    one, two = (
        _delong_estimate(s, v, p, level, "logit")
        for s, v, p in zip(samples, (value_1, value_2), (placements_1, placements_2), strict=True)
    )
    return AurocComparison(estimate, one, two, z, p_value)


def auprc(
    y: ArrayLike,
    score: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    interval: Literal["bootstrap", "logit"] = "bootstrap",
    n_resamples: int = 1000,
    seed: Seed = 0,
) -> Estimate:
    """Area under the precision-recall curve as average precision (sum of precision times step of recall).

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    score : array of shape (n,)
        Any finite number that rises with the risk.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of the interval.
    interval : "bootstrap" or "logit"
        "logit" needs no resampling (for millions of rows): it treats the value as a proportion of the
        events.
    n_resamples : int
        Number of bootstrap resamples.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.

    Returns
    -------
    Estimate
        The prevalence is chance, 1 is ideal.

    Raises
    ------
    InsufficientData
        A class is missing, or so small that more than 5 % of the resamples lack it.

    Source: average precision as in scikit-learn; interval Boyd, Eng & Page 2013, doi
    10.1007/978-3-642-40994-3_29.

    Examples
    --------
    Events at rank 1 and 3: half of recall at precision 1, half at 2/3.

    >>> round(auprc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], interval="logit").value, 3)
    0.833
    """
    sample = binary_sample(y, score, weights, score_range="real", name="score")
    order = np.argsort(sample.score, kind="stable")
    statistic = auprc_statistic(sample.y[order], sample.score[order])
    if interval == "bootstrap":
        return bootstrap(
            statistic,
            order.size,
            events=sample.events,
            n_resamples=n_resamples,
            seed=seed,
            weights=sample.weights[order],
            groups=None if groups is None else np.asarray(groups)[order],
            level=level,
        )
    if groups is not None:
        raise InvalidArray("the logit interval takes records as independent", cure='Use interval="bootstrap".')
    value = float(statistic(sample.weights[order][None, :])[0])
    if value >= 1:
        raise InsufficientData("average precision is 1: the logit interval has no width", cure="Pass more records.")
    low, high = logit_interval(value, math.sqrt(value * (1 - value) / sample.events), level=level)
    return Estimate(value, low, high, round(sample.n), round(sample.events), "logit", level)


def auroc_range(*, sensitivity: float, specificity: float) -> tuple[float, float]:
    """Smallest and largest AUROC of a score that reaches a sensitivity at a specificity.

    The ROC curve rises from (0, 0) through the point (1 - specificity, sensitivity) to (1, 1) and never falls; nothing
    else is asked of it. A published AUROC outside belongs to another score, other people, or no score at all. With
    sensitivity, precision and prevalence given, specificity = 1 - sensitivity prevalence (1 - precision) / (precision
    (1 - prevalence)).

    Parameters
    ----------
    sensitivity, specificity : float in [0, 1]
        At one threshold.

    Returns
    -------
    lowest, highest : float
        sensitivity specificity, and 1 - (1 - sensitivity) (1 - specificity).

    Source: areas of the two rectangles that a monotone curve through the point must cover and may not cover.

    Examples
    --------
    Recall .83 at precision .55, 24 % leaving: specificity .785, and an AUROC of .62 is impossible.

    >>> specificity = 1 - 0.83 * 0.24 * (1 - 0.55) / (0.55 * (1 - 0.24))
    >>> [round(bound, 3) for bound in auroc_range(sensitivity=0.83, specificity=specificity)]
    [0.652, 0.964]
    """
    return sensitivity * specificity, 1 - (1 - sensitivity) * (1 - specificity)


def auroc_statistic(y: ArrayLike, score: ArrayLike) -> WeightedStatistic:
    """AUROC as a function of weights (b, n) -> (b,), NaN where a class has no weight.

    For `bootstrap.bootstrap`.

    Passing rows already sorted by score saves a copy of the weights per call.

    Examples
    --------
    >>> statistic = auroc_statistic([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> statistic(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1]])).tolist()
    [0.75, 1.0, nan]
    """
    sample = binary_sample(y, score, score_range="real", name="score")
    ranking = _Ranking(sample)

    def statistic(weights: FloatArray) -> FloatArray:
        positive, negative = ranking.class_weights(weights)
        below = np.cumsum(negative, axis=1)
        total_negative = below[:, -1].copy()
        below -= negative / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.einsum("bn,bn->b", positive, below) / (positive.sum(axis=1) * total_negative))

    return statistic


def auprc_statistic(y: ArrayLike, score: ArrayLike) -> WeightedStatistic:
    """Average precision as a function of weights (b, n) -> (b,), NaN where a class has no weight.

    Examples
    --------
    >>> statistic = auprc_statistic([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> statistic(np.array([[1, 1, 1, 1], [1, 0, 1, 1]])).round(3).tolist()
    [0.833, 1.0]
    """
    sample = binary_sample(y, score, score_range="real", name="score")
    ranking = _Ranking(sample)

    def statistic(weights: FloatArray) -> FloatArray:
        positive, negative = ranking.class_weights(weights)
        # Alerts at or above each score: cumulative from the highest score down.
        true_alerts = np.cumsum(positive[:, ::-1], axis=1)
        alerts = np.cumsum(negative[:, ::-1], axis=1)
        no_negative = alerts[:, -1] == 0
        alerts += true_alerts
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(alerts > 0, true_alerts / alerts, 0.0)
            value = np.einsum("bn,bn->b", positive[:, ::-1], precision) / true_alerts[:, -1]
        value[no_negative] = np.nan
        return np.asarray(value)

    return statistic


class _Ranking:
    """Records in ascending order of score, with ties merged."""

    def __init__(self, sample: BinarySample) -> None:
        order = np.argsort(sample.score, kind="stable")
        self.order = None if (order == np.arange(order.size)).all() else order
        score = sample.score[order]
        self.y = sample.y[order]
        starts = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
        self.starts: NDArray[np.intp] | None = None if starts.size == score.size else starts

    def class_weights(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weights of events and of non-events per distinct score, each (b, distinct scores)."""
        ordered = weights if self.order is None else weights[:, self.order]
        positive = ordered * self.y
        negative = ordered - positive
        if self.starts is not None:
            positive = np.add.reduceat(positive, self.starts, axis=1)
            negative = np.add.reduceat(negative, self.starts, axis=1)
        return positive, negative


def _placements(sample: BinarySample) -> tuple[float, FloatArray]:
    """AUROC, and each record's share of the other class that it is ranked rightly against (ties one half)."""
    _, rank = np.unique(sample.score, return_inverse=True)
    rank = rank.reshape(-1)
    positive = np.bincount(rank, weights=sample.weights * sample.y)
    negative = np.bincount(rank, weights=sample.weights * (1 - sample.y))
    below = (np.cumsum(negative) - negative / 2) / sample.non_events
    above = (sample.events - np.cumsum(positive) + positive / 2) / sample.events
    placements = np.where(sample.y == 1, below[rank], above[rank])
    value = float((sample.weights * sample.y) @ placements) / sample.events
    # Sums of fractional weights miss an exact 0 or 1 by rounding, and those two have an interval of their
    # own.
    if min(value, 1 - value) < ROUNDING:
        value = float(round(value))
    return value, placements


def _delong_variance(sample: BinarySample, placements: FloatArray) -> float:
    variance, (events, non_events) = 0.0, sample.counts
    for mask, size, count in ((sample.y, sample.events, events), (1 - sample.y, sample.non_events, non_events)):
        w = sample.weights * mask
        mean = float(w @ placements) / size
        if count == size:
            variance += float(w @ (placements - mean) ** 2) / (size - 1) / size
        else:  # no counts: records vary with their weights (Taylor linearisation)
            variance += float(w**2 @ (placements - mean) ** 2) / size**2 * count / (count - 1)
    return variance


def _delong_estimate(sample: BinarySample, value: float, placements: FloatArray, level: float, scale: str) -> Estimate:
    pairs = min(sample.counts)
    if value in (0.0, 1.0):
        # All of k disjoint pairs are concordant (or none): (alpha/2)^(1/k), exact and conservative.
        bound = ((1 - level) / 2) ** (1 / pairs)
        low, high = (bound, 1.0) if value == 1 else (0.0, 1 - bound)
        method = "Clopper-Pearson on disjoint pairs"
    else:
        error = math.sqrt(_delong_variance(sample, placements))
        if scale == "logit":
            low, high = logit_interval(value, error, level=level)
        else:
            half = normal_quantile(level) * error
            low, high = max(0.0, value - half), min(1.0, value + half)
        method = f"DeLong {scale}"
    return Estimate(value, low, high, round(sample.n), round(sample.events), method, level)
