"""Looks that a protocol schedules: boundaries of O'Brien-Fleming type, at any fractions of the planned information.

What belongs here: error spending and the boundaries of a normal statistic at its looks. What does not: looking at any
time (``bounded_difference``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray, check_fraction

_NORMAL = NormalDist()
#: Points of the grid on which the density of the statistic is carried from look to look, and how far it reaches.
_POINTS, _REACH = 1601, 8.0
_BISECTIONS = 50


def obrien_fleming_spending(fraction: float, *, alpha: float = 0.05) -> float:
    """Error that a two-sided test may have spent when this fraction of the information is there.

    Each side spends 2 - 2 Phi(z_{1 - alpha/4} / sqrt(fraction)) of its alpha/2: nearly none early, all at the end.
    Source: Lan & DeMets 1983, doi 10.1093/biomet/70.3.659.

    Examples
    --------
    >>> round(obrien_fleming_spending(0.2), 6), obrien_fleming_spending(1.0)
    (1e-06, 0.05)
    """
    if not 0 < fraction <= 1:
        raise InvalidArray(f"fraction is {fraction}, expected above 0 and at most 1")
    quantile = _NORMAL.inv_cdf(1 - check_fraction(alpha, name="alpha") / 4)
    return alpha if fraction == 1 else 4 * _NORMAL.cdf(-quantile / fraction**0.5)


def obrien_fleming_boundaries(fractions: Sequence[float], *, alpha: float = 0.05) -> tuple[float, ...]:
    """What |z| must reach at each look, so that the looks together err with probability alpha.

    Parameters
    ----------
    fractions : sequence of float
        Information at each look as a part of the planned one, ascending, the last at most 1.
    alpha : float in (0, 1)
        Two-sided error over all looks.

    Returns
    -------
    tuple of float
        One per look. No boundary is beyond 8.

    Raises
    ------
    InvalidArray
        No look, or fractions that do not ascend within (0, 1].

    Source: recursive integration of Armitage, McPherson & Rowe 1969, doi 10.2307/2343787, under the spending of Lan &
    DeMets 1983.

    Examples
    --------
    >>> [round(z, 2) for z in obrien_fleming_boundaries([0.2, 0.4, 0.6, 0.8, 1.0])]
    [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    times = [float(each) for each in fractions]
    if not times or times[0] <= 0 or times[-1] > 1 or any(b <= a for a, b in itertools.pairwise(times)):
        raise InvalidArray(f"fractions are {times}, expected ascending numbers above 0 and at most 1")
    found: list[float] = []
    spent, before = 0.0, 0.0
    # Density of the score process B(t) on a grid, of paths that crossed no boundary yet.
    grid: FloatArray = np.array([0.0])
    density: FloatArray = np.array([1.0])
    for time in times:
        step = (time - before) ** 0.5
        to_spend = obrien_fleming_spending(time, alpha=alpha) - spent
        low, high = 0.0, _REACH
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            crossed = _crossing(grid, density, step, middle * time**0.5)
            low, high = (middle, high) if crossed > to_spend else (low, middle)
        found.append(high)
        spent += to_spend
        edge = high * time**0.5
        points = np.linspace(-edge, edge, _POINTS)
        weights = np.full(_POINTS, points[1] - points[0])
        weights[[0, -1]] /= 2
        kernel = np.exp(-(((points[:, None] - grid[None, :]) / step) ** 2) / 2) / (step * (2 * np.pi) ** 0.5)
        grid, density, before = points, (kernel @ density) * weights, time
    return tuple(found)


def _crossing(grid: FloatArray, density: FloatArray, step: float, edge: float) -> float:
    """Probability that the next value lies beyond `edge` on either side."""
    from scipy.special import ndtr

    beyond = ndtr((grid - edge) / step) + ndtr((-edge - grid) / step)
    return float(beyond @ density)
