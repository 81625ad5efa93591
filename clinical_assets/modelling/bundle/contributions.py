"""Why a score is what it is: each feature's share of the served log-odds.

Linear models and naive Bayes have a closed form; boosted trees give TreeSHAP values from their own library; forests,
networks and models of more than two classes are explained by sampled Shapley paths. In every case base + sum of the
contributions = the served log-odds.

A model of times to events is a sum in log hazard, and the served log-odds rise with that sum. Its shares of the log
hazard are all scaled by the same number, the rise of the log-odds per rise of the sum between base and row: the
Aumann-Shapley values along the straight way between the two, so that features stand to each other as in log hazard.

Sources: Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9 (TreeSHAP); Castro et al. 2009,
doi 10.1016/j.cor.2008.04.004 (sampled paths); Sundararajan et al. 2017, arXiv:1703.01365 (Aumann-Shapley).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle_description import (
    BAYES,
    LIGHTGBM,
    LINEAR,
    LINEAR_HAZARD,
    PATHS,
    XGBOOST,
    XGBOOST_HAZARD,
    BayesExplanation,
    BoosterExplanation,
    LinearExplanation,
    LinearHazardExplanation,
    PathsExplanation,
    StoredExplanation,
)
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.published import is_published
from clinical_assets.modelling.search.recalibration import LOGIT_LIMIT, Recalibration
from clinical_assets.modelling.table.preparation import Preparation, in_single_precision
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.survival.proportional_hazards import risk_of_hazard

if TYPE_CHECKING:
    from pathlib import Path

_PATHS = 8
_ROWS_A_CHUNK = 2048
# Sums of log hazards nearer to 0 than this are rounding beside what they are made of.
_FLAT = 1e-4

Score = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Explanation:
    """Contributions to the served log-odds of each row.

    Attributes
    ----------
    base : float, or array of shape (k,)
        Log-odds before any feature is looked at.
    contributions : array of shape (n, p) or (n, p, k)
        Share of each feature in the order of ``feature_columns``; for more than two classes, one for each class.
    log_odds : array of shape (n,) or (n, k)
        Served log-odds; base + contributions summed over features.
    method : str
        How they were made.
    """

    base: float | FloatArray
    contributions: FloatArray
    log_odds: FloatArray
    method: str


def export(estimator: Any, *, name: str, n_classes: int, folder: Path) -> StoredExplanation:
    """Store what explaining needs besides the ONNX graph, and say which method it is for.

    Returns
    -------
    StoredExplanation
        For the bundle's description; boosters are written to ``folder`` in their own text formats.
    """
    if n_classes > 2 or is_published(name):
        return PathsExplanation(method="paths")
    method = kind_of(name).explanation
    if method == LINEAR:
        return LinearExplanation(
            method="linear", coefficients=estimator.coef_[0].tolist(), intercept=float(estimator.intercept_[0])
        )
    if method == LINEAR_HAZARD:
        return LinearHazardExplanation(
            method="linear_hazard", coefficients=estimator.coef_[0].tolist(), intercept=float(estimator.intercept_[0])
        )
    if method == BAYES:
        return BayesExplanation(
            method="naive_bayes",
            means=estimator.theta_.tolist(),
            variances=estimator.var_.tolist(),
            priors=estimator.class_prior_.tolist(),
        )
    if method == LIGHTGBM:
        text = estimator.booster_.model_to_string()
        (folder / "booster.txt").write_text(text, encoding="utf-8")
        return BoosterExplanation(method="lightgbm", file="booster.txt")
    if method in (XGBOOST, XGBOOST_HAZARD):
        raw = estimator.get_booster().save_raw(raw_format="json")
        (folder / "booster.json").write_bytes(bytes(raw))
        return BoosterExplanation(method="xgboost" if method == XGBOOST else "xgboost_hazard", file="booster.json")
    return PathsExplanation(method="paths")


class Explainer:
    """Explains rows with what `export` stored.

    Parameters
    ----------
    stored : StoredExplanation
        As `export` gave it.
    booster : lightgbm.Booster, xgboost.Booster or None
        As ``booster.load_booster`` gave it.
    preparation, recalibration
        Of the model.
    score : callable
        Features (n, p) to served risk, as the bundle scores them.
    reference : array of shape (p,)
        Features of a typical training row (medians), where sampled paths start.
    """

    def __init__(
        self,
        stored: StoredExplanation,
        *,
        booster: Any,
        preparation: Preparation,
        recalibration: Recalibration,
        score: Score,
        reference: FloatArray,
    ) -> None:
        self.method: str = stored.method
        self._stored = stored
        self._preparation = preparation
        self._recalibration = recalibration
        self._score = score
        self._reference = reference
        self._booster = booster

    def explain(self, X: FloatArray, *, served: FloatArray | None = None) -> Explanation:
        """Contributions for features (n, p), and their served risk where it is known."""
        served = self._score(X) if served is None else served
        if self.method == PATHS:
            return self._paths(X, served)
        base, shares = self._margin(self._preparation.apply(X))
        p = self._preparation.n_features
        contributions = np.zeros((X.shape[0], p))
        np.add.at(contributions.T, self._preparation.sources, shares.T)
        slope, intercept = self._recalibration.slope, self._recalibration.intercept
        log_odds = _log_odds(served)
        if self.method in (LINEAR_HAZARD, XGBOOST_HAZARD):
            return _of_hazard(base, contributions, log_odds, slope=slope, intercept=intercept, method=self.method)
        return _closed(intercept + slope * base, slope * contributions, log_odds, self.method)

    def _margin(self, columns: FloatArray) -> tuple[float, FloatArray]:
        """Base and shares (n, q) of the raw log-odds in the model's own columns."""
        stored = self._stored
        if isinstance(stored, LinearExplanation | LinearHazardExplanation):
            weights = np.asarray(stored.coefficients)
            # Columns are standardised: zero is the training mean, so beta * z is beta * (x - mean) / sd.
            return stored.intercept, columns * weights
        if isinstance(stored, BayesExplanation):
            return _bayes(columns, stored)
        if self.method == LIGHTGBM:
            rounded = in_single_precision(columns)  # as the graph reads them
            shares = np.asarray(self._booster.predict(rounded, pred_contrib=True, num_threads=1))
        else:
            import xgboost

            shares = self._booster.predict(xgboost.DMatrix(columns, nthread=1), pred_contribs=True)
        return float(shares[0, -1]), np.asarray(shares[:, :-1], dtype=np.float64)

    def _paths(self, X: FloatArray, served: FloatArray) -> Explanation:
        """Average, over antithetic random orders, of what the score gains as each feature takes its value."""
        n, p = X.shape
        log_odds = _log_odds(served)
        base = _log_odds(self._score(self._reference[None, :]))[0]
        orders = _orders(p)
        total = np.zeros((n, p, *log_odds.shape[1:]))
        for start in range(0, n, _ROWS_A_CHUNK):
            rows = slice(start, min(start + _ROWS_A_CHUNK, n))
            for order in orders:
                here = np.tile(self._reference, (X[rows].shape[0], 1))
                before = np.broadcast_to(base, log_odds[rows].shape)
                for feature in order:
                    if np.array_equal(here[:, feature], X[rows, feature], equal_nan=True):
                        continue  # as the typical row: nothing changes, such as a word that no note here says
                    here[:, feature] = X[rows, feature]
                    after = _log_odds(self._score(here))
                    total[rows, feature] += after - before
                    before = after
        shares = total / len(orders)
        return Explanation(base if log_odds.ndim == 2 else float(base), shares, log_odds, self.method)


def _orders(p: int) -> list[np.ndarray]:
    # A fixed seed: the same row is explained in the same way today and tomorrow.
    generator = np.random.default_rng(20260101)
    forward = [generator.permutation(p) for _ in range(_PATHS // 2)]
    return [order for path in forward for order in (path, path[::-1])]


def _closed(base: float, shares: FloatArray, log_odds: FloatArray, method: str) -> Explanation:
    """Bring base + shares to the served log-odds.

    They agree but for rounding in single precision, and for scores held at a floor: there each share is scaled alike.
    """
    wanted = log_odds - base
    found = shares.sum(axis=1)
    factor = np.divide(wanted, found, out=np.ones_like(wanted), where=np.abs(found) > 1e-9)
    # Where shares cancel to nothing a factor would blow up rounding; the small rest is spread evenly instead.
    spread = np.abs(factor - 1) > 0.5
    held = np.abs(wanted - found) > 1e-3
    factor = np.where(spread & ~held, 1.0, factor)
    shares = shares * factor[:, None]
    rest = (wanted - shares.sum(axis=1)) / shares.shape[1]
    return Explanation(base, shares + rest[:, None], log_odds, method)


def _of_hazard(
    base: float, shares: FloatArray, log_odds: FloatArray, *, slope: float, intercept: float, method: str
) -> Explanation:
    """Shares (n, p) of the served log-odds from those of the log cumulative hazard, which is `base` without them."""
    hazard = math.exp(base)
    start = intercept + slope * float(_log_odds(risk_of_hazard(np.array([base])))[0])
    found, wanted = shares.sum(axis=1), log_odds - start
    # Where the shares cancel, the rise per rise is the slope of the curve at the base.
    flat = np.abs(found) < _FLAT
    rate = np.where(flat, slope * hazard / -math.expm1(-hazard), wanted / np.where(flat, 1.0, found))
    shares = shares * rate[:, None]
    rest = (wanted - shares.sum(axis=1)) / shares.shape[1]
    return Explanation(start, shares + rest[:, None], log_odds, method)


def _bayes(columns: FloatArray, stored: BayesExplanation) -> tuple[float, FloatArray]:
    means, variances = np.asarray(stored.means), np.asarray(stored.variances)
    priors = np.asarray(stored.priors)

    def log_ratio(z: FloatArray) -> FloatArray:
        density = [-0.5 * np.log(variances[k]) - (z - means[k]) ** 2 / (2 * variances[k]) for k in (0, 1)]
        return np.asarray(density[1] - density[0])

    typical = log_ratio(np.zeros((1, columns.shape[1])))
    base = float(np.log(priors[1]) - np.log(priors[0]) + typical.sum())
    return base, log_ratio(columns) - typical


def _log_odds(risk: FloatArray) -> FloatArray:
    # Served risks are within expit(+-30); double precision rounds the last of them to 1.
    return np.clip(logit(np.clip(risk, 1e-14, 1 - 1e-14)), -LOGIT_LIMIT, LOGIT_LIMIT)
