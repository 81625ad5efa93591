from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from scipy.stats import chi2

from assets_tests.worlds.tables.outcomes import Sample, risks, samples
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.calibration import calibration_intercept, calibration_slope
from clinical_assets.statistics.calibration.logistic import expit, fit_logistic, logit
from clinical_assets.statistics.calibration.updating import (
    MIN_SLOPE,
    RecalibrationMap,
    UpdateChoice,
    choose_update,
    fit_recalibration,
)
from clinical_assets.statistics.inputs import InvalidArray

TRUE = np.array([-1.0, 0.8, -0.6, 0.4])


def later_records(
    n: int, *, seed: int, shift: float = 0.0, slope: float = 1.0, effects: FloatArray = TRUE
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Outcomes, the original model's log-odds (coefficients TRUE), and those of a refit on these records."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    y = (rng.random(n) < expit(shift + slope * (x @ effects))).astype(float)
    return y, x @ TRUE, x @ fit_logistic(x, y, np.ones(n)).coefficients


def chosen(**change: object) -> list[str]:
    kinds: list[str] = []
    for seed in range(40):
        y, original, refit = later_records(800, seed=seed, **change)  # type: ignore[arg-type]
        kinds.append(choose_update(y, original, refit_logit=refit, refit_parameters=4).kind)
    return kinds


def test_an_unchanged_world_keeps_the_original_at_the_level_of_the_test() -> None:
    rejected = 0
    for seed in range(500):
        y, original, refit = later_records(300, seed=seed)
        choice = choose_update(y, original, refit_logit=refit, refit_parameters=4)
        rejected += choice.kind != "original"
    assert 0.025 <= rejected / 500 <= 0.085


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"shift": 0.8}, "intercept"),
        ({"slope": 0.4}, "intercept and slope"),
        ({"effects": np.array([-1.0, -0.6, 0.8, 0.4])}, "refit"),
    ],
)
def test_the_smallest_update_that_the_change_needs_is_chosen(change: dict[str, object], expected: str) -> None:
    assert chosen(**change).count(expected) >= 34


def test_the_tests_are_likelihood_ratios_against_the_largest_update() -> None:
    y, original, refit = later_records(400, seed=3, slope=0.2)
    choice = choose_update(y, original, refit_logit=refit, refit_parameters=4)
    family = sm.families.Binomial()
    ones = np.ones((400, 1))

    def fit(x: FloatArray, offset: FloatArray | None = None) -> float:
        return float(sm.GLM(y, x, family=family, offset=offset).fit(tol=1e-12).llf)

    likelihood = {
        "original": float((y * original - np.logaddexp(0, original)).sum()),
        "intercept": fit(ones, original),
        "intercept and slope": fit(sm.add_constant(original)),
        "refit": float((y * refit - np.logaddexp(0, refit)).sum()),
    }
    for test, df in zip(choice.tests, (4, 3, 2), strict=False):
        statistic = 2 * (likelihood["refit"] - likelihood[test.smaller])
        assert (test.larger, test.df) == ("refit", df)
        assert test.statistic == pytest.approx(statistic, rel=1e-6)
        assert test.p_value == pytest.approx(chi2.sf(statistic, df), rel=1e-5)
    assert [t.smaller for t in choice.tests] == ["original", "intercept", "intercept and slope"]


def test_without_a_refit_the_largest_update_is_intercept_and_slope() -> None:
    y, p = risks(3000, slope=0.5)
    choice = choose_update(y, logit(p))
    assert choice.kind == "intercept and slope"
    assert [t.df for t in choice.tests] == [2, 1]
    assert choice.recalibration is not None
    assert choice.recalibration.slope == pytest.approx(calibration_slope(y, p).value)
    y, p = risks(3000, intercept=0.5)
    choice = choose_update(y, logit(p))
    assert choice.kind == "intercept"
    assert choice.recalibration is not None
    assert choice.recalibration.intercept == pytest.approx(calibration_intercept(y, p).value)
    assert choice.recalibration.slope == 1


def test_the_map_of_the_chosen_update_repairs_calibration() -> None:
    y, p = risks(5000, intercept=0.6, slope=0.7)
    choice = choose_update(y, logit(p))
    assert choice.recalibration is not None
    repaired = choice.recalibration.apply_to_risk(p)
    assert calibration_slope(y, repaired).value == pytest.approx(1)
    assert calibration_intercept(y, repaired).value == pytest.approx(0, abs=1e-6)


def test_a_refit_that_does_not_nest_the_original_is_refused() -> None:
    y, original, refit = later_records(200, seed=0)
    with pytest.raises(InvalidArray, match="lower likelihood"):
        choose_update(y, original, refit_logit=-refit, refit_parameters=4)
    with pytest.raises(InvalidArray, match="at least 3"):
        choose_update(y, original, refit_logit=refit, refit_parameters=2)
    with pytest.raises(InvalidArray, match="at least 3"):
        choose_update(y, original, refit_logit=refit)
    with pytest.raises(InvalidArray, match="without refit_logit"):
        choose_update(y, original, refit_parameters=4)


def test_separated_records_cannot_choose_an_update() -> None:
    x = np.linspace(-2, 2, 20)
    with pytest.raises(InsufficientData, match="separate"):
        choose_update((x > 0).astype(float), x)


def test_a_model_that_ranks_backwards_is_never_mapped_backwards() -> None:
    y, p = risks(2000, slope=-1.0, mean=0.5)
    choice: UpdateChoice = choose_update(y, logit(p))
    assert choice.recalibration is not None
    assert choice.recalibration.slope_at_floor
    assert choice.recalibration.slope == MIN_SLOPE


@given(samples(max_size=25))
def test_recalibration_is_finite_and_keeps_the_ranking_whatever_the_records(sample: Sample) -> None:
    y, p = sample
    fitted = fit_recalibration(y, logit(p))
    grid = np.linspace(-6, 6, 50)
    assert fitted.slope >= MIN_SLOPE
    assert np.isfinite(fitted.intercept)
    assert (np.diff(fitted.apply(grid)) > 0).all()
    assert fitted.slope_at_floor == (fitted.slope == MIN_SLOPE)


def test_with_many_records_recalibration_is_maximum_likelihood() -> None:
    y, p = risks(20_000, intercept=0.5, slope=0.6)
    x = logit(p)
    likely = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit().params
    fitted = fit_recalibration(y, x)
    assert (fitted.intercept, fitted.slope) == pytest.approx(tuple(likely), abs=2e-3)
    assert not fitted.slope_at_floor


def test_two_records_leave_the_model_nearly_as_it_is() -> None:
    fitted = fit_recalibration([0, 1], [-1.0, 1.0])
    assert fitted.slope == pytest.approx(1, abs=0.5)
    assert fitted.intercept == pytest.approx(0, abs=1e-6)


def test_separated_scores_get_a_finite_slope() -> None:
    x = np.linspace(-2, 2, 40)
    fitted = fit_recalibration((x > 0).astype(float), x)
    assert 1 < fitted.slope < 8


def test_the_penalty_lowers_the_error_on_new_records_when_few_were_seen() -> None:
    test_y, test_p = risks(50_000, seed=99)
    x = logit(test_p)

    def loss(intercept: float, slope: float) -> float:
        eta = intercept + slope * x
        return float(np.mean(np.logaddexp(0, eta) - test_y * eta))

    penalised, likely = [], []
    for seed in range(200):
        y, p = risks(30, seed=seed)
        fitted = fit_recalibration(y, logit(p))
        try:
            b = fit_logistic(np.column_stack([np.ones(30), logit(p)]), y, np.ones(30)).coefficients
        except InsufficientData:
            continue
        penalised.append(loss(fitted.intercept, fitted.slope))
        likely.append(loss(*b))
    assert len(likely) > 150
    assert np.mean(penalised) < np.mean(likely)


def test_useless_scores_are_flattened_to_the_prevalence() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = (rng.random(400) < expit(-1 - 1.5 * x)).astype(float)
    fitted = fit_recalibration(y, x)
    assert fitted.slope_at_floor
    assert fitted.apply_to_risk(expit(x)).mean() == pytest.approx(y.mean(), abs=1e-6)
    assert np.ptp(fitted.apply_to_risk(expit(x))) < 0.02


def test_the_identity_map_changes_nothing_and_refuses_risks_of_0_and_1() -> None:
    p = np.array([[0.1, 0.5], [0.9, 1e-6]])
    identity = RecalibrationMap(0.0, 1.0, 10, 5)
    np.testing.assert_allclose(identity.apply_to_risk(p), p)
    with pytest.raises(InvalidArray):
        identity.apply_to_risk([0.0, 0.5])
