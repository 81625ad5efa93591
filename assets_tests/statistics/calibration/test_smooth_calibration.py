import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.nonparametric.smoothers_lowess import lowess

from assets_tests.worlds.tables.outcomes import Sample, risks
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration import calibration_spline
from clinical_assets.statistics.calibration.calibration_spline import (
    CalibrationSpline,
    gather_cells,
    weighted_quantiles,
)
from clinical_assets.statistics.calibration.logistic import expit, logit
from clinical_assets.statistics.calibration.smooth_calibration import (
    calibration_indices,
    calibration_plot,
    smooth_observed_risk,
)
from clinical_assets.statistics.inputs import InvalidArray, binary_sample


def bent(log_odds: FloatArray) -> FloatArray:
    """A miscalibration that is no straight line in the log-odds."""
    return 0.3 + 0.6 * log_odds - 0.15 * log_odds**2


def bent_sample(n: int, *, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    x = rng.normal(-1, 1.2, n)
    return (rng.random(n) < expit(bent(x))).astype(float), expit(x)


def test_a_known_curved_miscalibration_is_recovered() -> None:
    y, p = bent_sample(100_000)
    at = expit(np.linspace(-3, 1, 50))
    truth = expit(bent(logit(at)))
    np.testing.assert_allclose(smooth_observed_risk(y, p, at=at), truth, atol=0.015)
    distance = np.abs(expit(bent(logit(p))) - p)
    found = calibration_indices(y, p, n_resamples=20)
    assert found.ici.value == pytest.approx(distance.mean(), abs=0.005)
    assert found.e50.value == pytest.approx(np.median(distance), abs=0.01)
    assert found.e90.value == pytest.approx(np.quantile(distance, 0.9), abs=0.01)


def test_on_a_moderate_sample_the_curve_and_the_ici_are_near_those_of_lowess() -> None:
    y, p = bent_sample(3000)
    loess = lowess(y, p, frac=0.75, it=0, return_sorted=False)
    ours = smooth_observed_risk(y, p, at=p)
    central = (p > np.quantile(p, 0.02)) & (p < np.quantile(p, 0.98))
    assert np.abs(ours - loess)[central].mean() < 0.015
    assert calibration_indices(y, p, n_resamples=20).ici.value == pytest.approx(np.abs(loess - p).mean(), abs=0.015)


def test_the_curve_is_the_spline_regression_of_statsmodels() -> None:
    y, p = bent_sample(1500)
    cells = gather_cells(binary_sample(y, p))
    x = logit(p)
    t = CalibrationSpline(cells, 1000).knots
    # Harrell's basis, written out.
    cube = np.maximum(x[:, None] - t, 0) ** 3
    basis = cube[:, :-2] - (cube[:, [-2]] * (t[-1] - t[:-2]) - cube[:, [-1]] * (t[-2] - t[:-2])) / (t[-1] - t[-2])
    design = sm.add_constant(np.column_stack([x, basis]))
    fitted = sm.GLM(y, design, family=sm.families.Binomial()).fit().fittedvalues
    assert t.size == 5
    np.testing.assert_allclose(smooth_observed_risk(y, p, at=p), fitted, atol=2e-4)


def test_gathering_rows_into_cells_moves_the_indices_by_less_than_1e_4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, p = bent_sample(30_000)
    y[:2], p[:2] = [0, 1], [1e-9, 1 - 1e-9]  # outliers make the cells wide
    in_cells = calibration_indices(y, p, n_resamples=1)
    monkeypatch.setattr(calibration_spline, "MAX_CELLS", 10**6)
    exact = calibration_indices(y, p, n_resamples=1)
    for name in ("ici", "e50", "e90"):
        assert getattr(in_cells, name).value == pytest.approx(getattr(exact, name).value, abs=1e-4)


def test_a_calibrated_model_shows_the_ici_that_chance_alone_gives() -> None:
    found = [calibration_indices(*risks(400, seed=s), n_resamples=50) for s in range(40)]
    measured = np.mean([f.ici.value for f in found])
    expected = np.mean([f.ici_if_calibrated for f in found])
    assert 0.01 < measured < 0.05
    assert measured == pytest.approx(expected, rel=0.15)


def test_the_chance_level_of_the_ici_falls_with_the_number_of_records() -> None:
    by_chance = [calibration_indices(*risks(n), n_resamples=50).ici_if_calibrated for n in (200, 2000, 20_000)]
    assert by_chance[0] > 2 * by_chance[1] > 4 * by_chance[2] > 0


def test_intervals_hold_their_values_where_the_model_is_off() -> None:
    found = calibration_indices(*bent_sample(2000))
    for estimate in (found.ici, found.e50, found.e90):
        assert 0 <= estimate.ci_low < estimate.value < estimate.ci_high
    assert found.ici.ci_low > found.ici_if_calibrated
    assert found.e50.value <= found.e90.value


def test_the_interval_of_the_ici_is_that_of_a_loop_over_resampled_rows() -> None:
    y, p = bent_sample(1000)
    fast = calibration_indices(y, p, n_resamples=1000).ici
    rng = np.random.default_rng(0)
    slow = []
    for _ in range(300):
        rows = rng.integers(0, 1000, 1000)
        slow.append(np.abs(smooth_observed_risk(y[rows], p[rows], at=p[rows]) - p[rows]).mean())
    low, high = np.quantile(slow, [0.025, 0.975])
    assert (fast.ci_low, fast.ci_high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_same_seed_gives_the_same_interval() -> None:
    y, p = risks(300)
    assert calibration_indices(y, p, seed=3) == calibration_indices(y, p, seed=3)
    assert calibration_indices(y, p, seed=3) != calibration_indices(y, p, seed=4)


def test_resampling_subjects_widens_the_interval() -> None:
    y, p = bent_sample(400)
    y, p, subject = np.repeat(y, 5), np.repeat(p, 5), np.repeat(np.arange(400), 5)
    rows, subjects = calibration_indices(y, p).ici, calibration_indices(y, p, groups=subject).ici
    assert subjects.ci_high - subjects.ci_low > 1.5 * (rows.ci_high - rows.ci_low)


@pytest.mark.parametrize("levels", [[0.3], [0.2, 0.6], [0.1, 0.3, 0.7]], ids=len)
def test_few_distinct_risks_are_enough_for_a_curve(levels: list[float]) -> None:
    rng = np.random.default_rng(0)
    p = rng.choice(levels, 600)
    y = (rng.random(600) < p).astype(float)
    observed = [y[p == level].mean() for level in levels]
    curve = smooth_observed_risk(y, p, at=levels)
    np.testing.assert_allclose(curve, observed, atol=1e-3)


def test_separated_events_still_give_a_finite_curve() -> None:
    p = np.linspace(0.05, 0.95, 60)
    curve = smooth_observed_risk((p > 0.5).astype(float), p, at=[0.1, 0.5, 0.9])
    assert curve[0] < 0.05
    assert curve[2] > 0.95


def test_fewer_than_ten_events_are_insufficient() -> None:
    y, p = np.zeros(200), risks(200)[1]
    y[:9] = 1
    with pytest.raises(InsufficientData, match="9 events"):
        calibration_indices(y, p)
    with pytest.raises(InsufficientData, match="9 events"):
        calibration_plot(y, p)


def test_the_bins_of_the_plot_account_for_every_record() -> None:
    y, p = risks(1234)
    plot = calibration_plot(y, p, n_bins=8)
    assert plot.bin_n.sum() == 1234
    assert plot.bin_events.sum() == y.sum()
    np.testing.assert_allclose(plot.bin_n, 1234 / 8, atol=1)
    assert plot.bin_predicted @ plot.bin_n == pytest.approx(p.sum())
    assert ((plot.bin_low <= plot.bin_observed) & (plot.bin_observed <= plot.bin_high)).all()
    assert (np.diff(plot.bin_predicted) > 0).all()


def test_tied_risks_make_fewer_bins() -> None:
    y, p = risks(500)
    assert calibration_plot(y, np.where(p > 0.3, 0.6, 0.1)).bin_n.size == 2


def test_the_band_of_the_plot_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = []
    for seed in range(60):
        plot = calibration_plot(*bent_sample(1500, seed=seed))
        truth = expit(bent(logit(plot.predicted)))
        inside.append(np.mean((plot.low <= truth) & (truth <= plot.high)))
    assert 0.90 < np.mean(inside) < 0.98


def test_a_curve_is_not_drawn_outside_0_to_1() -> None:
    with pytest.raises(InvalidArray, match="`at`"):
        smooth_observed_risk(*risks(100), at=[0.2, 1.0])
    with pytest.raises(InvalidArray, match="n_bins"):
        calibration_plot(*risks(100), n_bins=1)


def test_weighted_quantiles_are_those_of_repeated_values() -> None:
    values, weights = np.array([1.0, 2, 5, 9]), np.array([2.0, 1, 4, 1])
    shares = (0.05, 0.25, 0.3, 0.5, 0.9)
    rows = np.repeat(values, weights.astype(int))
    np.testing.assert_array_equal(
        weighted_quantiles(values, weights, shares), np.quantile(rows, shares, method="inverted_cdf")
    )
