"""The logistic map from a model's raw risk to the risk that is served.

A logistic map keeps the ranking and keeps contributions additive in log-odds; an isotonic one would do neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.calibration.logistic import expit, logit
from clinical_assets.statistics.calibration.updating import fit_recalibration

# Log-odds beyond this are served as this: 1 - expit(30) is 1e-13, the last that double precision still tells from 1.
LOGIT_LIMIT = 30.0


@dataclass(frozen=True)
class Recalibration:
    """logit(served) = intercept + slope * logit(raw), one pair for two classes, one pair a class for more.

    With more than two classes each class against the rest has a map of its own, and the results are divided by
    their sum.

    Attributes
    ----------
    intercepts, slopes : tuple of float
        Of length 1 for two classes, of length k for k classes. 0 and 1 leave risks as they are.
    at_floor : bool
        True when the scores ranked an outcome no better than chance, so that a slope was held at its floor.
    """

    intercepts: tuple[float, ...]
    slopes: tuple[float, ...]
    at_floor: bool = False

    @property
    def intercept(self) -> float:
        """Intercept of a model of two classes."""
        return self._single(self.intercepts)

    @property
    def slope(self) -> float:
        """Slope of a model of two classes."""
        return self._single(self.slopes)

    @staticmethod
    def _single(values: tuple[float, ...]) -> float:
        if len(values) != 1:
            raise ValueError(f"a model of {len(values)} classes has one value a class")
        return values[0]

    def apply(self, raw: FloatArray) -> FloatArray:
        """Served risks of raw ones strictly between 0 and 1: (n,) of the positive class, or (n, k) that add up to 1."""
        log_odds = np.asarray(self.intercepts) + np.asarray(self.slopes) * logit(raw[:, None] if raw.ndim == 1 else raw)
        served = expit(np.clip(log_odds, -LOGIT_LIMIT, LOGIT_LIMIT))
        if raw.ndim == 1:
            return np.asarray(served[:, 0])
        return np.asarray(served / served.sum(axis=1, keepdims=True))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"intercepts": list(self.intercepts), "slopes": list(self.slopes), "at_floor": self.at_floor}


IDENTITY = Recalibration((0.0,), (1.0,))


def fit(y: IntArray, raw: FloatArray, weights: FloatArray | None = None) -> Recalibration:
    """Fit the map on scores of rows that the model has not seen.

    Parameters
    ----------
    y : array of shape (n,)
        Class numbers.
    raw : array of shape (n,) or (n, k)
        Out-of-fold risks strictly between 0 and 1.
    weights : array of shape (n,), optional
        Case weights; their mean should be about 1, so that the prior weighs what a record weighs.

    Raises
    ------
    InsufficientData
        A class does not occur.

    Source: Cox 1958, doi 10.1093/biomet/45.3-4.562, with the weak prior of ``statistics.updating.fit_recalibration``.
    """
    if raw.ndim == 1:
        maps = [fit_recalibration(y, logit(raw), weights=weights)]
    else:
        maps = [fit_recalibration(y == k, logit(raw[:, k]), weights=weights) for k in range(raw.shape[1])]
    return Recalibration(
        tuple(m.intercept for m in maps), tuple(m.slope for m in maps), any(m.slope_at_floor for m in maps)
    )
