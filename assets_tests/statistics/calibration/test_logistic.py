import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.logistic import (
    expit,
    fit_logistic,
    fit_logistic_batch,
    log_likelihood,
    logit,
)


def regression(seed: int, n: int = 250, k: int = 3) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1))])
    y = (rng.random(n) < expit(x @ rng.normal(size=k))).astype(float)
    return x, y, rng.integers(1, 4, n).astype(float), rng.normal(size=n)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.booleans())
def test_a_fit_equals_statsmodels_with_weights_and_offset(seed: int, with_offset: bool) -> None:
    x, y, w, offset = regression(seed)
    used = offset if with_offset else None
    mine = fit_logistic(x, y, w, offset=used)
    theirs = sm.GLM(y, x, family=sm.families.Binomial(), freq_weights=w, offset=used).fit(tol=1e-12)
    np.testing.assert_allclose(mine.coefficients, theirs.params, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(mine.standard_errors, theirs.bse, rtol=1e-5)
    assert mine.log_likelihood == pytest.approx(theirs.llf)


def test_many_weightings_at_once_are_the_single_fits() -> None:
    x, y, _, offset = regression(1)
    weights = np.random.default_rng(0).integers(0, 3, (20, y.size)).astype(float)
    batch = fit_logistic_batch(x, weights * y, weights, offset=offset)
    single = [fit_logistic(x, y, w, offset=offset).coefficients for w in weights]
    np.testing.assert_allclose(batch, single, rtol=1e-8, atol=1e-9)


def test_one_separated_weighting_does_not_disturb_the_others() -> None:
    x, y, _, _ = regression(2)
    weights = np.ones((3, y.size))
    weights[1] = y  # events only
    batch = fit_logistic_batch(x, weights * y, weights)
    assert np.isnan(batch[1]).all()
    np.testing.assert_allclose(batch[[0, 2]], np.tile(fit_logistic(x, y, np.ones(y.size)).coefficients, (2, 1)))


def test_separation_and_collinearity_are_errors_with_a_cure() -> None:
    x, _, w, _ = regression(3)
    with pytest.raises(InsufficientData, match="no finite solution") as caught:
        fit_logistic(x, (x[:, 1] > 0).astype(float), w)
    assert caught.value.cure
    with pytest.raises(InsufficientData):
        fit_logistic(np.column_stack([x, x[:, 1]]), regression(3)[1], w)


@pytest.mark.parametrize("far", [-60.0, -15.0, 15.0, 60.0])
def test_a_start_far_from_the_data_still_converges(far: float) -> None:
    x, y, w, _ = regression(4)
    moved = fit_logistic(x, y, w, offset=np.full(y.size, far))
    plain = fit_logistic(x, y, w)
    np.testing.assert_allclose(moved.coefficients + np.array([far, 0, 0]), plain.coefficients, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "offset", "y"),
    [
        ([0.0, 0, -2, -4, -6], [3.0, 1, 20, -4, 8], [1.0, 0, 0, 0, 1]),
        ([8.0, 3, 0, -4, -1], [3.0, -18, 24, -3, 20], [1.0, 0, 0, 1, 1]),
    ],
)
def test_steps_that_overshoot_are_taken_back(x: list[float], offset: list[float], y: list[float]) -> None:
    design, outcome, start = np.column_stack([np.ones(5), x]), np.array(y), np.array(offset)
    fit = fit_logistic(design, outcome, np.ones(5), offset=start)
    gradient = design.T @ (outcome - expit(start + design @ fit.coefficients))
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_a_ridge_fit_is_stationary_and_finite_under_separation() -> None:
    x, _, w, _ = regression(5)
    y = (x[:, 1] > 0).astype(float)
    penalty = np.array([0.1, 0.5, 2.0])
    fit = fit_logistic(x, y, w, penalty=penalty)
    gradient = x.T @ (w * (y - expit(x @ fit.coefficients))) - penalty * fit.coefficients
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_the_log_likelihood_and_the_logit_are_their_definitions() -> None:
    p, y = np.array([0.2, 0.7, 1e-9]), np.array([0.0, 1.0, 0.0])
    expected = 2 * np.log(0.8) + np.log(0.7) + 3 * np.log1p(-1e-9)
    assert log_likelihood(logit(p), y, np.array([2.0, 1, 3])) == pytest.approx(expected)
    np.testing.assert_allclose(expit(logit(p)), p, rtol=1e-12)
