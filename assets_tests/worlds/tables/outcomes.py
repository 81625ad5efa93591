"""Simulated (synthetic) outcomes and risks for the tests of this room, and strategies for small samples."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Sample = tuple[FloatArray, FloatArray]
WeightedSample = tuple[FloatArray, FloatArray, FloatArray]


def risks(
    n: int, *, seed: int = 0, intercept: float = 0.0, slope: float = 1.0, mean: float = -1.0, sd: float = 1.2
) -> Sample:
    """Outcomes and risks; the true log-odds are intercept + slope * the predicted log-odds."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(mean, sd, n)
    truth = 1 / (1 + np.exp(-(intercept + slope * log_odds)))
    return (rng.random(n) < truth).astype(float), 1 / (1 + np.exp(-log_odds))


def weighted_risks(n: int, *, seed: int = 0) -> WeightedSample:
    """Outcomes, risks rounded so that some are tied, and whole weights from 0 to 3."""
    y, p = risks(n, seed=seed)
    return y, np.round(p, 2).clip(0.01, 0.99), np.random.default_rng(seed + 1).integers(0, 4, n).astype(float)


def repeated(weights: FloatArray, *arrays: FloatArray) -> list[FloatArray]:
    """The arrays with each element repeated as often as its weight."""
    return [np.repeat(a, weights.astype(int)) for a in arrays]


@st.composite
def samples(draw: st.DrawFn, *, max_size: int = 60) -> Sample:
    """At least two events and two non-events, with risks on a coarse grid so that ties are common."""
    n = draw(st.integers(4, max_size))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    y[:4] = [0, 1, 0, 1]
    p = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 19)))
    return y.astype(float), p / 20
