"""Observed against foretold events: exact where few are expected, however many records there are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from clinical_assets.statistics.calibration.in_the_large import in_the_large_p

MANY = 30_000
RARE = 1 / 3000  # ten events expected


def outcomes(n: int, events: int) -> np.ndarray:
    return (np.arange(n) < events).astype(np.int64)


@pytest.mark.parametrize("n", [300, MANY])
@pytest.mark.parametrize("times", [0, 0.4, 1, 2.5])
def test_equal_risks_give_the_binomial_test_for_events_and_for_non_events(n: int, times: float) -> None:
    risk, events = 10 / n, int(10 * times)
    exact = min(1.0, 2 * min(binom.cdf(events, n, risk), binom.sf(events - 1, n, risk)))
    assert in_the_large_p(outcomes(n, events), np.full(n, risk)) == pytest.approx(exact, rel=1e-6)
    assert in_the_large_p(outcomes(n, n - events), np.full(n, 1 - risk)) == pytest.approx(exact, rel=1e-6)


def test_the_normal_form_would_be_wrong_by_far_for_rare_events_among_many_records() -> None:
    exact = in_the_large_p(outcomes(MANY, 25), np.full(MANY, RARE))
    normal = 2 * norm.sf((25 - 10) / np.sqrt(MANY * RARE * (1 - RARE)))
    assert exact > 10 * normal


def test_unequal_risks_among_many_records_agree_with_the_normal_form_where_it_holds() -> None:
    risk = np.random.default_rng(3).beta(2, 60, MANY)
    expected, spread = risk.sum(), np.sqrt((risk * (1 - risk)).sum())
    for events in (int(expected - 2 * spread), int(expected + 2 * spread)):
        # A number of events stands for half a unit to either side.
        normal = 2 * norm.sf((abs(events - expected) - 0.5) / spread)
        assert in_the_large_p(outcomes(MANY, events), risk) == pytest.approx(normal, rel=0.05)
