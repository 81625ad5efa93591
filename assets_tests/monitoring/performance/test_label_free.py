"""What is expected without labels is what calibrated risks give on average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.monitoring.performance.label_free import expected_performance

THRESHOLD = 0.3


def test_it_is_the_average_over_outcomes_drawn_from_the_risks() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(1, 3, 400).round(2).clip(0.01, 0.99)
    y = rng.random((4_000, p.size)) < p
    alert = p >= THRESHOLD
    events, others = y.sum(1), (~y).sum(1)
    below = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    auroc = [one.astype(float) @ below @ (~one).astype(float) / (one.sum() * (~one).sum()) for one in y[:400]]
    benefit = (y[:, alert].sum(1) - (~y[:, alert]).sum(1) * THRESHOLD / (1 - THRESHOLD)) / p.size

    found = expected_performance(p, threshold=THRESHOLD)

    assert found.event_rate == pytest.approx(y.mean(), abs=0.003)
    assert found.net_benefit == pytest.approx(benefit.mean(), abs=0.003)
    assert found.sensitivity == pytest.approx((y[:, alert].sum(1) / events).mean(), abs=0.005)
    assert found.specificity == pytest.approx(((~y)[:, ~alert].sum(1) / others).mean(), abs=0.005)
    assert found.ppv == pytest.approx(y[:, alert].mean(), abs=0.005)
    assert found.auroc == pytest.approx(np.mean(auroc), abs=0.005)
    assert found.alert_rate == alert.mean()


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.5, 0.9]), min_size=2, max_size=7))
def test_the_expected_ranking_is_the_sum_over_all_pairs(values: list[float]) -> None:
    p = np.array(values)
    ranks = np.where(p[:, None] > p[None, :], 1.0, np.where(p[:, None] == p[None, :], 0.5, 0.0))
    chance = p[:, None] * (1 - p[None, :]) * ~np.eye(p.size, dtype=bool)
    expected = float((ranks * chance).sum() / chance.sum())
    assert expected_performance(p, threshold=0.3).auroc == pytest.approx(expected)


def test_what_nobody_decides_is_left_open() -> None:
    found = expected_performance(np.array([0.1, 0.1]), threshold=0.3)
    assert (found.ppv, found.alert_rate, found.sensitivity) == (None, 0.0, 0.0)
    assert expected_performance(np.array([0.4]), threshold=0.3).auroc is None


def test_it_is_called_an_estimate_wherever_it_goes() -> None:
    assert expected_performance(np.array([0.1, 0.9]), threshold=0.3).to_json()["estimated_without_labels"] is True
