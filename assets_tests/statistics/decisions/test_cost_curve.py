import numpy as np
import pytest
from hypothesis import given

from assets_tests.worlds.tables.outcomes import Sample, risks, samples
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.decisions.cost_curve import business_table, cost_curve
from clinical_assets.statistics.decisions.net_benefit import cost_threshold, expected_cost, net_benefit
from clinical_assets.statistics.inputs import InvalidArray


def naive_cost(y: FloatArray, p: FloatArray, t: float, c_fp: float, c_fn: float) -> float:
    total = 0.0
    for outcome, risk in zip(y, p, strict=True):
        if risk >= t and outcome == 0:
            total += c_fp
        if risk < t and outcome == 1:
            total += c_fn
    return total / len(y)


@given(samples())
def test_the_curve_and_its_optimum_are_those_of_a_loop_over_all_candidates(sample: Sample) -> None:
    y, p = sample
    curve = cost_curve(y, p, c_fp=1, c_fn=3, n_resamples=5)
    candidates = [*np.unique(p), np.nextafter(p.max(), 1)]
    naive = [naive_cost(y, p, t, 1, 3) for t in candidates]
    np.testing.assert_array_equal(curve.thresholds, np.unique([*candidates, 0.0625, 0.25]))
    np.testing.assert_allclose(curve.cost, [naive_cost(y, p, t, 1, 3) for t in curve.thresholds], atol=1e-12)
    assert curve.optimum_cost.value == pytest.approx(min(naive))
    assert curve.optimum_threshold == candidates[int(np.argmin(np.round(naive, 9)))]
    assert curve.theoretical_cost == pytest.approx(naive_cost(y, p, 0.25, 1, 3))


def test_many_risks_are_thinned_but_the_optimum_is_sought_among_all() -> None:
    y, p = risks(5000)
    full = cost_curve(y, p, c_fp=1, c_fn=4, max_candidates=10_000, n_resamples=20)
    thin = cost_curve(y, p, c_fp=1, c_fn=4, max_candidates=100, n_resamples=20)
    assert full.thresholds.size == 5001 + 3
    assert thin.thresholds.size <= 101 + 3
    assert thin.optimum_threshold == full.optimum_threshold
    assert thin.optimum_cost == full.optimum_cost
    assert thin.optimum_threshold in thin.thresholds
    kept = np.isin(full.thresholds, thin.thresholds)
    np.testing.assert_array_equal(full.cost[kept], thin.cost)


def test_the_curve_reaches_around_the_theoretical_threshold_wherever_the_risks_lie() -> None:
    y, p = risks(400)
    curve = cost_curve(y, 0.5 + p / 4, c_fp=1, c_fn=9, n_resamples=10)
    assert curve.thresholds[0] == pytest.approx(0.025)
    # Below all risks everybody is alerted: the curve is flat up to the first risk.
    below = curve.thresholds < 0.5
    assert set(curve.cost[below]) == {curve.cost[0]}
    assert curve.theoretical_cost == curve.cost[0] == pytest.approx(1 - y.mean())
    assert below.sum() == 3


def test_the_excess_is_the_paired_difference_of_two_costs() -> None:
    y, p = risks(600, seed=3)
    curve = cost_curve(y, p**3, c_fp=1, c_fn=4, n_resamples=2000)
    assert curve.excess.value == pytest.approx(curve.theoretical_cost - curve.optimum_cost.value)
    t, best = curve.theoretical_threshold, curve.optimum_threshold
    each = [(np.where(p**3 >= at, 1.0 - y, 4.0 * y)) for at in (t, best)]
    wald = 1.96 * (each[0] - each[1]).std(ddof=1) / np.sqrt(y.size)
    assert curve.excess.ci_low == pytest.approx(curve.excess.value - wald, abs=0.2 * wald)
    assert curve.excess.ci_high == pytest.approx(curve.excess.value + wald, abs=0.2 * wald)


def test_the_ends_of_the_curve_are_treat_all_and_treat_none() -> None:
    y, p = risks(300)
    curve = cost_curve(y, p, c_fp=2, c_fn=7, n_resamples=10)
    assert curve.cost[0] == pytest.approx(2 * (1 - y.mean()))
    assert curve.cost[-1] == pytest.approx(7 * y.mean())


def test_the_band_and_the_spread_of_the_optimum_are_those_of_a_loop_over_resampled_rows() -> None:
    y, p = risks(150, seed=2)
    p = p.round(1).clip(0.1, 0.9)
    fast = cost_curve(y, p, c_fp=1, c_fn=3, n_resamples=6000)
    rng = np.random.default_rng(5)
    curves = []
    for _ in range(800):
        rows = rng.integers(0, 150, 150)
        curves.append([naive_cost(y[rows], p[rows], t, 1, 3) for t in fast.thresholds])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(fast.low, low, atol=0.04)
    np.testing.assert_allclose(fast.high, high, atol=0.04)
    best = fast.thresholds[np.argmin(np.round(curves, 9), axis=1)]
    np.testing.assert_allclose([fast.optimum_low, fast.optimum_high], np.quantile(best, [0.025, 0.975]), atol=0.11)


def test_calibrated_risks_have_their_empirical_optimum_near_the_cost_threshold() -> None:
    curve = cost_curve(*risks(100_000), c_fp=1, c_fn=4, n_resamples=200)
    assert curve.theoretical_threshold == 0.2
    assert curve.optimum_low <= curve.theoretical_threshold <= curve.optimum_high
    assert curve.optimum_threshold == pytest.approx(0.2, abs=0.05)
    assert curve.optimum_cost.value <= curve.theoretical_cost <= 1.01 * curve.optimum_cost.value
    assert ((curve.low <= curve.cost) & (curve.cost <= curve.high)).all()


def test_overconfident_risks_have_their_optimum_elsewhere() -> None:
    curve = cost_curve(*risks(50_000, intercept=-1.0), c_fp=1, c_fn=4, n_resamples=200)
    assert curve.optimum_low > curve.theoretical_threshold
    assert curve.optimum_cost.ci_high < curve.theoretical_cost


def test_the_optimum_is_optimistic_on_the_records_that_chose_it() -> None:
    y, p = risks(200_000, seed=9)
    gap = []
    for seed in range(100):
        sample_y, sample_p = risks(60, seed=seed)
        curve = cost_curve(sample_y, sample_p, c_fp=1, c_fn=4, n_resamples=2)
        gap.append(
            expected_cost(y, p, threshold=curve.optimum_threshold, c_fp=1, c_fn=4).value - curve.optimum_cost.value
        )
    assert np.mean(gap) > 0.03


def test_the_table_accounts_for_every_patient_and_every_cost() -> None:
    y, p = risks(700)
    rows = business_table(y, p, c_fp=500, c_fn=5000, thresholds={"chosen in training": 0.2})
    assert [r.policy for r in rows] == [
        "model at cost threshold", "model at 0.5", "chosen in training", "treat all", "treat none",
    ]  # fmt: skip
    for row in rows:
        assert row.caught.value + row.missed.value == pytest.approx(1000 * y.mean())
        assert row.caught.value + row.false_alarms.value == pytest.approx(row.alerts.value)
        expected = 500 * row.false_alarms.value + 5000 * row.missed.value
        assert row.cost.value == pytest.approx(expected)
        assert 0 <= row.cost.ci_low <= row.cost.value <= row.cost.ci_high
    chosen = rows[2]
    assert chosen.cost.value == pytest.approx(1000 * expected_cost(y, p, threshold=0.2, c_fp=500, c_fn=5000).value)


def test_the_table_repeats_the_identity_of_cost_and_net_benefit() -> None:
    y, p = risks(700)
    row = business_table(y, p, c_fp=500, c_fn=5000)[0]
    t = cost_threshold(500, 5000)
    assert row.threshold == t
    benefit = net_benefit(y, p, threshold=t).value
    assert row.cost.value == pytest.approx(1000 * 5000 * (y.mean() - benefit))


def test_policies_without_a_model_are_certain_about_what_they_fix() -> None:
    y, p = risks(200)
    everybody, nobody = business_table(y, p, c_fp=1, c_fn=9, per=100)[-2:]
    assert (everybody.alerts.ci_low, everybody.alerts.ci_high) == (100, 100)
    assert (everybody.missed.value, everybody.missed.ci_high) == (0, 0)
    assert (nobody.alerts.value, nobody.caught.ci_high, nobody.false_alarms.ci_high) == (0, 0, 0)
    assert nobody.missed.ci_low < nobody.missed.value < nobody.missed.ci_high
    assert nobody.alerts.method == "by definition"


def test_impossible_parameters_are_refused() -> None:
    y, p = risks(50)
    with pytest.raises(InvalidArray, match="positive"):
        cost_curve(y, p, c_fp=-1, c_fn=1)
    with pytest.raises(InvalidArray, match="max_candidates"):
        cost_curve(y, p, c_fp=1, c_fn=1, max_candidates=1)
    with pytest.raises(InvalidArray, match="threshold of 'mine'"):
        business_table(y, p, c_fp=1, c_fn=1, thresholds={"mine": 1.0})
    with pytest.raises(InvalidArray, match="per"):
        business_table(y, p, c_fp=1, c_fn=1, per=0)
