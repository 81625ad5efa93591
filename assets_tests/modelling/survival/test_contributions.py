"""Reasons of a hazard model are Aumann-Shapley values of its served log-odds, on the way from the base to the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assets_tests.worlds.tables.survival import followed_up, survival_spec
from assets_tests.worlds.ward.bundle_facts import made_up_facts
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.search.fitting import FittedModel, fit_final
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.survival.proportional_hazards import risk_of_hazard


def explained(folder: Path, name: str) -> tuple[FittedModel, FloatArray, FloatArray, float, FloatArray]:
    """Model, features, contributions, base and served log-odds of rows without missing values."""
    data = followed_up(300, seed=3)
    model, _ = fit_final(name, data, modelling=survival_spec().modelling)
    bundle = Bundle.write(folder / "bundle", model, X=data.X, statement="SELECT 1", facts=made_up_facts(), run={})
    found = bundle.explain(data.X)
    return model, data.X, found.contributions, float(found.base), logit(bundle.score(data.X))


def test_they_are_integrals_of_the_gradient_along_the_straight_way(tmp_path: Path) -> None:
    model, X, contributions, base, served = explained(tmp_path, "cox_ridge")
    estimator = model.pipeline[-1]
    shares = model.pipeline[:-1].transform(X) * estimator.coef_[0]

    def log_odds(hazard: FloatArray) -> FloatArray:
        return logit(model.recalibration.apply(risk_of_hazard(hazard.ravel()))).reshape(hazard.shape)

    at = (np.arange(400) + 0.5) / 400
    hazard = estimator.intercept_[0] + at[:, None] * shares.sum(axis=1)
    slope = (log_odds(hazard + 1e-5) - log_odds(hazard - 1e-5)).mean(axis=0) / 2e-5
    np.testing.assert_allclose(contributions, shares * slope[:, None], atol=1e-4)
    assert base == pytest.approx(float(log_odds(estimator.intercept_)[0]))
    np.testing.assert_allclose(base + contributions.sum(axis=1), served, atol=1e-9)


def test_features_stand_to_each_other_as_in_the_booster_itself(tmp_path: Path) -> None:
    import xgboost

    model, X, contributions, _, _ = explained(tmp_path, "xgboost_survival")
    matrix = xgboost.DMatrix(model.pipeline[:-1].transform(X))
    shares = model.pipeline[-1].get_booster().predict(matrix, pred_contribs=True)[:, :-1]
    clear = np.abs(shares.sum(axis=1)) > 0.05
    ratio = contributions[clear].sum(axis=1) / shares[clear].sum(axis=1)
    np.testing.assert_allclose(contributions[clear], shares[clear] * ratio[:, None], atol=1e-4)
    assert (ratio > 0).all()
