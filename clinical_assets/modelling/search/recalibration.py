"""The logistic map from a model's raw risk to the risk that is served.

A logistic map keeps the ranking and keeps contributions additive in log-odds; an isotonic one would do neither.

With more than two classes, which stand in rising severity, each cut between them has a map of its own: from the raw
probability of "at least this class" to the served one. The risk that is acted on is such a probability, so it is
calibrated as the risk of two classes is. Where maps would cross, the cuts of a row are put in order, which brings them
no further from the truth (Chernozhukov, Fernandez-Val & Galichon 2010, doi 10.3982/ECTA7880).
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
#: Sums of probabilities are kept this far from 0 and 1 before their log-odds are taken.
CUT_FLOOR = 1e-12
#: Added to every class, so that none of several is impossible.
CLASS_FLOOR = 1e-9


@dataclass(frozen=True)
class Recalibration:
    """logit(served) = intercept + slope * logit(raw), one pair for each of the k - 1 cuts between k classes.

    Attributes
    ----------
    intercepts, slopes : tuple of float
        Of length k - 1. 0 and 1 leave risks as they are. Bundles made before there were cuts hold k of them for more
        than two classes, one a class; their graphs score them.
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
            raise ValueError(f"a model of {len(values) + 1} classes has one value a cut")
        return values[0]

    def apply(self, raw: FloatArray) -> FloatArray:
        """Served risks of raw ones strictly between 0 and 1: (n,) of the positive class, or (n, k) that add up to 1."""
        cuts = raw[:, None] if raw.ndim == 1 else at_least(raw)
        log_odds = np.asarray(self.intercepts) + np.asarray(self.slopes) * logit(cuts)
        served = expit(np.clip(log_odds, -LOGIT_LIMIT, LOGIT_LIMIT))
        if raw.ndim == 1:
            return np.asarray(served[:, 0])
        ends = np.ones((len(raw), 1))
        between = -np.diff(np.hstack([ends, -np.sort(-served, axis=1), 0 * ends]), axis=1)
        return np.asarray((between + CLASS_FLOOR) / (1 + between.shape[1] * CLASS_FLOOR))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"intercepts": list(self.intercepts), "slopes": list(self.slopes), "at_floor": self.at_floor}


def at_least(p: FloatArray) -> FloatArray:
    """Probabilities (n, k - 1) of "at least class 1, 2, ..." from those of each class (n, k), kept inside 0 and 1.

    >>> at_least(np.array([[0.5, 0.3, 0.2]])).round(6).tolist()
    [[0.5, 0.2]]
    """
    above = np.cumsum(p[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return np.asarray(np.clip(above, CUT_FLOOR, 1 - CUT_FLOOR))


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
    cuts = raw[:, None] if raw.ndim == 1 else at_least(raw)
    maps = [fit_recalibration(y > k, logit(cut), weights=weights) for k, cut in enumerate(cuts.T)]
    return Recalibration(
        tuple(m.intercept for m in maps), tuple(m.slope for m in maps), any(m.slope_at_floor for m in maps)
    )
