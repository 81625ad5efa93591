import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from assets_tests.worlds.tables.outcomes import Sample, risks, samples
from clinical_assets.statistics.discrimination.classification import sensitivity_specificity_curve, threshold_metrics
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.intervals import wilson_interval


@given(samples(), st.integers(1, 19))
def test_the_table_and_its_rates_are_those_of_scikit_learn(sample: Sample, step: int) -> None:
    y, p = sample
    t = step / 20
    m = threshold_metrics(y, p, threshold=t)
    alert = p >= t
    tn, fp, fn, tp = confusion_matrix(y, alert, labels=[0, 1]).ravel()
    assert (m.true_silences, m.false_alerts, m.missed, m.true_alerts) == (tn, fp, fn, tp)
    assert m.sensitivity.value == pytest.approx(recall_score(y, alert))
    assert m.specificity.value == pytest.approx(recall_score(1 - y, ~alert))
    assert m.f1.value == pytest.approx(f1_score(y, alert))
    assert m.alert_rate.value == pytest.approx(alert.mean())
    if m.ppv is not None:
        assert m.ppv.value == pytest.approx(precision_score(y, alert))
    if m.npv is not None:
        assert m.npv.value == pytest.approx(precision_score(1 - y, ~alert))
    for estimate in (m.sensitivity, m.specificity, m.f1, m.alert_rate):
        assert estimate.ci_low <= estimate.value <= estimate.ci_high


def test_intervals_are_wilson_on_the_right_denominators() -> None:
    y, p = risks(300)
    m = threshold_metrics(y, p, threshold=0.4)
    low, high = wilson_interval(m.true_alerts, m.true_alerts + m.missed)
    assert (m.sensitivity.ci_low, m.sensitivity.ci_high) == (float(low), float(high))
    assert m.sensitivity.n == y.sum()
    assert m.specificity.n == 300 - y.sum()


def test_without_an_alert_the_predictive_value_is_undefined_and_not_zero() -> None:
    m = threshold_metrics([0, 1, 0], [0.1, 0.2, 0.3], threshold=0.9)
    assert m.ppv is None
    assert m.number_needed_to_evaluate is None
    assert m.npv is not None
    assert m.sensitivity.value == 0
    everything = threshold_metrics([0, 1, 0], [0.1, 0.2, 0.3], threshold=0.05)
    assert everything.npv is None


def test_the_number_needed_to_evaluate_is_the_reciprocal_of_the_predictive_value() -> None:
    y, p = risks(300)
    m = threshold_metrics(y, p, threshold=0.3)
    assert m.ppv is not None
    assert m.number_needed_to_evaluate is not None
    assert m.number_needed_to_evaluate.value == pytest.approx(1 / m.ppv.value)
    assert m.number_needed_to_evaluate.ci_high == pytest.approx(1 / m.ppv.ci_low)
    useless = threshold_metrics([1, 0, 0], [0.1, 0.6, 0.7], threshold=0.5).number_needed_to_evaluate
    assert useless is not None
    assert math.isinf(useless.value)
    assert 1 < useless.ci_low < math.inf


def test_the_interval_of_f1_covers_its_truth() -> None:
    # Alerts and events with P(TP) = .2, P(FP) = .1, P(FN) = .1: F1 = .4 / .6.
    hits = 0
    for seed in range(500):
        cell = np.random.default_rng(seed).choice(4, 120, p=[0.2, 0.1, 0.1, 0.6])
        y, p = np.isin(cell, [0, 2]).astype(float), np.where(np.isin(cell, [0, 1]), 0.8, 0.2)
        f1 = threshold_metrics(y, p, threshold=0.5).f1
        hits += f1.ci_low <= 2 / 3 <= f1.ci_high
    assert 0.925 <= hits / 500 <= 0.975


def test_the_curve_passes_through_the_single_thresholds() -> None:
    y, p = risks(200)
    grid = np.array([0.0, 0.1, 0.33, p[5], 0.9, 1.0])
    sensitivity, specificity = sensitivity_specificity_curve(y, p, thresholds=grid)
    for i in range(1, 5):
        m = threshold_metrics(y, p, threshold=float(grid[i]))
        assert (sensitivity[i], specificity[i]) == pytest.approx((m.sensitivity.value, m.specificity.value))
    assert (sensitivity[0], specificity[0]) == (1, 0)
    assert (sensitivity[-1], specificity[-1]) == (0, 1)


@pytest.mark.parametrize("threshold", [0, 1, -0.5, np.nan])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidArray, match="threshold"):
        threshold_metrics([0, 1], [0.1, 0.2], threshold=threshold)
