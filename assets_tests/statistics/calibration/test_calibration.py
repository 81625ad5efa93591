import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss

from assets_tests.worlds.tables.outcomes import risks, weighted_risks
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.calibration import (
    brier,
    brier_statistic,
    calibration_intercept,
    calibration_intercept_statistic,
    calibration_slope,
    calibration_slope_statistic,
    observed_expected_ratio,
    observed_expected_statistic,
    scaled_brier,
)
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap


def test_the_brier_score_is_that_of_scikit_learn_and_scales_by_the_constant_risk() -> None:
    y, p, w = weighted_risks(400)
    score = brier(y, p, weights=w)
    assert score.value == pytest.approx(brier_score_loss(y, p, sample_weight=w))
    prevalence = np.average(y, weights=w)
    assert scaled_brier(y, p, weights=w).value == pytest.approx(1 - score.value / (prevalence * (1 - prevalence)))


def test_a_constant_risk_at_the_prevalence_scales_to_0() -> None:
    y, _ = risks(300)
    assert scaled_brier(y, np.full(300, y.mean())).value == pytest.approx(0)


@pytest.mark.parametrize("seed", range(5))
def test_intercept_and_slope_are_those_of_statsmodels_with_their_wald_intervals(seed: int) -> None:
    y, p, w = weighted_risks(300, seed=seed)
    x = logit(p)
    family = sm.families.Binomial()
    large = sm.GLM(y, np.ones(300), family=family, offset=x, freq_weights=w).fit(tol=1e-12)
    intercept = calibration_intercept(y, p, weights=w)
    expected = (large.params[0], *large.conf_int()[0])
    assert (intercept.value, intercept.ci_low, intercept.ci_high) == pytest.approx(expected, rel=1e-6)
    weak = sm.GLM(y, sm.add_constant(x), family=family, freq_weights=w).fit(tol=1e-12)
    slope = calibration_slope(y, p, weights=w)
    expected = (weak.params[1], *weak.conf_int()[1])
    assert (slope.value, slope.ci_low, slope.ci_high) == pytest.approx(expected, rel=1e-6)


def test_a_known_miscalibration_is_recovered() -> None:
    y, p = risks(200_000, intercept=0.4, slope=0.7)
    assert calibration_slope(y, p).value == pytest.approx(0.7, abs=0.02)
    y, p = risks(200_000, intercept=0.4)
    assert calibration_intercept(y, p).value == pytest.approx(0.4, abs=0.02)
    assert observed_expected_ratio(y, p).value > 1.1


def test_a_calibrated_model_has_intercept_0_slope_1_and_ratio_1_within_their_intervals() -> None:
    hits = np.zeros(3)
    for seed in range(300):
        y, p = risks(300, seed=seed)
        found = (calibration_intercept(y, p), calibration_slope(y, p), observed_expected_ratio(y, p))
        hits += [e.ci_low <= ideal <= e.ci_high for e, ideal in zip(found, (0, 1, 1), strict=True)]
    assert (hits / 300 >= 0.92).all()
    assert (hits / 300 <= 0.985).all()


@pytest.mark.parametrize(
    ("analytic", "statistic"),
    [
        (brier, brier_statistic),
        (calibration_intercept, calibration_intercept_statistic),
        (calibration_slope, calibration_slope_statistic),
        (observed_expected_ratio, observed_expected_statistic),
    ],
)
def test_analytic_and_bootstrap_intervals_agree(analytic: object, statistic: object) -> None:
    y, p = risks(1000, seed=7, intercept=0.3, slope=0.8)
    wald = analytic(y, p)  # type: ignore[operator]
    boot = bootstrap(statistic(y, p), 1000, events=y.sum(), n_resamples=1000)  # type: ignore[operator]
    width = wald.ci_high - wald.ci_low
    assert boot.value == pytest.approx(wald.value)
    assert abs(boot.ci_low - wald.ci_low) < 0.1 * width
    assert abs(boot.ci_high - wald.ci_high) < 0.1 * width


def test_the_interval_of_the_observed_expected_ratio_knows_how_far_risks_explain_events() -> None:
    y, p = risks(1500, seed=7, sd=4)
    wald = observed_expected_ratio(y, p)
    boot = bootstrap(observed_expected_statistic(y, p), 1500, events=y.sum(), n_resamples=2000)
    given_the_risks = 2 * 1.96 * np.sqrt((p * (1 - p)).sum()) / p.sum()
    assert wald.ci_high - wald.ci_low == pytest.approx(given_the_risks, rel=0.1)
    assert boot.ci_high - boot.ci_low == pytest.approx(given_the_risks, rel=0.1)


def test_the_delta_interval_of_the_scaled_brier_score_agrees_with_the_bootstrap() -> None:
    y, p = risks(1000, seed=7)

    def statistic(weights: FloatArray) -> FloatArray:
        mean = (weights @ y) / weights.sum(axis=1)
        loss = (weights @ (y - p) ** 2) / weights.sum(axis=1)
        return np.asarray(1 - loss / (mean * (1 - mean)))

    wald = scaled_brier(y, p)
    boot = bootstrap(statistic, 1000, events=0, n_resamples=2000)
    assert (wald.ci_low, wald.ci_high) == pytest.approx((boot.ci_low, boot.ci_high), abs=0.006)


def test_perfect_separation_is_a_clear_error() -> None:
    p = np.linspace(0.1, 0.9, 20)
    for y in ((p > 0.5).astype(float), (p < 0.5).astype(float)):
        with pytest.raises(InsufficientData, match="separate 10 events from 10") as caught:
            calibration_slope(y, p)
        assert "leak" in str(caught.value)
    assert np.isfinite(calibration_intercept(y, p).value)


def test_equal_risks_have_an_intercept_but_no_slope() -> None:
    y, _ = risks(50)
    p = np.full(50, 0.3)
    assert calibration_intercept(y, p).value == pytest.approx(float(np.diff(logit(np.array([0.3, y.mean()])))[0]))
    with pytest.raises(InsufficientData, match="equal"):
        calibration_slope(y, p)
