"""The tests behind an update: which is the smallest that later outcomes do not contradict, and is it large enough?

What belongs here: the closed test with its refit, and how much an update would change. What does not: plans, budgets
and people (``updates``).

Source: Vergouwe et al. 2017, doi 10.1002/sim.7179.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.logistic import fit_logistic, logit
from clinical_assets.statistics.calibration.updating import MIN_SLOPE, UpdateChoice, choose_update
from clinical_assets.statistics.uncertainty.effective_size import effective_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


Update = Literal["none", "intercept", "intercept_and_slope", "refit"]
#: Level of each test: reports are made often, and a false retraining costs more than a late one.
ALPHA = 0.01
_EVENTS_PER_PARAMETER = 10
_MOST_FEATURES = 20
_FOLDS = 5
#: Standard deviation of a scaled feature that the other columns must leave unexplained.
_LEAST_OF_ITS_OWN = 1e-3


def smallest_adequate(
    event: NDArray[np.integer],
    risk: FloatArray,
    features: FloatArray,
    *,
    importance: FloatArray,
    limits: Monitoring,
    seed: int,
    weights: FloatArray | None = None,
) -> tuple[Update, dict[str, Any]]:
    """The smallest update that later outcomes do not contradict and that changes enough to matter, with the evidence.

    Parameters are those of ``updates.recommend``; `importance` has shape (p,). Weighted records count as many as they
    are worth (Kish), so that a likelihood is not of more people than were seen.

    Raises
    ------
    InsufficientData
        The risks separate the outcomes, or one class is missing.
    """
    x = np.asarray(logit(np.clip(risk, 1e-12, 1 - 1e-12)))
    each = np.ones_like(x) if weights is None else effective_weights(weights)
    columns = _columns(features, x, importance, events=int(min(event.sum(), event.size - event.sum())))
    refit, gain = None, None
    if columns is not None:
        design = np.column_stack([np.ones_like(x), x, columns])
        try:
            fitted = fit_logistic(design, event.astype(np.float64), each)
            refit = design @ fitted.coefficients
        except InsufficientData:
            refit = None  # the features separate the outcomes: there is nothing to test a refit against
    choice = _choice(event, x, refit, each, parameters=None if columns is None else columns.shape[1] + 2)
    told: dict[str, Any] = {"closed_test": _told(choice), "refit_tested_with": 0 if refit is None else columns.shape[1]}  # type: ignore[union-attr]
    if choice.kind == "refit":
        assert columns is not None
        gain = _gain(event, x, columns, each, seed=seed)
        told["auroc_gain_cross_validated"] = gain
        if gain >= limits.auroc_gain_limit:
            return "refit", told
        # Not worth a refit: is recalibration alone worth it?
        choice = _choice(event, x, None, each, parameters=None)
        told["closed_test_without_refit"] = _told(choice)
    if choice.kind == "original" or choice.recalibration is None:
        return "none", told
    if choice.kind == "intercept and slope" and choice.recalibration.slope <= MIN_SLOPE:
        return "refit", {**told, "ranking_lost": True}  # no map of risks that do not rank would be adequate
    moved = np.abs(choice.recalibration.apply_to_risk(np.clip(risk, 1e-12, 1 - 1e-12)) - risk)
    change = float(np.average(moved, weights=each))
    told["mean_change_of_risk"] = change
    if change < limits.calibration_limit:
        return "none", told
    return ("intercept" if choice.kind == "intercept" else "intercept_and_slope"), told


def _choice(
    event: NDArray[np.integer], x: FloatArray, refit: FloatArray | None, weights: FloatArray, *, parameters: int | None
) -> UpdateChoice:
    if refit is None:
        return choose_update(event, x, weights=weights, alpha=ALPHA)
    return choose_update(event, x, refit_logit=refit, refit_parameters=parameters, weights=weights, alpha=ALPHA)


def _columns(features: FloatArray, x: FloatArray, importance: FloatArray, *, events: int) -> FloatArray | None:
    """The features that matter most, filled and scaled: as many as the events bear, none that is constant."""
    most = min(_MOST_FEATURES, events // _EVENTS_PER_PARAMETER - 2)
    if most < 1 or not features.size:
        return None
    with np.errstate(all="ignore"):
        medians = np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in features.T])
    filled = np.where(np.isnan(features), medians, features)
    spread = filled.std(axis=0)
    usable = np.isfinite(spread) & (spread > 0)
    order = [i for i in np.argsort(-importance, kind="stable") if usable[i]][:most]
    if not order:
        return None
    chosen = (filled[:, order] - filled[:, order].mean(axis=0)) / spread[order]
    # A column that others, or the model's own log-odds, add up to would leave the fit without an answer. A linear model
    # is such a sum, but for the rounding of its served risk.
    _, triangle = np.linalg.qr(np.column_stack([np.ones(len(chosen)), x, chosen]))
    independent = np.abs(np.diag(triangle))[2:] > _LEAST_OF_ITS_OWN * np.sqrt(len(chosen))
    return chosen[:, independent] if independent.any() else None


def _gain(event: NDArray[np.integer], x: FloatArray, columns: FloatArray, weights: FloatArray, *, seed: int) -> float:
    """What a refit adds to the AUROC, cross-validated: many parameters always look better on their own rows."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    design = np.column_stack([np.ones_like(x), x, columns])
    fitted = np.empty_like(x)
    penalty = np.concatenate([[0.0], np.ones(design.shape[1] - 1)])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(design, event):
        found = fit_logistic(design[train], event[train].astype(np.float64), weights[train], penalty=penalty)
        fitted[test] = design[test] @ found.coefficients
    now, before = (roc_auc_score(event, score, sample_weight=weights) for score in (fitted, x))
    return float(now - before)


def _told(choice: UpdateChoice) -> dict[str, Any]:
    tests = [asdict(test) for test in choice.tests]
    found = choice.recalibration
    return {
        "kind": choice.kind,
        "alpha": choice.alpha,
        "tests": tests,
        "intercept": None if found is None else found.intercept,
        "slope": None if found is None else found.slope,
    }
