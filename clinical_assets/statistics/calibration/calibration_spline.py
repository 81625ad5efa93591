"""The smoother behind the calibration curve: a restricted cubic spline of the predicted log-odds.

What belongs here: gathering rows into cells, the spline and its fit.
What does not: the indices and plot points read off it (`smooth_calibration`).

The smoother is a logistic regression of the outcome on a restricted cubic spline of logit(p) with fixed
knots (Harrell's quantiles), fitted as a departure from the identity line. Austin & Steyerberg used loess;
Van Calster et al. 2016 recommend either. Exact loess takes time that grows with the square of the rows, its
curve can leave [0, 1], and it has no standard errors to draw a band from. The spline runs in O(n), stays in
(0, 1), and is linear in the log-odds beyond the outer knots, so that a few extreme risks do not bend it. Few
events get few knots. Above 2,048 rows, rows are gathered into 2,048 equally wide cells of logit(p), each
represented by its own mean: the curve is flat at that width, and the indices move by less than 1e-4.

Sources: Austin & Steyerberg 2019, doi 10.1002/sim.8281; Van Calster et al. 2016, doi
10.1016/j.jclinepi.2015.12.005; knots Harrell 2015, Regression Modeling Strategies, section 2.4.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.calibration.logistic import expit, fit_logistic, fit_logistic_batch, logit
from clinical_assets.statistics.inputs import BinarySample
from clinical_assets.statistics.uncertainty.intervals import normal_quantile
from clinical_assets.statistics.uncertainty.resampling import cell_totals

MAX_CELLS = 2048
# Knots need records of the rarer class to hold them: (records, quantiles of logit p).
KNOTS = (
    (100, (0.05, 0.275, 0.5, 0.725, 0.95)),
    (50, (0.05, 0.35, 0.65, 0.95)),
    (0, (0.10, 0.5, 0.90)),
)
# A twenty-fifth of what one record at even odds tells: separated resamples stay finite.
RIDGE = 0.01
NEGLIGIBLE = 1e-7


@dataclass(frozen=True)
class Cells:
    """Rows gathered by log-odds, ascending: mean log-odds, mean risk, events and totals of each cell."""

    log_odds: FloatArray
    risk: FloatArray
    events: FloatArray
    totals: FloatArray
    of_row: IntArray


def gather_cells(sample: BinarySample) -> Cells:
    """Distinct log-odds up to 2,048 rows, equally wide cells above; those without weight are left out.

    Examples
    --------
    >>> sample = BinarySample(y=np.array([0.0, 1, 1]), score=np.array([0.2, 0.2, 0.5]), weights=np.ones(3))
    >>> cells = gather_cells(sample)
    >>> cells.risk.round(2).tolist(), cells.events.tolist(), cells.totals.tolist()
    ([0.2, 0.5], [1.0, 1.0], [2.0, 1.0])
    """
    log_odds = logit(sample.score)
    if log_odds.size <= MAX_CELLS:
        levels, of_row = np.unique(log_odds, return_inverse=True)
        of_row = of_row.reshape(-1)
        size = levels.size
    else:
        low, high = float(log_odds.min()), float(log_odds.max())
        width = max(high - low, 1e-12) / MAX_CELLS
        of_row = np.minimum(((log_odds - low) / width).astype(np.int64), MAX_CELLS - 1)
        size = MAX_CELLS
    totals, events, x, risk = (
        cell_totals(of_row, w, size)
        for w in (
            sample.weights,
            sample.weights * sample.y,
            sample.weights * log_odds,
            sample.weights * sample.score,
        )
    )
    used = totals > 0
    position = np.cumsum(used) - 1
    return Cells(
        x[used] / totals[used],
        risk[used] / totals[used],
        events[used],
        totals[used],
        # Rows without weight in a cell without weight count nowhere; any position serves them.
        np.maximum(position[of_row], 0),
    )


class CalibrationSpline:
    """A restricted cubic spline of log-odds with knots fixed by the data: a departure from the identity."""

    def __init__(self, cells: Cells, rarer_class: float) -> None:
        shares = next(quantiles for records, quantiles in KNOTS if rarer_class >= records)
        knots = np.unique(weighted_quantiles(cells.log_odds, cells.totals, shares))
        # Tied risks let quantiles coincide; below three knots a restricted cubic spline is a straight line.
        self.knots = knots if knots.size >= 3 else knots[:0]
        raw = self._raw(cells.log_odds)
        share = cells.totals / cells.totals.sum()
        self.centre = share @ raw
        centred = raw - self.centre
        scale = np.sqrt(share @ centred**2)
        scale[scale == 0] = 1
        # Spline columns are nearly collinear. Orthonormal directions make the ridge weigh on all alike, and
        # leave out those that few distinct risks do not span.
        _, size, directions = np.linalg.svd(np.sqrt(share)[:, None] * centred / scale, full_matrices=False)
        spanned = size > NEGLIGIBLE * max(1.0, size[0])
        self.rotation = (directions[spanned] / size[spanned, None]).T / scale[:, None]
        self.log_odds, self.risk = cells.log_odds, cells.risk
        self.design = self._design(cells.log_odds)
        self.penalty = np.full(self.design.shape[1], RIDGE)
        self.penalty[0] = 0

    def _raw(self, x: FloatArray) -> FloatArray:
        columns = [x]
        if self.knots.size:
            k = self.knots
            cubes = np.maximum(x[:, None] - k, 0) ** 3 / (k[-1] - k[0]) ** 2
            gap = k[-1] - k[-2]
            columns.extend(
                cubes[:, j] - cubes[:, -2] * (k[-1] - k[j]) / gap + cubes[:, -1] * (k[-2] - k[j]) / gap
                for j in range(k.size - 2)
            )
        return np.column_stack(columns)

    def _design(self, x: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(x.size), (self._raw(x) - self.centre) @ self.rotation])

    def indices(self, events: FloatArray, totals: FloatArray) -> FloatArray:
        """ICI, E50, E90 of each weighting: (b, cells) -> (b, 3), NaN where the fit fails."""
        beta = fit_logistic_batch(self.design, events, totals, offset=self.log_odds, penalty=self.penalty)
        distance = np.abs(expit(beta @ self.design.T + self.log_odds) - self.risk)
        n = totals.sum(axis=1)
        order = np.argsort(distance, axis=1)
        ranked = np.take_along_axis(distance, order, axis=1)
        cumulative = np.cumsum(np.take_along_axis(totals, order, axis=1), axis=1)
        result = np.empty((events.shape[0], 3))
        result[:, 0] = np.einsum("bm,bm->b", distance, totals) / n
        for column, share in ((1, 0.5), (2, 0.9)):
            place = (cumulative < share * n[:, None]).sum(axis=1)
            result[:, column] = ranked[np.arange(n.size), np.minimum(place, ranked.shape[1] - 1)]
        return result

    def curve(self, cells: Cells, at: FloatArray, *, level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Smoothed risk and pointwise Wald band at log-odds `at`."""
        fit = fit_logistic(
            self.design,
            cells.events / cells.totals,
            cells.totals,
            offset=cells.log_odds,
            penalty=self.penalty,
        )
        flat = at.reshape(-1)
        design = self._design(flat)
        eta = flat + design @ fit.coefficients
        half = normal_quantile(level) * np.sqrt(np.einsum("ij,jk,ik->i", design, fit.covariance, design))
        observed, low, high = (expit(x).reshape(at.shape) for x in (eta, eta - half, eta + half))
        return observed, low, high


def weighted_quantiles(values: FloatArray, weights: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """Weighted quantiles of ascending values: the first whose cumulative weight reaches each share.

    Examples
    --------
    >>> weighted_quantiles(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 8.0]), (0.1, 0.5)).tolist()
    [1.0, 3.0]
    """
    cumulative = np.cumsum(weights)
    place = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1] * (1 - 1e-12))
    return np.asarray(values[np.minimum(place, values.size - 1)])
