import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.worlds.tables.outcomes import Sample, risks, samples
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.decisions.net_benefit import (
    cost_threshold,
    decision_curve,
    expected_cost,
    net_benefit,
    net_benefit_statistic,
    net_benefit_treat_all,
)
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap

STEPS = st.integers(1, 19).map(lambda i: i / 20)
COSTS = st.floats(0.01, 1000)


def naive_net_benefit(y: FloatArray, p: FloatArray, t: float) -> float:
    true = sum(1 for a, b in zip(y, p, strict=True) if b >= t and a == 1)
    false = sum(1 for a, b in zip(y, p, strict=True) if b >= t and a == 0)
    return true / len(y) - false / len(y) * t / (1 - t)


@given(samples(), STEPS)
def test_net_benefit_is_its_definition(sample: Sample, t: float) -> None:
    y, p = sample
    assert net_benefit(y, p, threshold=t).value == pytest.approx(naive_net_benefit(y, p, t), abs=1e-12)
    assert net_benefit_treat_all(y, threshold=t).value == pytest.approx(
        naive_net_benefit(y, np.ones(y.size), t), abs=1e-12
    )


@given(samples(), COSTS, COSTS)
def test_cost_per_patient_is_the_cost_of_a_miss_times_prevalence_minus_net_benefit(
    sample: Sample, c_fp: float, c_fn: float
) -> None:
    y, p = sample
    t = cost_threshold(c_fp, c_fn)
    cost = expected_cost(y, p, threshold=t, c_fp=c_fp, c_fn=c_fn).value
    benefit = net_benefit(y, p, threshold=t).value
    assert cost == pytest.approx(c_fn * (y.mean() - benefit), rel=1e-9, abs=1e-9)


@given(samples(), STEPS, COSTS, COSTS)
def test_cost_at_any_threshold_is_counted_from_misses_and_false_alarms(
    sample: Sample, t: float, c_fp: float, c_fn: float
) -> None:
    y, p = sample
    alert = p >= t
    naive = (c_fp * (alert & (y == 0)).sum() + c_fn * (~alert & (y == 1)).sum()) / y.size
    assert expected_cost(y, p, threshold=t, c_fp=c_fp, c_fn=c_fn).value == pytest.approx(naive)


@given(samples(), STEPS)
def test_net_benefit_is_at_most_the_prevalence_and_reached_by_perfect_risks(sample: Sample, t: float) -> None:
    y, p = sample
    assert net_benefit(y, p, threshold=t).value <= y.mean() + 1e-12
    perfect = np.where(y == 1, 0.99, 0.01)
    assert net_benefit(y, perfect, threshold=t).value == pytest.approx(y.mean())


def test_the_cost_threshold_depends_on_the_ratio_of_costs_alone() -> None:
    assert cost_threshold(500, 5000) == pytest.approx(1 / 11)
    assert cost_threshold(1, 10) == pytest.approx(1 / 11)
    assert cost_threshold(3, 3) == 0.5
    for costs in ((0, 1), (1, -2), (np.inf, 1), (1, np.nan)):
        with pytest.raises(InvalidArray, match="positive"):
            cost_threshold(*costs)


def test_for_calibrated_risks_no_other_threshold_costs_less_than_the_cost_threshold() -> None:
    y, p = risks(400_000)
    t_star = cost_threshold(1, 4)
    best = expected_cost(y, p, threshold=t_star, c_fp=1, c_fn=4)
    for t in (0.05, 0.1, 0.15, 0.25, 0.3, 0.5, 0.8):
        assert expected_cost(y, p, threshold=t, c_fp=1, c_fn=4).value > best.value


@pytest.mark.parametrize("t", [0.1, 0.5])
def test_the_wald_interval_agrees_with_the_bootstrap(t: float) -> None:
    y, p = risks(600)
    wald = net_benefit(y, p, threshold=t)
    boot = bootstrap(net_benefit_statistic(y, p, threshold=t), 600, events=y.sum(), n_resamples=4000)
    width = wald.ci_high - wald.ci_low
    assert abs(boot.ci_low - wald.ci_low) < 0.06 * width
    assert abs(boot.ci_high - wald.ci_high) < 0.06 * width


def test_the_decision_curve_passes_through_the_single_net_benefits() -> None:
    y, p = risks(300)
    p = p.round(2).clip(0.01, 0.99)  # risks that lie on thresholds
    curve = decision_curve(y, p, n_resamples=10)
    for i in range(0, 99, 7):
        t = float(curve.thresholds[i])
        assert curve.model[i] == pytest.approx(net_benefit(y, p, threshold=t).value, abs=1e-12)
        assert curve.treat_all[i] == pytest.approx(net_benefit_treat_all(y, threshold=t).value, abs=1e-12)
    np.testing.assert_allclose(curve.advantage, curve.model - np.maximum(curve.treat_all, 0))


def test_the_bands_are_those_of_a_loop_over_resampled_rows() -> None:
    y, p = risks(250)
    grid = np.array([0.1, 0.25, 0.4])
    fast = decision_curve(y, p, thresholds=grid, n_resamples=6000)
    rng = np.random.default_rng(5)
    slow = []
    for _ in range(1500):
        rows = rng.integers(0, 250, 250)
        slow.append([naive_net_benefit(y[rows], p[rows], t) for t in grid])
    low, high = np.quantile(slow, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(fast.model_low, low, atol=0.008)
    np.testing.assert_allclose(fast.model_high, high, atol=0.008)


def test_bands_hold_the_curve_and_widen_for_subjects() -> None:
    y, p = risks(300)
    y, p, subject = np.repeat(y, 4), np.repeat(p, 4), np.repeat(np.arange(300), 4)
    rows = decision_curve(y, p, thresholds=[0.2, 0.3])
    subjects = decision_curve(y, p, thresholds=[0.2, 0.3], groups=subject)
    assert ((rows.model_low < rows.model) & (rows.model < rows.model_high)).all()
    ratio = (subjects.model_high - subjects.model_low) / (rows.model_high - rows.model_low)
    np.testing.assert_allclose(ratio, 2, rtol=0.2)


@pytest.mark.parametrize("thresholds", [[0.2, 0.1], [0.2, 0.2], [0.0, 0.5], [], [[0.1]]])
def test_thresholds_must_ascend_between_0_and_1(thresholds: list[float]) -> None:
    with pytest.raises(InvalidArray, match="thresholds"):
        decision_curve(*risks(50), thresholds=thresholds)
