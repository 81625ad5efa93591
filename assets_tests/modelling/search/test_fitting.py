"""The fitted model: recalibrated log-odds, features by name, clear refusals, and one procedure for folds and final."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assets_tests.worlds.tables.training import as_input, made_up, make_spec, make_table
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.search import recalibration
from clinical_assets.modelling.search.fitting import FittedModel, fit_final, reference_of
from clinical_assets.modelling.search.recalibration import IDENTITY, Recalibration
from clinical_assets.modelling.table.inputs import UnusableTable
from clinical_assets.statistics.calibration.calibration import calibration_intercept, calibration_slope
from clinical_assets.statistics.calibration.logistic import logit


def _fitted(name: str = "logistic_ridge", **modelling: object) -> tuple[FittedModel, np.ndarray]:
    data = as_input(made_up(200))
    model, _ = fit_final(name, data, modelling=make_spec(candidates=(name,), **modelling).modelling)  # type: ignore[arg-type]
    return model, data.X


@pytest.mark.parametrize("name", ["logistic_ridge", "lightgbm", "random_forest"])
def test_served_log_odds_are_a_line_in_the_raw_ones(name: str) -> None:
    model, X = _fitted(name, imbalance=["smote"])
    expected = model.recalibration.intercept + model.recalibration.slope * logit(model.raw_risk(X))
    np.testing.assert_allclose(logit(model.predict_proba(X)), expected, atol=1e-9)
    assert "sampler" not in dict(model.pipeline.steps)


def test_a_frame_is_read_by_name_and_null_is_missing() -> None:
    table = made_up(200)
    data = as_input(table)
    model, _ = fit_final("logistic_ridge", data, modelling=make_spec().modelling)
    mixed = data.frame.select(reversed(data.frame.columns))
    np.testing.assert_array_equal(model.predict_proba(mixed), model.predict_proba(data.X))


def test_infinite_missing_and_wrong_columns_are_refused_by_name() -> None:
    model, X = _fitted()
    X = X.copy()
    X[3, 1] = np.inf
    with pytest.raises(UnusableTable, match="'x1' is infinite in 1 of 200"):
        model.predict_proba(X)
    with pytest.raises(UnusableTable, match="expected"):
        model.predict_proba(X[:, :2])
    with pytest.raises(UnusableTable, match="x4 are missing"):
        model.predict_proba(made_up(5, 5).frame.drop("x4"))


def test_a_row_of_missing_values_gets_a_risk() -> None:
    for name in ("logistic_ridge", "lightgbm"):
        model, X = _fitted(name)
        risk = model.predict_proba(np.full((1, X.shape[1]), np.nan))
        assert 0 < risk[0] < 1


def test_probabilities_of_several_classes_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = np.digitize(X[:, 0] + rng.normal(size=200), [-0.5, 0.7])
    spec = make_spec(classes=("a", "b", "c"))
    data = as_input(make_table(X, y), spec)
    model, _ = fit_final("logistic_ridge", data, modelling=spec.modelling)
    p = model.predict_proba(data.X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert len(model.recalibration.slopes) == 2
    with pytest.raises(ValueError, match="3 classes"):
        _ = model.recalibration.slope


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_two_fits_agree_to_the_last_bit() -> None:
    for name in ("lightgbm", "mlp", "random_forest"):
        (one, X), (two, _) = _fitted(name), _fitted(name)
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
        assert one.reference == two.reference


def test_recalibration_repairs_scores_that_are_too_extreme() -> None:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(-log_odds))).astype(int)
    wrong = 1 / (1 + np.exp(-(2.5 * log_odds + 1)))
    served = recalibration.fit(y, wrong).apply(wrong)
    assert calibration_slope(y, served).value == pytest.approx(1, abs=0.01)
    assert calibration_intercept(y, served).value == pytest.approx(0, abs=0.01)


def test_the_identity_leaves_risks_alone_and_extremes_stay_inside_0_and_1() -> None:
    p = np.array([1e-6, 0.2, 0.5, 1 - 1e-6])
    np.testing.assert_allclose(IDENTITY.apply(p), p, rtol=1e-9)
    steep = Recalibration((0.0,), (50.0,)).apply(p)
    assert ((steep > 0) & (steep < 1)).all()
    matrix = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(Recalibration((0.0,) * 2, (1.0,) * 2).apply(matrix), matrix, rtol=1e-7)


def test_the_risk_of_each_level_or_a_graver_one_is_calibrated_as_a_risk_of_two_classes_is() -> None:
    rng = np.random.default_rng(4)
    latent = rng.normal(size=6000)
    y = np.digitize(latent + rng.logistic(size=6000), [-1.0, 0.5, 1.5])
    cuts = 1 / (1 + np.exp(-(0.4 * (latent[:, None] - [-1.0, 0.5, 1.5]) + [0.3, -0.2, 0.1])))  # timid and shifted
    raw = -np.diff(np.column_stack([np.ones(6000), -np.sort(-cuts, axis=1), np.zeros(6000)]), axis=1)
    served = recalibration.fit(y, np.clip(raw, 1e-6, 1)).apply(np.clip(raw, 1e-6, 1))
    np.testing.assert_allclose(served.sum(axis=1), 1)
    for level in (1, 2, 3):
        risk = served[:, level:].sum(axis=1)
        assert calibration_slope(y >= level, risk).value == pytest.approx(1, abs=0.05)
        assert calibration_intercept(y >= level, risk).value == pytest.approx(0, abs=0.05)


def test_maps_that_cross_give_probabilities_all_the_same() -> None:
    raw = np.array([[0.45, 0.1, 0.45], [0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    served = Recalibration((-2.0, 1.5), (1.0, 1.0)).apply(raw)
    assert (served > 0).all()
    np.testing.assert_allclose(served.sum(axis=1), 1)


def test_scores_that_rank_backwards_are_held_at_the_floor() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    backwards = np.clip(0.5 - 0.3 * (y - 0.5) + rng.normal(size=400) * 0.05, 0.01, 0.99)
    mapped = recalibration.fit(y, backwards)
    assert mapped.at_floor
    assert np.ptp(mapped.apply(backwards)) < 0.02


def test_the_reference_describes_known_values_and_counts_the_missing() -> None:
    X = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [8.0, np.nan]])
    reference = reference_of(X, ("a", "b"))
    assert reference["n"] == 4
    a = reference["features"]["a"]
    assert (a["median"], a["mean"], a["missing_share"]) == (3.0, 4.0, 0.25)
    assert (a["quantiles"][0], a["quantiles"][-1]) == (1.0, 8.0)
    assert reference["features"]["b"]["median"] is None


@pytest.mark.parametrize(("full", "most"), [(199, 1), (98, 3)])
def test_the_reference_counts_what_all_but_one_in_a_hundred_rows_lacked_at_most(full: int, most: int) -> None:
    X = np.zeros((full + 1 if full == 199 else full + 2, 4))
    X[:, 0] = np.nan  # every row lacks one
    X[full:, :3] = np.nan
    assert reference_of(X, ("a", "b", "c", "d"))["missing_per_row"] == most


def test_too_few_rows_for_the_inner_folds_are_refused() -> None:
    data = as_input(made_up(200))
    few = data.rows(np.arange(200) < 6)
    few = replace(few, y=np.array([0, 0, 0, 0, 0, 1]))
    with pytest.raises(InsufficientData, match="inner folds"):
        fit_final("logistic_ridge", few, modelling=make_spec().modelling)
