"""Do predicted risks mean what they say? Brier score, calibration intercept and slope, O/E.

What belongs here: single numbers of calibration and overall accuracy.
What does not: the smoothed curve and what is read off it (`smooth_calibration`); repairing calibration
(`updating`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.logistic import fit_logistic, fit_logistic_batch, logit
from clinical_assets.statistics.inputs import BinarySample, binary_sample
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic
from clinical_assets.statistics.uncertainty.intervals import Estimate, mean_estimate, normal_quantile


def brier(y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """Brier score, the mean squared difference of outcome and predicted risk, with a Wald interval.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    Estimate
        0 is ideal; prevalence * (1 - prevalence) is what a constant risk reaches.

    Raises
    ------
    InsufficientData
        A class is missing.
    InvalidArray
        NaN, infinite, out of range, or shapes that differ.

    Source: Brier 1950, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> brier([0, 1], [0.5, 0.5]).value  # what a coin reaches
    0.25
    >>> round(brier([0, 1, 1, 0], [0.2, 0.8, 0.6, 0.4]).value, 3)  # (0.04 + 0.04 + 0.16 + 0.16) / 4
    0.1
    """
    sample = binary_sample(y, p, weights)
    loss = (sample.y - sample.score) ** 2
    return mean_estimate(loss, sample.weights, events=sample.events, level=level, bounds=(0, 1))


def scaled_brier(y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """1 - Brier / (prevalence * (1 - prevalence)), with a Wald interval by the delta method.

    Parameters and errors as in `brier`. 1 is ideal, 0 is a constant risk, negative is worse than that.

    Source: Steyerberg et al. 2010, doi 10.1097/EDE.0b013e3181c30fb2.

    Examples
    --------
    >>> round(scaled_brier([0, 1, 1, 0], [0.2, 0.8, 0.6, 0.4]).value, 3)  # 1 - 0.1 / 0.25
    0.6
    >>> scaled_brier([0, 1], [0.5, 0.5]).value  # a constant risk
    0.0
    """
    sample = binary_sample(y, p, weights)
    loss = (sample.y - sample.score) ** 2
    mean_loss = float(sample.weights @ loss) / sample.n
    prevalence = sample.events / sample.n
    worst = prevalence * (1 - prevalence)
    influence = -(loss - mean_loss) / worst + mean_loss * (1 - 2 * prevalence) * (sample.y - prevalence) / worst**2
    return mean_estimate(
        influence,
        sample.weights,
        events=sample.events,
        level=level,
        value=1 - mean_loss / worst,
        method="wald (delta)",
    )


def calibration_intercept(
    y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Calibration in the large: a in logit P(y) = a + offset(logit p), with a Wald interval.

    Parameters and errors as in `brier`.

    Returns
    -------
    Estimate
        In log-odds; 0 is ideal, above 0 the risks are too low on average.

    Source: Cox 1958, doi 10.1093/biomet/45.3-4.562; Van Calster et al. 2016, doi
    10.1016/j.jclinepi.2015.12.005.

    Examples
    --------
    Three events in four where half were predicted: the risks are too low by logit(.75) = ln 3 = 1.1.

    >>> round(calibration_intercept([0, 1, 1, 1], [0.5] * 4).value, 2)
    1.1
    >>> round(abs(calibration_intercept([0, 1, 1, 1], [0.75] * 4).value), 2)
    0.0
    """
    sample = binary_sample(y, p, weights)
    fit = fit_logistic(np.ones((sample.y.size, 1)), sample.y, sample.weights, offset=logit(sample.score))
    return _wald(sample, fit.coefficients[0], fit.standard_errors[0], level)


def calibration_slope(y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """Calibration slope: b in logit P(y) = a + b logit p, with a Wald interval.

    Parameters as in `brier`.

    Returns
    -------
    Estimate
        1 is ideal; below 1 the risks are too extreme (overfitting), 0 is no association.

    Raises
    ------
    InsufficientData
        A class is missing, all risks are equal, or the risks separate the events from the non-events.

    Source: as `calibration_intercept`.

    Examples
    --------
    One event in five at low risk and four in five at high risk:

    >>> y = [1, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    >>> round(calibration_slope(y, [0.2] * 5 + [0.8] * 5).value, 2)
    1.0

    Risks of .1 and .9 would be too extreme, by logit(.8) / logit(.9):

    >>> round(calibration_slope(y, [0.1] * 5 + [0.9] * 5).value, 2)
    0.63
    """
    sample = binary_sample(y, p, weights)
    log_odds = logit(sample.score)
    refuse_separation(sample, log_odds)
    fit = fit_logistic(with_intercept(log_odds), sample.y, sample.weights)
    return _wald(sample, fit.coefficients[1], fit.standard_errors[1], level)


def observed_expected_ratio(
    y: ArrayLike, p: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Events observed over events expected (sum of risks), with an interval symmetric on the log scale.

    Parameters and errors as in `brier`. 1 is ideal, above 1 the risks are too low on average.
    The variance of log(O/E) is that of y / mean(y) - p / mean(p) over n (delta method): it holds for
    miscalibrated risks too, and for calibrated ones is that of the events given their risks.

    Source: log scale Debray et al. 2017, doi 10.1136/bmj.i6460.

    Examples
    --------
    >>> round(observed_expected_ratio([0, 1, 1, 1], [0.5] * 4).value, 2)  # 3 events, 2 expected
    1.5
    """
    sample = binary_sample(y, p, weights)
    observed = sample.events / sample.n
    expected = float(sample.weights @ sample.score) / sample.n
    log_ratio = mean_estimate(
        sample.y / observed - sample.score / expected,
        sample.weights,
        events=sample.events,
        level=level,
        value=float(np.log(observed / expected)),
        method="wald (log)",
    )
    value, low, high = np.exp([log_ratio.value, log_ratio.ci_low, log_ratio.ci_high])
    return replace(log_ratio, value=float(value), ci_low=float(low), ci_high=float(high))


def brier_statistic(y: ArrayLike, p: ArrayLike) -> WeightedStatistic:
    """Brier score as a function of weights (b, n) -> (b,), for `bootstrap.bootstrap`.

    Examples
    --------
    >>> statistic = brier_statistic([0, 1, 1, 0], [0.2, 0.8, 0.6, 0.4])
    >>> statistic(np.array([[1, 1, 1, 1], [1, 1, 0, 0]])).round(3).tolist()  # all records, and the first two
    [0.1, 0.04]
    """
    sample = binary_sample(y, p)
    loss = (sample.y - sample.score) ** 2

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray((weights @ loss) / weights.sum(axis=1))

    return statistic


def calibration_intercept_statistic(y: ArrayLike, p: ArrayLike) -> WeightedStatistic:
    """Calibration intercept as a function of weights (b, n) -> (b,), NaN where a class has no weight.

    Examples
    --------
    >>> statistic = calibration_intercept_statistic([0, 1, 1, 1], [0.5] * 4)
    >>> values = statistic(np.array([[1.0, 1, 1, 1], [3, 1, 1, 1]]))  # with weight 3, as many non-events as events
    >>> abs(values).round(2).tolist()
    [1.1, 0.0]
    """
    sample = binary_sample(y, p)
    log_odds = logit(sample.score)
    ones = np.ones((sample.y.size, 1))

    def statistic(weights: FloatArray) -> FloatArray:
        return fit_logistic_batch(ones, weights * sample.y, weights, offset=log_odds)[:, 0]

    return statistic


def calibration_slope_statistic(y: ArrayLike, p: ArrayLike) -> WeightedStatistic:
    """Calibration slope as a function of weights (b, n) -> (b,), NaN where the fit has no finite solution.

    Examples
    --------
    >>> statistic = calibration_slope_statistic([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], [0.2] * 5 + [0.8] * 5)
    >>> statistic(np.ones((1, 10))).round(2).tolist()  # calibrated
    [1.0]
    """
    sample = binary_sample(y, p)
    design = with_intercept(logit(sample.score))

    def statistic(weights: FloatArray) -> FloatArray:
        return fit_logistic_batch(design, weights * sample.y, weights)[:, 1]

    return statistic


def observed_expected_statistic(y: ArrayLike, p: ArrayLike) -> WeightedStatistic:
    """Observed over expected events as a function of weights (b, n) -> (b,).

    Examples
    --------
    >>> statistic = observed_expected_statistic([0, 1, 1, 1], [0.5] * 4)
    >>> statistic(np.array([[1, 1, 1, 1], [3, 1, 1, 1]])).tolist()  # 3 / 2 and 3 / 3
    [1.5, 1.0]
    """
    sample = binary_sample(y, p)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray((weights @ sample.y) / (weights @ sample.score))

    return statistic


def with_intercept(column: FloatArray) -> FloatArray:
    """A design of shape (n, 2): ones and the column.

    Examples
    --------
    >>> with_intercept(np.array([2.0, 3.0])).tolist()
    [[1.0, 2.0], [1.0, 3.0]]
    """
    return np.column_stack([np.ones(column.size), column])


def refuse_separation(sample: BinarySample, log_odds: FloatArray) -> None:
    """Raise InsufficientData where a slope has no finite maximum-likelihood estimate.

    Examples
    --------
    >>> mixed = binary_sample([0, 1, 0, 1], [0.2, 0.4, 0.6, 0.8])
    >>> refuse_separation(mixed, mixed.score)  # returns nothing
    >>> apart = binary_sample([0, 0, 1, 1], [0.2, 0.4, 0.6, 0.8])
    >>> refuse_separation(apart, apart.score)
    Traceback (most recent call last):
        ...
    InsufficientData: the risks separate 2 events from 2 non-events perfectly: the slope is infinite
    """
    used = sample.weights > 0
    events, others = log_odds[used & (sample.y == 1)], log_odds[used & (sample.y == 0)]
    if np.ptp(log_odds[used]) == 0:
        raise InsufficientData(
            "all predicted risks are equal: a slope cannot be estimated",
            cure="Report the calibration intercept alone.",
        )
    if events.min() >= others.max() or events.max() <= others.min():
        raise InsufficientData(
            f"the risks separate {round(sample.events)} events from {round(sample.non_events)} non-events "
            "perfectly: the slope is infinite",
            cure="Pass more records, or look for a leak of the outcome into the model.",
        )


def _wald(sample: BinarySample, value: float, error: float, level: float) -> Estimate:
    half = normal_quantile(level) * float(error)
    value = float(value)
    return Estimate(value, value - half, value + half, round(sample.n), round(sample.events), "wald", level)
