"""The threshold follows the costs, its evidence follows the data, and disagreement is a finding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_tests.worlds.tables.training import make_spec
from clinical_assets.cohorts.decisions import Decisions, Tier
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.evaluation.thresholds import decide_threshold, tier_of

DECISIONS = make_spec().decisions
FAST = settings(max_examples=25)


def _costs(c_fp: float, c_fn: float) -> Decisions:
    costs = DECISIONS.costs.model_copy(update={"false_positive": c_fp, "false_negative": c_fn})
    return DECISIONS.model_copy(update={"costs": costs})


def _world(n: int = 400, seed: int = 0, *, spread: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=n) * spread - 0.8
    p = 1 / (1 + np.exp(-log_odds))
    return (rng.random(n) < p).astype(int), p


@FAST
@given(st.integers(0, 10_000), st.floats(0.1, 20), st.floats(0.1, 20), st.integers(2, 4))
def test_repeating_every_row_changes_no_threshold_and_equal_weights_change_nothing(
    seed: int, c_fp: float, c_fn: float, times: int
) -> None:
    y, p = _world(60, seed)
    if y.sum() in (0, 60):
        return
    decisions = _costs(c_fp, c_fn)
    once = decide_threshold(y, p, decisions=decisions, n_resamples=20)
    repeated = decide_threshold(np.repeat(y, times), np.repeat(p, times), decisions=decisions, n_resamples=20)
    weighted = decide_threshold(y, p, decisions=decisions, n_resamples=20, weights=np.full(60, times))
    for other in (repeated, weighted):
        assert other.threshold == once.threshold
        assert other.curve.optimum_threshold == once.curve.optimum_threshold
        np.testing.assert_allclose(other.curve.cost, once.curve.cost)
        assert other.net_benefit.value == pytest.approx(once.net_benefit.value)
        for mine, theirs in zip(once.business_table, other.business_table, strict=True):
            assert theirs.cost.value == pytest.approx(mine.cost.value)
        assert [row.share.value for row in other.tiers] == pytest.approx([row.share.value for row in once.tiers])
    # A case weight repeats nobody: the band is that of the rows there are, whatever the scale.
    ones = decide_threshold(y, p, decisions=decisions, n_resamples=20, weights=np.ones(60))
    np.testing.assert_allclose(weighted.curve.low, ones.curve.low)
    np.testing.assert_allclose(weighted.curve.high, ones.curve.high)


@FAST
@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0.1, 50))
def test_only_the_ratio_of_the_costs_moves_the_threshold(c_fp: float, c_fn: float, factor: float) -> None:
    y, p = _world(80)
    one = decide_threshold(y, p, decisions=_costs(c_fp, c_fn), n_resamples=10)
    two = decide_threshold(y, p, decisions=_costs(c_fp * factor, c_fn * factor), n_resamples=10)
    assert one.threshold == pytest.approx(c_fp / (c_fp + c_fn))
    assert two.threshold == pytest.approx(one.threshold)
    assert two.curve.optimum_threshold == one.curve.optimum_threshold


def test_the_business_table_holds_per_thousand_what_the_policies_do() -> None:
    y, p = _world()
    found = {row.policy: row for row in decide_threshold(y, p, decisions=DECISIONS, n_resamples=50).business_table}
    assert set(found) == {"model at cost threshold", "model at 0.5", "treat all", "treat none"}
    events = 1000 * y.mean()
    costs = DECISIONS.costs
    for row in found.values():
        assert row.per == 1000
        assert row.caught.value + row.missed.value == pytest.approx(events)
        assert row.alerts.value == pytest.approx(row.caught.value + row.false_alarms.value)
        cost = costs.false_positive * row.false_alarms.value + costs.false_negative * row.missed.value
        assert row.cost.value == pytest.approx(cost)
    assert found["treat none"].cost.value == pytest.approx(costs.false_negative * events)


def test_a_calibrated_model_raises_no_finding_and_a_shifted_one_disagrees() -> None:
    calm = loud = 0
    for seed in range(20):
        y, p = _world(700, seed)
        found = decide_threshold(y, p, decisions=DECISIONS, n_resamples=200).findings
        calm += bool({finding.code for finding in found} - {"decisions_contradict"})  # its tiers do, by design
        shifted = 1 / (1 + np.exp(-(np.log(p / (1 - p)) - 1)))
        codes = [f.code for f in decide_threshold(y, shifted, decisions=DECISIONS, n_resamples=200).findings]
        loud += "threshold_disagreement" in codes
    assert calm <= 4
    assert loud >= 16


def test_an_optimum_that_rests_on_one_row_is_no_disagreement() -> None:
    # Nobody is at a risk between the two thresholds but one event: moving there saves one row's cost, by chance.
    y = np.array([0] * 60 + [1] * 20)
    p = np.concatenate([np.linspace(0.02, 0.1, 59), [0.4], [0.12], np.linspace(0.5, 0.9, 19)])
    decision = decide_threshold(y, p, decisions=_costs(1, 4), n_resamples=400)
    assert decision.curve.optimum_threshold != decision.threshold
    assert decision.curve.excess.value > 0
    assert decision.curve.excess.ci_low <= 0
    assert "threshold_disagreement" not in [finding.code for finding in decision.findings]


def test_a_model_that_knows_nothing_is_worth_nothing_and_the_finding_says_so() -> None:
    y, _ = _world(500)
    p = np.clip(np.random.default_rng(9).beta(2, 4, 500), 0.01, 0.99)
    decision = decide_threshold(y, p, decisions=DECISIONS, n_resamples=200)
    assert decision.advantage.value <= 0
    finding = next(f for f in decision.findings if f.code == "no_net_benefit")
    assert "no more than treating everyone or no one" in finding.message
    assert "Do not act" in finding.cure


def test_an_advantage_within_its_interval_is_called_uncertain() -> None:
    y, p = _world(60, 6, spread=0.9)
    decision = decide_threshold(y, p, decisions=DECISIONS, n_resamples=200)
    assert decision.advantage.ci_low <= 0 < decision.advantage.value
    assert "net_benefit_uncertain" in [f.code for f in decision.findings]


def test_tiers_partition_the_patients_and_a_border_belongs_to_the_upper_one() -> None:
    tiers = tuple(
        Tier(name=name, lower=lower, action="x", cost=cost)
        for name, lower, cost in (("Low", 0, 0), ("Moderate", 0.2, 1), ("High", 0.5, 5), ("Critical", 0.95, 9))
    )
    assert tier_of([0.0, 0.1999, 0.2, 0.5, 0.949, 0.95, 1.0], tiers=tiers).tolist() == [0, 0, 1, 2, 2, 3, 3]
    y, p = _world()
    decision = decide_threshold(y, p, decisions=DECISIONS.model_copy(update={"tiers": tiers}), n_resamples=20)
    assert sum(row.n for row in decision.tiers) == 400
    assert sum(row.events for row in decision.tiers) == y.sum()
    for row in decision.tiers:
        mine = (p >= row.lower) & (p < row.upper)
        assert row.n == mine.sum()
        if row.n:
            assert row.mean_risk == pytest.approx(p[mine].mean())
            assert row.observed_risk is not None
            assert row.observed_risk.value == pytest.approx(y[mine].mean())
    assert decision.tier_cost == pytest.approx(sum(1000 * row.action_cost * row.n / 400 for row in decision.tiers))


def test_an_empty_tier_has_no_risk() -> None:
    y, p = _world()
    decision = decide_threshold(y, p * 0.4, decisions=DECISIONS, n_resamples=20)
    assert (decision.tiers[1].n, decision.tiers[1].observed_risk, decision.tiers[1].mean_risk) == (0, None, None)


def test_one_class_is_refused() -> None:
    with pytest.raises(InsufficientData):
        decide_threshold(np.zeros(20), np.full(20, 0.3), decisions=DECISIONS)
