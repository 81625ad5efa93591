import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.intervals import (
    clopper_pearson_interval,
    logit_interval,
    mean_estimate,
    normal_quantile,
    proportion,
    wilson_interval,
)

COUNTS = [(k, n) for n in (1, 2, 7, 40, 1000) for k in {0, 1, n // 3, n - 1, n} if k <= n]


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_and_clopper_pearson_equal_scipy_at_every_count(level: float) -> None:
    k, n = np.array(COUNTS).T
    for interval, name in ((wilson_interval, "wilson"), (clopper_pearson_interval, "exact")):
        expected = [binomtest(int(a), int(b)).proportion_ci(level, method=name) for a, b in COUNTS]
        low, high = interval(k, n, level=level)
        np.testing.assert_allclose(low, [e.low for e in expected], atol=1e-12)
        np.testing.assert_allclose(high, [e.high for e in expected], atol=1e-12)


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from(["wilson", "clopper-pearson"]))
def test_an_interval_of_a_proportion_holds_its_value_and_stays_in_0_to_1(k: int, n: int, method: str) -> None:
    estimate = proportion(min(k, n), n, method=method)  # type: ignore[arg-type]
    assert 0 <= estimate.ci_low <= estimate.value <= estimate.ci_high <= 1
    assert (estimate.n, estimate.events) == (n, min(k, n))


def test_clopper_pearson_covers_at_least_as_often_as_it_says_and_wilson_does_so_on_average() -> None:
    n, k = 30, np.arange(31)
    truths = np.linspace(0.02, 0.98, 97)
    coverage = {}
    for interval in (wilson_interval, clopper_pearson_interval):
        low, high = interval(k, np.full(31, n))
        inside = (low[:, None] <= truths) & (truths <= high[:, None])
        coverage[interval.__name__] = (binom.pmf(k[:, None], n, truths) * inside).sum(axis=0)
    assert coverage["clopper_pearson_interval"].min() >= 0.95
    assert abs(coverage["wilson_interval"].mean() - 0.95) < 0.01


def test_a_proportion_without_a_denominator_is_insufficient_not_zero() -> None:
    with pytest.raises(InsufficientData, match="denominator"):
        proportion(0, 0)


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2), (np.nan, 2)])
def test_impossible_counts_are_refused(k: float, n: float) -> None:
    with pytest.raises(InvalidArray):
        wilson_interval(k, n)


def test_the_normal_quantile_is_that_of_scipy() -> None:
    assert normal_quantile(0.95) == pytest.approx(norm.ppf(0.975), abs=1e-12)
    with pytest.raises(InvalidArray, match="level"):
        normal_quantile(95)


def test_the_wald_interval_of_a_mean_is_the_textbook_one_and_is_cut_at_its_bounds() -> None:
    x = np.random.default_rng(0).random(50)
    estimate = mean_estimate(x, np.ones(50), events=0)
    half = 1.959963984540054 * x.std(ddof=1) / np.sqrt(50)
    assert (estimate.value, estimate.ci_high - estimate.value) == pytest.approx((x.mean(), half))
    assert mean_estimate(x / 50, np.ones(50), events=0, bounds=(0.0099, 1)).ci_low == 0.0099


def test_one_record_has_a_mean_but_no_interval() -> None:
    with pytest.raises(InsufficientData):
        mean_estimate(np.array([0.3]), np.ones(1), events=0)


def test_a_logit_interval_is_symmetric_in_log_odds_and_stays_inside() -> None:
    low, high = logit_interval(0.99, 0.02)
    assert 0 < low < 0.99 < high < 1
    middle = (np.log(low / (1 - low)) + np.log(high / (1 - high))) / 2
    assert middle == pytest.approx(np.log(99))
    with pytest.raises(InvalidArray):
        logit_interval(1.0, 0.1)


def test_an_estimate_scales_to_another_unit_and_lists_its_parts() -> None:
    estimate = proportion(3, 10).scaled(1000)
    assert estimate.value == 300
    assert estimate.ci_low == pytest.approx(1000 * proportion(3, 10).ci_low)
    assert estimate.as_dict()["n"] == 10
    with pytest.raises(InvalidArray):
        estimate.scaled(-1)
