"""Measures as weighted statistics, for intervals that resample subjects, or rows with their case weights.

``clinical_assets.statistics`` offers most measures in that form; here are the ratios that it gives for rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic, bootstrap
from clinical_assets.statistics.uncertainty.intervals import Estimate


def drawn_units(n: int, groups: IntArray | None, weights: FloatArray | None) -> IntArray | None:
    """What a resample draws of n rows: subjects; each row with its weight where there are case weights; None is plain.

    The statistics' own way with weights is that of frequencies, which repeats rows; a case weight repeats nobody.
    """
    return np.arange(n) if groups is None and weights is not None else groups


def rate_parts(y: IntArray, p: FloatArray, *, threshold: float) -> Mapping[str, tuple[FloatArray, FloatArray]]:
    """Numerator and denominator contributions (n,) of each rate at a threshold."""
    alert, event = (p >= threshold).astype(float), (y == 1).astype(float)
    true_alert, ones = alert * event, np.ones(y.size)
    return {
        "sensitivity": (true_alert, event),
        "specificity": ((1 - alert) * (1 - event), 1 - event),
        "ppv": (true_alert, alert),
        "npv": ((1 - alert) * (1 - event), 1 - alert),
        "f1": (2 * true_alert, alert + event),
        "alert_rate": (alert, ones),
        "number_needed_to_evaluate": (alert, true_alert),
    }


def ratio(top: FloatArray, bottom: FloatArray) -> Callable[[], WeightedStatistic]:
    """Sum of `top` over sum of `bottom`, each of shape (n,), as a weighted statistic; NaN where the latter is 0."""

    def statistic(weights: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (weights @ top) / (weights @ bottom)
        return np.where(np.isfinite(values), values, np.nan)

    return lambda: statistic


def scaled_brier_statistic(y: IntArray, p: FloatArray) -> WeightedStatistic:
    """Scaled Brier score as a function of weights (b, n) -> (b,); ``statistics.calibration.scaled_brier`` resampled."""
    losses = (y - p) ** 2

    def statistic(weights: FloatArray) -> FloatArray:
        total = weights.sum(axis=1)
        prevalence = (weights @ y) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            values = 1 - (weights @ losses) / total / (prevalence * (1 - prevalence))
        return np.where(np.isfinite(values), values, np.nan)

    return statistic


def resampled(
    make: Callable[[], WeightedStatistic],
    y: IntArray,
    groups: IntArray,
    seed: int,
    n_resamples: int,
    *,
    weights: FloatArray | None = None,
    checked: Callable[[], Estimate] | None = None,
) -> Callable[[], Estimate]:
    """The statistic with an interval from resampling subjects; `checked` first refuses what it would refuse.

    The result counts records and events, whatever they weigh.
    """

    def compute() -> Estimate:
        if checked is not None:
            checked()
        found = bootstrap(
            make(), y.size, events=float(y.sum()), weights=weights, groups=groups, n_resamples=n_resamples, seed=seed
        )
        return replace(found, n=int(y.size))

    return compute
