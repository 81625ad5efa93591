"""Risks and weights under censoring: properties that hold for any follow-up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.survival.censored_outcomes import CensoredOutcomes, censored_outcomes
from clinical_assets.statistics.survival.censoring_weights import censoring_weights
from clinical_assets.statistics.survival.incidence import observed_risk, risk_at_horizon
from clinical_assets.statistics.survival.observed_expected import observed_expected_at_horizon, observed_groups

FOLLOWED = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), min_size=3, max_size=40)


def simulated(
    n: int, seed: int, *, horizon: float = 5.0, competing: bool = True, heavy: bool = True
) -> tuple[CensoredOutcomes, FloatArray, IntArray]:
    """Follow-up, true risks by the horizon, and the outcomes that nobody sees in full."""
    rng = np.random.default_rng(seed)
    hazard = np.exp(rng.normal(-2.5, 0.8, n))
    other = np.full(n, 0.04 if competing else 1e-9)
    time, death = rng.exponential(1 / hazard), rng.exponential(1 / other)
    end = rng.uniform(0, 7 if heavy else 60, n)
    first = np.minimum(time, death)
    event = np.where(end < first, 0, np.where(time < death, 1, 2))
    total = hazard + other
    risk = hazard / total * -np.expm1(-total * horizon)
    truth = ((time <= death) & (time <= horizon)).astype(np.int64)
    return censored_outcomes(np.minimum(first, end) + 1e-9, event, horizon=horizon), risk, truth


@hypothesis_settings(max_examples=80)
@given(followed=FOLLOWED, horizon=st.integers(1, 10), seed=st.integers(0, 5))
def test_weighted_events_are_the_observed_risk_and_weights_add_up_to_all_people(
    followed: list[tuple[int, int]], horizon: int, seed: int
) -> None:
    time, event = map(np.array, zip(*followed, strict=True))
    assume((time >= horizon).any())
    outcomes = censored_outcomes(time, event, horizon=horizon)
    own = np.random.default_rng(seed).integers(1, 4, time.size).astype(float)
    weights = censoring_weights(outcomes, weights=own)
    assert weights.sum() == pytest.approx(own.sum())
    found = observed_risk(outcomes, own)
    assert weights @ outcomes.outcome / own.sum() == pytest.approx(found.value, abs=1e-9)
    repeated = [np.repeat(each, own.astype(int)) for each in (time, event)]
    plain = observed_risk(censored_outcomes(*repeated, horizon=horizon), np.ones(int(own.sum())))
    assert plain.value == pytest.approx(found.value, abs=1e-9)
    if (event == 1).any():
        judge = CumIncidenceRight(*repeated)
        until = judge.times <= horizon
        assert found.value == pytest.approx(float(judge.cinc[0][until][-1]) if until.any() else 0.0, abs=1e-9)


@hypothesis_settings(max_examples=40)
@given(followed=FOLLOWED, horizon=st.integers(2, 10))
def test_influence_is_what_a_small_change_of_a_weight_changes(followed: list[tuple[int, int]], horizon: int) -> None:
    time, event = map(np.array, zip(*followed, strict=True))
    assume((time >= horizon).any())
    outcomes, ones = censored_outcomes(time, event, horizon=horizon), np.ones(time.size)
    step = 1e-6
    for person in range(min(5, time.size)):
        moved = ones.copy()
        moved[person] += step
        change = (observed_risk(outcomes, moved).value - observed_risk(outcomes, ones).value) / step
        assert observed_risk(outcomes, ones).influence[person] == pytest.approx(change, abs=1e-5)


def test_without_competing_events_the_standard_error_is_greenwoods() -> None:
    outcomes, _, _ = simulated(300, 3, competing=False)
    judge = SurvfuncRight(outcomes.time, outcomes.event)
    place = np.flatnonzero(judge.surv_times <= 5)[-1]
    found = observed_risk(outcomes, np.ones(300))
    assert found.value == pytest.approx(1 - judge.surv_prob[place])
    assert found.standard_error(np.ones(300)) == pytest.approx(judge.surv_prob_se[place], rel=1e-6)


def test_with_nobody_censored_the_risk_is_a_share_and_all_count_alike() -> None:
    outcomes = censored_outcomes([1, 2, 3, 9], [1, 2, 1, 0], horizon=5)
    assert observed_risk(outcomes, np.ones(4)).value == 0.5
    assert censoring_weights(outcomes).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("competing", [False, True])
def test_intervals_hold_the_truth_under_heavy_censoring_where_leaving_out_is_biased(competing: bool) -> None:
    risks, ratios, left_out = [], [], []
    for seed in range(200):
        outcomes, risk, _ = simulated(500, seed, competing=competing)
        found, ratio = risk_at_horizon(outcomes), observed_expected_at_horizon(outcomes, risk)
        risks.append(found.ci_low <= risk.mean() <= found.ci_high)
        ratios.append(ratio.ci_low <= 1 <= ratio.ci_high)
        left_out.append(outcomes.outcome[outcomes.known].mean() / risk[outcomes.known].mean())
    assert 0.91 <= np.mean(ratios) <= 0.99
    assert np.mean(risks) >= 0.91
    assert np.mean(left_out) > 1.3


def test_people_with_several_rows_count_once_in_the_spread() -> None:
    outcomes, risk, _ = simulated(200, 1)
    twice = censored_outcomes(np.tile(outcomes.time, 2), np.tile(outcomes.event, 2), horizon=5)
    once = observed_expected_at_horizon(outcomes, risk)
    doubled = observed_expected_at_horizon(twice, np.tile(risk, 2), groups=np.tile(np.arange(200), 2))
    assert (doubled.value, doubled.ci_low, doubled.ci_high) == pytest.approx((once.value, once.ci_low, once.ci_high))


def test_groups_hold_everybody_and_follow_the_risk() -> None:
    outcomes, risk, _ = simulated(3000, 2)
    groups = observed_groups(outcomes, risk)
    assert groups.n.sum() == 3000
    assert groups.observed.size == 10
    assert ((groups.low < groups.predicted) & (groups.predicted < groups.high)).mean() >= 0.8


def test_follow_up_that_ends_before_the_horizon_is_refused() -> None:
    with pytest.raises(InsufficientData, match="censored at 4, before the horizon of 5"):
        observed_risk(censored_outcomes([2, 3, 4], [1, 1, 0], horizon=5), np.ones(3))


@pytest.mark.parametrize(
    ("time", "event", "horizon"), [([0, 1], [1, 0], 5), ([1, 2], [1, 3], 5), ([1, 2], [1], 5), ([1, 2], [1, 0], 0)]
)
def test_what_is_no_follow_up_is_refused(time: list[float], event: list[int], horizon: float) -> None:
    with pytest.raises(InvalidArray):
        censored_outcomes(time, event, horizon=horizon)
