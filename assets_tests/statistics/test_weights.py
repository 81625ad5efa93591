"""Weight 2 is a row repeated, for every measure; and a bootstrap by weights is a bootstrap of rows."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.tables.outcomes import repeated, risks, weighted_risks
from clinical_assets.statistics.calibration import calibration, smooth_calibration, updating
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.decisions import cost_curve, net_benefit
from clinical_assets.statistics.discrimination import classification, discrimination, multiclass

MEASURES: dict[str, Callable[..., Any]] = {
    "auroc": discrimination.auroc,
    "compare_auroc": lambda y, p, weights=None: discrimination.compare_auroc(y, p, np.abs(p - 0.4), weights=weights),
    "auprc": lambda y, p, weights=None: discrimination.auprc(y, p, weights=weights, interval="logit"),
    "threshold_metrics": lambda y, p, weights=None: classification.threshold_metrics(
        y, p, threshold=0.3, weights=weights
    ),
    "brier": calibration.brier,
    "scaled_brier": calibration.scaled_brier,
    "calibration_intercept": calibration.calibration_intercept,
    "calibration_slope": calibration.calibration_slope,
    "observed_expected_ratio": calibration.observed_expected_ratio,
    "calibration_plot": smooth_calibration.calibration_plot,
    "net_benefit": lambda y, p, weights=None: net_benefit.net_benefit(y, p, threshold=0.2, weights=weights),
    "treat_all": lambda y, _, weights=None: net_benefit.net_benefit_treat_all(y, threshold=0.2, weights=weights),
    "expected_cost": lambda y, p, weights=None: net_benefit.expected_cost(
        y, p, threshold=0.2, c_fp=1, c_fn=4, weights=weights
    ),
    "business_table": lambda y, p, weights=None: [
        asdict(row) for row in cost_curve.business_table(y, p, c_fp=1, c_fn=4, weights=weights)
    ],
    "ranked_probability_score": lambda y, p, weights=None: multiclass.ranked_probability_score(
        y, np.column_stack([1 - p, p]), weights=weights
    ),
    "fit_recalibration": lambda y, p, weights=None: updating.fit_recalibration(y, logit(p), weights=weights),
    "choose_update": lambda y, p, weights=None: updating.choose_update(y, logit(p), weights=weights),
}


def numbers(result: Any) -> list[float]:
    """All numbers of a nested result, in order."""
    if isinstance(result, dict):
        return [x for value in result.values() for x in numbers(value)]
    if isinstance(result, list | tuple):
        return [x for value in result for x in numbers(value)]
    if isinstance(result, np.ndarray):
        return [float(x) for x in result.ravel()]
    if hasattr(result, "__dataclass_fields__"):
        return numbers(asdict(result))
    return [float(result)] if isinstance(result, int | float) else []


@pytest.mark.parametrize("name", MEASURES)
def test_weight_2_is_a_row_repeated_for_value_and_interval(name: str) -> None:
    y, p, weights = weighted_risks(300, seed=2)
    weighted = numbers(MEASURES[name](y, p, weights=weights))
    rows = numbers(MEASURES[name](*repeated(weights, y, p)))
    assert len(weighted) > 2
    np.testing.assert_allclose(weighted, rows, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", MEASURES)
def test_weights_of_one_change_nothing(name: str) -> None:
    y, p = risks(200, seed=5)
    measured = numbers(MEASURES[name](y, p))
    np.testing.assert_array_equal(numbers(MEASURES[name](y, p, weights=np.ones(200))), measured)


def test_the_indices_of_calibration_take_weights_as_repeated_rows() -> None:
    y, p, weights = weighted_risks(300, seed=2)
    weighted = smooth_calibration.calibration_indices(y, p, weights=weights)
    rows = smooth_calibration.calibration_indices(*repeated(weights, y, p))
    np.testing.assert_allclose(numbers(weighted), numbers(rows), rtol=1e-6, atol=1e-7)


def test_resampled_curves_take_weights_as_repeated_rows() -> None:
    y, p, weights = weighted_risks(300, seed=2)
    y_rows, p_rows = repeated(weights, y, p)
    for curve in (net_benefit.decision_curve, lambda *a, **k: cost_curve.cost_curve(*a, c_fp=1, c_fn=3, **k)):
        used = weights > 0  # candidate thresholds are the risks of records with weight
        weighted = curve(y[used], p[used], weights=weights[used])
        np.testing.assert_allclose(numbers(weighted), numbers(curve(y_rows, p_rows)), rtol=1e-9, atol=1e-12)


STATISTICS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "auroc": (discrimination.auroc_statistic, discrimination.auroc),
    "auprc": (
        discrimination.auprc_statistic,
        lambda y, p: discrimination.auprc(y, p, interval="logit"),
    ),
    "brier": (calibration.brier_statistic, calibration.brier),
    "intercept": (calibration.calibration_intercept_statistic, calibration.calibration_intercept),
    "slope": (calibration.calibration_slope_statistic, calibration.calibration_slope),
    "observed/expected": (calibration.observed_expected_statistic, calibration.observed_expected_ratio),
    "net benefit": (
        lambda y, p: net_benefit.net_benefit_statistic(y, p, threshold=0.25),
        lambda y, p: net_benefit.net_benefit(y, p, threshold=0.25),
    ),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_of_counts_is_the_measure_on_the_resampled_rows(name: str) -> None:
    y, p, _ = weighted_risks(120, seed=9)
    counts = np.random.default_rng(0).multinomial(120, np.full(120, 1 / 120), size=8).astype(float)
    weighted, measure = STATISTICS[name]
    expected = [measure(*repeated(row, y, p)).value for row in counts]
    np.testing.assert_allclose(weighted(y, p)(counts), expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["auroc", "auprc", "intercept", "slope"])
def test_a_statistic_is_undefined_where_a_resample_lacks_a_class(name: str) -> None:
    y, p = risks(50, seed=1)
    weights = np.stack([np.ones(50), y, 1 - y])
    values = STATISTICS[name][0](y, p)(weights)
    assert np.isnan(values).tolist() == [False, True, True]
