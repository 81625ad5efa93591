"""The calibration curve and what is read off it: ICI, E50, E90 and the points of a plot.

What belongs here: the indices of Austin & Steyerberg, the points of a calibration plot.
What does not: drawing the plot; calibration intercept and slope (`calibration`).

The smoother and its reasons are in `calibration_spline`.

Sources: Austin & Steyerberg 2019, doi 10.1002/sim.8281; Van Calster et al. 2016, doi
10.1016/j.jclinepi.2015.12.005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.calibration_spline import (
    CalibrationSpline,
    gather_cells,
    weighted_quantiles,
)
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.inputs import InvalidArray, Seed, binary_sample, generator
from clinical_assets.statistics.uncertainty.bootstrap import percentile_interval
from clinical_assets.statistics.uncertainty.intervals import Estimate, wilson_interval
from clinical_assets.statistics.uncertainty.resampling import cell_totals, resampled_cell_totals

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class CalibrationIndices:
    """Distances between the smoothed observed risk and the predicted risk.

    Attributes
    ----------
    ici, e50, e90 : Estimate
        Mean (integrated calibration index), median and 90th percentile of |smooth(p) - p| over the
        records, in units of risk; 0 is ideal. Bootstrap percentile intervals.
    ici_if_calibrated : float
        Mean ICI when outcomes are drawn from the predicted risks themselves. A distance cannot be
        negative, so a perfectly calibrated model shows this much on so many records: an ICI near it says
        nothing against the model.
    """

    ici: Estimate
    e50: Estimate
    e90: Estimate
    ici_if_calibrated: float


@dataclass(frozen=True)
class CalibrationPlot:
    """Points of a calibration plot, all in units of risk.

    Attributes
    ----------
    predicted, observed, low, high : arrays of shape (n_grid,)
        Smooth curve and its pointwise band over the central 99 % of the predicted risks.
    bin_predicted, bin_observed, bin_low, bin_high : arrays of shape (bins,)
        Mean predicted risk and share of events per quantile bin, with Wilson intervals.
    bin_n, bin_events : arrays of shape (bins,)
        Records and events per bin (sums of weights).
    level : float
    """

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    bin_predicted: FloatArray
    bin_observed: FloatArray
    bin_low: FloatArray
    bin_high: FloatArray
    bin_n: FloatArray
    bin_events: FloatArray
    level: float


def calibration_indices(
    y: ArrayLike,
    p: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 200,
    seed: Seed = 0,
) -> CalibrationIndices:
    """ICI, E50 and E90 with bootstrap intervals, and the ICI to expect from a calibrated model.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of the intervals.
    n_resamples : int
        Of the bootstrap, and of the draws behind `ici_if_calibrated`.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.

    Raises
    ------
    InsufficientData
        Fewer than 10 events or 10 non-events: a curve through them would be invention.
    InvalidArray
        NaN, infinite, out of range, or shapes that differ.

    Source: Austin & Steyerberg 2019, doi 10.1002/sim.8281.

    Examples
    --------
    Two events in ten at a risk of .2, and eight in ten at .8:

    >>> y, p = ([1] * 20 + [0] * 80 + [1] * 80 + [0] * 20), ([0.2] * 100 + [0.8] * 100)
    >>> round(calibration_indices(y, p, n_resamples=50).ici.value, 3)
    0.0

    Where .1 and .9 were predicted, each is off by .1:

    >>> index = calibration_indices(y, [0.1] * 100 + [0.9] * 100, n_resamples=50)
    >>> round(index.ici.value, 2)
    0.1
    >>> index.ici_if_calibrated < 0.05
    True
    """
    sample = binary_sample(y, p, weights, min_per_class=MIN_PER_CLASS)
    rng = generator(seed)
    cells = gather_cells(sample)
    spline = CalibrationSpline(cells, min(sample.counts))
    value = spline.indices(cells.events[None, :], cells.totals[None, :])[0]
    m = cells.totals.size
    totals = resampled_cell_totals(
        cells.of_row + m * sample.y.astype(np.int64),
        2 * m,
        n_resamples=n_resamples,
        seed=rng,
        weights=sample.weights,
        groups=groups,
    )
    events = totals[:, m:]
    low, high = percentile_interval(spline.indices(events, totals[:, :m] + events), level=level)
    rows = np.maximum(np.rint(cells.totals), 1).astype(np.int64)
    drawn = rng.binomial(rows, cells.risk, size=(n_resamples, m)) * (cells.totals / rows)
    by_chance = spline.indices(drawn, np.broadcast_to(cells.totals, drawn.shape))[:, 0]
    ici, e50, e90 = (
        Estimate(
            float(value[i]),
            float(low[i]),
            float(high[i]),
            round(sample.n),
            round(sample.events),
            "bootstrap percentile",
            level,
        )
        for i in range(3)
    )
    return CalibrationIndices(ici, e50, e90, float(np.nanmean(by_chance)))


def smooth_observed_risk(y: ArrayLike, p: ArrayLike, *, at: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Smoothed observed risk, shape of `at`, at predicted risks `at` in (0, 1).

    Parameters and errors as in `calibration_indices`. Equal to `at` where the model is calibrated.

    Examples
    --------
    >>> y, p = ([1] * 20 + [0] * 80 + [1] * 80 + [0] * 20), ([0.1] * 100 + [0.9] * 100)
    >>> smooth_observed_risk(y, p, at=[0.1, 0.9]).round(2).tolist()
    [0.2, 0.8]
    """
    sample = binary_sample(y, p, weights, min_per_class=MIN_PER_CLASS)
    grid = binary_grid(at)
    cells = gather_cells(sample)
    spline = CalibrationSpline(cells, min(sample.counts))
    return spline.curve(cells, logit(grid), level=0.95)[0]


def calibration_plot(
    y: ArrayLike,
    p: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    n_bins: int = 10,
    n_grid: int = 100,
) -> CalibrationPlot:
    """Smooth curve with a pointwise Wald band, and quantile bins with Wilson intervals.

    Parameters and errors as in `calibration_indices`; `n_bins` bins of about equal weight (fewer where
    risks are tied) and `n_grid` points of the curve. The band takes records as independent.

    Examples
    --------
    >>> y, p = ([1] * 20 + [0] * 80 + [1] * 80 + [0] * 20), ([0.1] * 100 + [0.9] * 100)
    >>> plot = calibration_plot(y, p, n_bins=2, n_grid=2)
    >>> plot.bin_predicted.round(2).tolist(), plot.bin_observed.round(2).tolist()
    ([0.1, 0.9], [0.2, 0.8])
    >>> plot.observed.round(2).tolist()
    [0.2, 0.8]
    """
    if n_bins < 2 or n_grid < 2:
        raise InvalidArray("n_bins and n_grid must be at least 2")
    sample = binary_sample(y, p, weights, min_per_class=MIN_PER_CLASS)
    cells = gather_cells(sample)
    spline = CalibrationSpline(cells, min(sample.counts))
    low_end, high_end = weighted_quantiles(cells.risk, cells.totals, (0.005, 0.995))
    grid = np.linspace(low_end, high_end, n_grid)
    observed, low, high = spline.curve(cells, logit(grid), level=level)
    edges = np.unique(weighted_quantiles(cells.risk, cells.totals, tuple(np.arange(1, n_bins) / n_bins)))
    bin_of_cell = np.searchsorted(edges, cells.risk, side="left")
    size = edges.size + 1
    n, events, risk = (
        cell_totals(bin_of_cell, w, size) for w in (cells.totals, cells.events, cells.totals * cells.risk)
    )
    used = n > 0
    n, events, risk = n[used], events[used], risk[used]
    bin_low, bin_high = wilson_interval(events, n, level=level)
    return CalibrationPlot(grid, observed, low, high, risk / n, events / n, bin_low, bin_high, n, events, level)


def binary_grid(at: ArrayLike) -> FloatArray:
    """Predicted risks strictly between 0 and 1, any shape.

    Examples
    --------
    >>> binary_grid([0.1, 0.9]).tolist()
    [0.1, 0.9]
    >>> binary_grid([0, 1])
    Traceback (most recent call last):
        ...
    InvalidArray: `at` holds values that are not strictly between 0 and 1
    """
    grid = np.asarray(at, dtype=np.float64)
    if not ((grid > 0) & (grid < 1)).all():
        raise InvalidArray("`at` holds values that are not strictly between 0 and 1")
    return grid
