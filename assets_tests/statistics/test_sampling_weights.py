"""Sampling weights: a biased sample speaks for its population, and its intervals pay for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration import calibration
from clinical_assets.statistics.calibration.logistic import expit
from clinical_assets.statistics.calibration.smooth_calibration import calibration_indices, smooth_observed_risk
from clinical_assets.statistics.calibration.updating import fit_recalibration
from clinical_assets.statistics.decisions.net_benefit import net_benefit_statistic
from clinical_assets.statistics.discrimination import discrimination
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.bootstrap import WeightedStatistic, bootstrap
from clinical_assets.statistics.uncertainty.effective_size import design_effect, effective_sample_size
from clinical_assets.statistics.uncertainty.intervals import Estimate

STATISTICS: dict[str, Callable[[FloatArray, FloatArray], WeightedStatistic]] = {
    "auroc": discrimination.auroc_statistic,
    "auprc": discrimination.auprc_statistic,
    "brier": calibration.brier_statistic,
    "intercept": calibration.calibration_intercept_statistic,
    "slope": calibration.calibration_slope_statistic,
    "observed/expected": calibration.observed_expected_statistic,
    "net benefit": lambda y, p: net_benefit_statistic(y, p, threshold=0.1),
    "prevalence": lambda y, _: lambda weights: (weights @ y) / weights.sum(axis=1),
}
SPREAD = st.lists(st.floats(0.001, 1000), min_size=1, max_size=40)


def population(size: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Outcomes and risks that mean what they say, about one event in ten."""
    rng = np.random.default_rng(seed)
    risk = expit(rng.normal(-2.6, 1.1, size))
    return (rng.random(size) < risk).astype(float), risk


def enriched(y: FloatArray, p: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One in five with the event and one in forty without, each with one over its chance as its weight."""
    chance = np.where(y == 1, 0.2, 0.025)
    drawn = rng.random(y.size) < chance
    return y[drawn], p[drawn], 1 / chance[drawn]


def estimated(name: str, y: FloatArray, p: FloatArray, weights: FloatArray | None, n_resamples: int = 200) -> Estimate:
    return bootstrap(
        STATISTICS[name](y, p),
        y.size,
        events=float(y.sum()),
        weights=weights,
        groups=np.arange(y.size),
        n_resamples=n_resamples,
        seed=1,
    )


def whole(name: str, y: FloatArray, p: FloatArray) -> float:
    return float(STATISTICS[name](y, p)(np.ones((1, y.size)))[0])


@pytest.mark.parametrize("name", STATISTICS)
def test_a_biased_sample_with_its_weights_says_what_is_true_of_the_population(name: str) -> None:
    y, p = population(100_000, seed=11)
    truth, sample = whole(name, y, p), enriched(y, p, np.random.default_rng(12))
    found = estimated(name, *sample, n_resamples=400)
    assert found.ci_low <= truth <= found.ci_high
    assert found.ci_high - found.ci_low < 0.35


@pytest.mark.parametrize("name", ["auprc", "brier", "intercept", "observed/expected", "net benefit", "prevalence"])
def test_without_its_weights_the_same_sample_is_wrong_about_whatever_depends_on_prevalence(name: str) -> None:
    y, p = population(100_000, seed=11)
    events, risks, _ = enriched(y, p, np.random.default_rng(12))
    found = estimated(name, events, risks, None, n_resamples=400)
    assert not found.ci_low <= whole(name, y, p) <= found.ci_high


def test_intervals_of_a_biased_sample_hold_the_truth_in_about_95_of_100_samples() -> None:
    y, p = population(10_000, seed=21)
    truth = {name: whole(name, y, p) for name in ("auroc", "brier", "prevalence")}
    held = dict.fromkeys(truth, 0)
    for number in range(120):
        sample = enriched(y, p, np.random.default_rng(100 + number))
        for name, value in truth.items():
            found = estimated(name, *sample)
            held[name] += found.ci_low <= value <= found.ci_high
    # 120 samples at 95 %: 114 on average, and 107 to 120 with 99.8 % probability.
    assert all(count >= 105 for count in held.values()), held


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("factor", [1e-3, 7.3, 4e5])
def test_the_scale_of_the_weights_changes_neither_value_nor_interval(name: str, factor: float) -> None:
    y, p = population(20_000, seed=3)
    events, risks, weights = enriched(y, p, np.random.default_rng(4))
    one, other = (estimated(name, events, risks, scale * weights, n_resamples=50) for scale in (1.0, factor))
    expected = [one.value, one.ci_low, one.ci_high]
    np.testing.assert_allclose([other.value, other.ci_low, other.ci_high], expected, rtol=1e-9, atol=1e-9)


def test_a_map_fitted_by_weight_is_that_of_the_population() -> None:
    y, p = population(100_000, seed=5)
    log_odds = 0.8 + 1.4 * np.log(p / (1 - p))  # too extreme, and too high
    events, shifted, weights = enriched(y, log_odds, np.random.default_rng(6))
    truth = fit_recalibration(y, log_odds)
    found = fit_recalibration(events, shifted, weights=weights / weights.mean())
    blind = fit_recalibration(events, shifted)
    assert (found.intercept, found.slope) == pytest.approx((truth.intercept, truth.slope), abs=0.12)
    assert abs(blind.intercept - truth.intercept) > 1


def test_the_smoothed_risk_of_a_biased_sample_is_that_of_the_population() -> None:
    y, p = population(100_000, seed=7)
    events, risks, weights = enriched(y, p, np.random.default_rng(8))
    at = np.array([0.03, 0.08, 0.15, 0.3])
    found = smooth_observed_risk(events, risks, at=at, weights=weights / weights.mean())
    np.testing.assert_allclose(found, at, atol=0.035)


@given(SPREAD, st.floats(1e-3, 1e3))
def test_the_effective_size_lies_between_1_and_n_and_has_no_scale(weights: list[float], factor: float) -> None:
    size = effective_sample_size(weights)
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_sample_size(np.asarray(weights) * factor) == pytest.approx(size, rel=1e-9)
    assert design_effect(weights) == pytest.approx(1 + (np.std(weights) / np.mean(weights)) ** 2, rel=1e-9)


def test_a_mean_by_weights_unrelated_to_the_values_varies_as_one_of_the_effective_size() -> None:
    rng = np.random.default_rng(9)
    weights = rng.lognormal(0, 0.9, 400)
    means = rng.normal(size=(20_000, 400)) @ weights / weights.sum()
    assert 1 / means.var() == pytest.approx(effective_sample_size(weights), rel=0.04)
    assert effective_sample_size(weights) < 250


def test_records_of_no_weight_count_neither_for_size_nor_for_effect() -> None:
    weights = np.array([1.0, 3.0, 0.5])
    padded = np.append(weights, [0.0, 0.0])
    assert effective_sample_size(padded) == effective_sample_size(weights)
    assert design_effect(padded) == design_effect(weights)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_very_large_and_very_small_weights_have_an_effective_size(size: float) -> None:
    assert effective_sample_size([size, size, size]) == pytest.approx(3)


@pytest.mark.parametrize(
    ("weights", "error"),
    [([], InsufficientData), ([0, 0], InsufficientData), ([1, -1], InvalidArray), ([1, float("nan")], InvalidArray)],
)
def test_weights_that_say_nothing_are_refused(weights: list[float], error: type[Exception]) -> None:
    with pytest.raises(error):
        effective_sample_size(weights)


def few_and_many(events: int, others: int, event_weight: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Records of the two outcomes, those with the event of another weight; the mean is 1."""
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [events, others])
    weights = np.repeat([event_weight, 1.0], [events, others])
    return y, np.clip(rng.beta(1, 12, y.size) + 0.03 * y, 0.001, 0.9), weights / weights.mean()


def test_many_events_of_small_weight_are_many() -> None:
    y, p, weights = few_and_many(120, 400, 0.01)
    assert weights @ y < 2
    indices = calibration_indices(y, p, weights=weights, groups=np.arange(y.size), n_resamples=50)
    assert indices.ici.ci_low < indices.ici.value < indices.ici.ci_high
    assert discrimination.auroc(y, p, weights=weights).value == pytest.approx(
        float(discrimination.auroc_statistic(y, p)(weights[None])[0])
    )


def test_few_events_of_large_weight_are_few() -> None:
    y, p, weights = few_and_many(2, 400, 40)
    assert weights @ y > 10
    with pytest.raises(InsufficientData, match=r"^2 events among 402 records, at least 10 needed"):
        calibration_indices(y, p, weights=weights)


@pytest.mark.parametrize("spread", [0, 1.8])
def test_the_interval_of_an_auroc_by_sampling_weights_is_that_of_resampled_records(spread: float) -> None:
    y, p = population(60_000, seed=31)
    sample = enriched(y, p, np.random.default_rng(32))
    weights = sample[2] * np.random.default_rng(33).lognormal(0, spread, sample[0].size)
    closed = discrimination.auroc(sample[0], sample[1], weights=weights / weights.mean())
    drawn = estimated("auroc", sample[0], sample[1], weights, n_resamples=2000)
    assert closed.value == pytest.approx(drawn.value)
    assert closed.ci_high - closed.ci_low == pytest.approx(drawn.ci_high - drawn.ci_low, rel=0.15)
