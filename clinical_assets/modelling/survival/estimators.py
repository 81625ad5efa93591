"""Estimators of scikit-learn's interface that learn from times to events and give a risk by the horizon.

Their log cumulative hazard at the horizon is a sum, of coefficients or of trees, and the risk is 1 - exp(-exp(it)).
They are made late, as scikit-learn is heavy.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.survival.targets import outcomes_of
from clinical_assets.statistics.survival.proportional_hazards import (
    fit_hazards,
    log_cumulative_hazard,
    risk_of_hazard,
)


@cache
def ridge_hazards() -> type[Any]:
    """Hazard regression with a ridge penalty: Cox's, and Fine and Gray's where events compete."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class RidgeHazards(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Linear in log cumulative hazard; `coef_` and `intercept_` as a logistic regression has them."""

        def __init__(self, alpha: float = 1.0) -> None:
            self.alpha = alpha

        def fit(self, X: FloatArray, y: Any, sample_weight: FloatArray | None = None) -> RidgeHazards:
            columns = np.asarray(X, dtype=np.float64)
            found = fit_hazards(columns, outcomes_of(y), ridge=self.alpha, weights=sample_weight)
            self.coef_, self.intercept_ = found.coefficients[None, :], np.array([found.log_cumulative_hazard])
            self.classes_, self.n_features_in_ = np.arange(2), columns.shape[1]
            return self

        def predict_proba(self, X: FloatArray) -> FloatArray:
            return _both(np.asarray(X, dtype=np.float64) @ self.coef_[0] + self.intercept_[0])

    return RidgeHazards


@cache
def boosted_hazards() -> type[Any]:
    """Trees boosted on Cox's partial likelihood by XGBoost, with Breslow's baseline of the rows they learned from."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from xgboost import Booster, XGBRegressor

    class BoostedHazards(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Its booster gives the log cumulative hazard at the horizon itself, as a sum of trees and a constant."""

        def __init__(self, settings: dict[str, Any]) -> None:
            self.settings = settings

        def fit(self, X: FloatArray, y: Any, sample_weight: FloatArray | None = None) -> BoostedHazards:
            model = XGBRegressor(objective="survival:cox", **self.settings)
            # XGBoost reads a negative time as one that ended without the event.
            model.fit(X, np.where(y["event"] == 1, y["time"], -y["time"]), sample_weight=sample_weight)
            trees = model.predict(X, output_margin=True).astype(np.float64)
            constant = log_cumulative_hazard(trees, outcomes_of(y), weights=sample_weight)
            self._raw = _as_sum(model.get_booster(), constant)
            self._booster = Booster({"nthread": 1})
            self._booster.load_model(bytearray(self._raw))
            self.classes_, self.n_features_in_ = np.arange(2), X.shape[1]
            return self

        def get_booster(self) -> Any:
            return self._booster

        def as_regressor(self) -> Any:
            """The same booster as a regressor of the log cumulative hazard, as converters take it."""
            regressor = XGBRegressor()
            regressor.load_model(bytearray(self._raw))
            return regressor

        def predict_proba(self, X: FloatArray) -> FloatArray:
            return _both(self._booster.inplace_predict(np.asarray(X)).astype(np.float64))

    return BoostedHazards


def _both(log_cumulative_hazard: FloatArray) -> FloatArray:
    risk = risk_of_hazard(log_cumulative_hazard)
    return np.column_stack([1 - risk, risk])


def _as_sum(booster: Any, constant: float) -> bytes:
    """A booster of hazards as one that gives the sum of its trees and a constant, in XGBoost's own JSON.

    Readers of the other objective would take the exponential of the sum, and none knows the baseline hazard.
    """
    stored = json.loads(bytes(booster.save_raw(raw_format="json")))
    learner = stored["learner"]
    learner["objective"] = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
    parameters = learner["learner_model_param"]
    shift = math.log(float(parameters["base_score"].strip("[]"))) + constant
    parameters["base_score"] = f"[{shift:.9E}]"
    return json.dumps(stored).encode()
