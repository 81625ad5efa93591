"""The bias gate finds planted gaps, lets fair models be, and never passes a group that it could not look at."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from assets_tests.worlds.ward.trained import DESCRIPTION, Trained
from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.governance.gates.bias import gate as bias
from clinical_assets.governance.gates.bias.comparisons import ALPHA, Compared, EventCounts
from clinical_assets.governance.gates.bias.gate import judge_groups
from clinical_assets.governance.gates.bias.group_differences import (
    MEASURES,
    WORTH_FINDING,
    Difference,
    differences,
)
from clinical_assets.governance.gates.bias.groups import Group, groups_of
from clinical_assets.governance.verdicts.verdict import Verdict, summary
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.statistics.comparison.homogeneity import holm

THRESHOLD = 0.2


def _people(n: int, *, seed: int, levels: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, their true risks, and a group that has nothing to do with either."""
    rng = np.random.default_rng(seed)
    odds = -1 + 1.5 * rng.normal(size=n)
    risk = 1 / (1 + np.exp(-odds))
    return (rng.random(n) < risk).astype(np.int64), risk, rng.choice(list("abcdefgh")[:levels], n)


def _verdicts(
    y: np.ndarray,
    risk: np.ndarray,
    labels: dict[str, np.ndarray],
    *,
    known: dict[str, list[str]] | None = None,
    **limits: float,
) -> dict[str, Verdict]:
    found = judge_groups(
        y,
        risk,
        tuple(groups_of(labels)),
        known={**{name: sorted(set(values)) for name, values in labels.items()}, **(known or {})},
        limits=GateLimits.model_validate(limits),
        threshold=THRESHOLD,
        n_resamples=300,
        seed=1,
    )
    return {verdict.criterion: verdict for verdict in found}


def _silence(y: np.ndarray, risk: np.ndarray, members: np.ndarray, share: float) -> np.ndarray:
    """Risks in which a share of the group's alerted patients (events or not, as `y` says) are no longer alerted."""
    rng = np.random.default_rng(4)
    return np.where(members & (y == 1) & (risk >= THRESHOLD) & (rng.random(y.size) < share), 0.05, risk)


def compared(found: Difference, *, counts: EventCounts | None = None, limit: float = 0.2) -> Compared:
    """A comparison of one group of 100 rows and 30 events with a rest of 900."""
    return Compared(
        Group("g=a", np.ones(100, dtype=bool), 1), counts or EventCounts(100, 30, 900, 270), found, limit, 10
    )


def test_a_fair_model_passes_everywhere() -> None:
    for seed in range(3):
        y, risk, group = _people(2000, seed=seed)
        assert summary(_verdicts(y, risk, {"g": group}).values()) == "pass"


def test_a_gap_in_the_share_of_caught_events_fails_and_says_how_many_comparisons_were_made() -> None:
    y, risk, group = _people(2000, seed=1)
    found = _verdicts(y, _silence(y, risk, group == "a", 0.5), {"g": group})["tpr_difference[g=a]"]
    assert (found.verdict, found.n) == ("fail", int((group == "a").sum()))
    assert found.ci_high is not None
    assert found.ci_high < -0.2
    assert found.evidence["comparisons"] == 6
    assert found.evidence["adjusted p"] < 0.05


@pytest.mark.parametrize(
    ("measure", "limits"),
    [
        ("fpr_difference", {}),
        ("selection_rate_ratio", {"selection_rate_ratio": 0.9}),
        ("calibration_slope_difference", {}),
        ("calibration_intercept_difference", {}),
        ("net_benefit_difference", {"net_benefit_difference": 0.02}),
    ],
)
def test_every_measure_can_fail(measure: str, limits: dict[str, float]) -> None:
    y, risk, group = _people(4000, seed=2)
    mine = group == "a"
    if measure == "fpr_difference":
        risk = np.where(mine & (y == 0) & (risk < THRESHOLD), 0.3, risk)
    elif measure == "calibration_slope_difference":
        odds = np.log(risk / (1 - risk))
        risk = np.where(mine, 1 / (1 + np.exp(-3 * odds)), risk)
    elif measure == "calibration_intercept_difference":
        odds = np.log(risk / (1 - risk))
        risk = np.where(mine, 1 / (1 + np.exp(-(odds - 1.5))), risk)
    else:
        risk = _silence(y, risk, mine, 0.6)
    assert _verdicts(y, risk, {"g": group}, **limits)[f"{measure}[g=a]"].verdict == "fail"


def test_more_events_in_a_group_are_not_taken_for_worse_service() -> None:
    rng = np.random.default_rng(3)
    group = rng.choice(["a", "b"], 4000)
    # Both groups have the same true and false alert rates; one is ill twice as often.
    y = (rng.random(4000) < np.where(group == "a", 0.5, 0.25)).astype(np.int64)
    risk = np.where(rng.random(4000) < np.where(y == 1, 0.85, 0.3), 0.6, 0.1) + rng.uniform(-0.05, 0.05, 4000)
    found = _verdicts(y, risk, {"g": group}, selection_rate_ratio=0.85, net_benefit_difference=0.05)
    assert found["selection_rate_ratio[g=a]"].verdict == found["net_benefit_difference[g=a]"].verdict == "pass"
    alerted = [float((risk[group == name] >= THRESHOLD).mean()) for name in "ab"]
    assert alerted[0] - alerted[1] > 0.1


def test_small_groups_and_small_intersections_are_insufficient_and_never_pass() -> None:
    y, risk, group = _people(600, seed=5)
    rare = np.where(np.arange(600) < 30, "few", "many")
    found = _verdicts(y, risk, {"g": group, "r": rare})
    assert found["group_size[r]"].verdict == "insufficient"
    # With two groups, too few of the one leave nobody to compare the other with.
    assert set(found["group_size[r]"].evidence["not judged"]) == {"r=few", "r=many"}
    assert found["group_size[intersections]"].verdict == "insufficient"
    assert found["group_size[g]"].verdict == "pass"
    assert not any("r=few" in name for name in found)


def test_a_group_without_events_is_insufficient() -> None:
    y, risk, group = _people(600, seed=6)
    y = np.where(group == "a", 0, y)
    found = _verdicts(y, risk, {"g": group})
    assert found["group_size[g]"].verdict == "insufficient"
    assert len(found) == 1


def test_what_stands_alone_but_not_among_many_comparisons_is_insufficient() -> None:
    limit = 0.2
    each = Difference("tpr_difference", 0.3, 0.21, 0.39, 0.045, 0.9, 0.6)
    p = each.p_value(limit)
    assert each.breaks(limit)
    assert holm({0: p})[0] < ALPHA < holm(dict(enumerate([p] + [0.9] * 59)))[0]
    alone = compared(each)
    assert replace(alone, adjusted=0.01).verdict().verdict == "fail"
    assert replace(alone, adjusted=0.5, comparisons=60).verdict().verdict == "insufficient"


def test_a_value_beyond_its_limit_never_passes_however_wide_the_interval() -> None:
    calibration = Difference("calibration_intercept_difference", -1.29, -2.73, -0.53, 0.6, -1.4, -0.1)
    found = compared(calibration, counts=EventCounts(80, 14, 900, 270), limit=0.7).verdict()
    assert found.verdict == "insufficient"
    assert "power 0." in found.reason
    # Of four events nothing can be said at all, and the number is still shown.
    few = compared(calibration, counts=EventCounts(80, 4, 900, 270), limit=0.7).verdict()
    assert (few.verdict, few.value) == ("insufficient", -1.29)
    assert "4 events in the group" in few.reason


@given(
    value=st.floats(-1, 1),
    error=st.floats(0.001, 1),
    limit=st.floats(0.05, 0.6),
    events=st.integers(0, 100),
)
def test_what_passes_keeps_its_limit_and_excludes_a_gap_of_half_as_much_again(
    value: float, error: float, limit: float, events: int
) -> None:
    each = Difference("tpr_difference", value, value - 1.96 * error, value + 1.96 * error, error, None, None)
    found = compared(each, counts=EventCounts(100, events, 900, 270), limit=limit)
    if found.verdict().verdict == "pass":
        assert abs(value) <= limit
        assert abs(value) + 1.96 * error < WORTH_FINDING * limit
        assert events >= 10
    if abs(value) > limit:
        assert found.verdict().verdict != "pass"


def test_a_measure_needs_events_or_non_events_according_to_what_it_rests_on() -> None:
    counts = EventCounts(100, 95, 900, 270)
    assert counts.least("tpr_difference") == (95, "events in the group")
    assert counts.least("fpr_difference") == (5, "non-events in the group")
    assert counts.least("calibration_slope_difference")[0] == 5


def test_power_is_the_share_of_worlds_in_which_a_gap_is_shown() -> None:
    limit, error = 0.2, 0.05
    each = Difference("tpr_difference", 0.0, 0.0, 0.0, error, None, None)
    rng = np.random.default_rng(0)
    values = rng.normal(WORTH_FINDING * limit, error, 20_000)
    assert each.power(limit) == pytest.approx((values - 1.96 * error > limit).mean(), abs=0.01)
    fair = rng.normal(0, error, 20_000)
    passes = (np.abs(fair) <= limit) & (np.abs(fair) + 1.96 * error < WORTH_FINDING * limit)
    assert each.chance_to_pass(limit) == pytest.approx(passes.mean(), abs=0.01)


def test_a_described_group_without_rows_on_the_holdout_is_named_and_not_passed() -> None:
    y, risk, group = _people(2000, seed=0)
    found = _verdicts(y, risk, {"g": group}, known={"g": ["a", "b", "other"]})
    assert found["group_size[g]"].verdict == "insufficient"
    assert found["group_size[g]"].evidence["not judged"] == {"g=other": "it has no rows on the holdout"}
    assert (found["group_size[g]"].value, found["group_size[g]"].n) == (0.0, 2000)
    # The two groups that are there are judged all the same.
    assert found["tpr_difference[g=a]"].verdict == "pass"


def test_many_intersections_do_not_hide_a_gap_between_groups_of_one_attribute() -> None:
    y, risk, group = _people(3000, seed=1)
    rng = np.random.default_rng(7)
    others = {name: rng.choice(list("xyz"), y.size) for name in ("r", "s")}
    harmed = _silence(y, risk, group == "a", 0.35)
    alone = _verdicts(y, harmed, {"g": group})["tpr_difference[g=a]"]
    among = _verdicts(y, harmed, {"g": group, **others})
    beside = among["tpr_difference[g=a]"]
    # Two groups count once, three groups three times, six measures each; no intersection among them.
    assert (alone.evidence["comparisons"], beside.evidence["comparisons"]) == (6, 6 + 18 + 18)
    assert alone.verdict == beside.verdict == "fail"
    shared = [name for name in among if name.endswith("[intersections]") and not name.startswith("group_size")]
    assert all(among[name].verdict == "insufficient" for name in shared)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_the_plain_values_and_bonferroni(p: list[float]) -> None:
    values = np.array(p)
    adjusted = np.array(list(holm(dict(enumerate(p))).values()))
    assert (adjusted >= values).all()
    assert (adjusted <= 1).all()
    # Rejections at any level are at least those of Bonferroni, and at most those without adjustment.
    for alpha in (0.01, 0.05, 0.2):
        assert set(np.flatnonzero(values * values.size < alpha)) <= set(np.flatnonzero(adjusted < alpha))
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()


@examples(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_swapping_group_and_rest_changes_the_sign_and_nothing_else(seed: int) -> None:
    y, risk, group = _people(300, seed=seed)
    one = differences(y, risk, group == "a", threshold=THRESHOLD, n_resamples=50)
    two = differences(y, risk, group == "b", threshold=THRESHOLD, n_resamples=50)
    for measure in MEASURES:
        first, second = one[measure], two[measure]
        assert isinstance(first, Difference)
        assert isinstance(second, Difference)
        if measure == "selection_rate_ratio":
            assert first.value == pytest.approx(1 / second.value)
        else:
            assert first.value == pytest.approx(-second.value)


def test_values_equal_what_is_counted_by_hand_and_estimated_elsewhere() -> None:
    from clinical_assets.statistics.calibration.calibration import calibration_slope

    y, risk, group = _people(1500, seed=8)
    mine = group == "a"
    found = differences(y, risk, mine, threshold=THRESHOLD, n_resamples=200)
    tpr = [float((risk[part & (y == 1)] >= THRESHOLD).mean()) for part in (mine, ~mine)]
    slopes = [calibration_slope(y[part], risk[part]) for part in (mine, ~mine)]
    caught, slope = found["tpr_difference"], found["calibration_slope_difference"]
    assert isinstance(caught, Difference)
    assert isinstance(slope, Difference)
    assert caught.value == pytest.approx(tpr[0] - tpr[1])
    assert slope.value == pytest.approx(slopes[0].value - slopes[1].value, abs=1e-2)
    wald = np.hypot(*((each.ci_high - each.ci_low) / 3.92 for each in slopes))
    assert slope.error == pytest.approx(wald, rel=0.25)


def test_subjects_with_several_rows_widen_the_interval() -> None:
    y, risk, group = _people(400, seed=9)
    times = 4
    rows = [np.repeat(each, times) for each in (y, risk, group == "a")]
    alone = differences(*rows, threshold=THRESHOLD, n_resamples=400)["fpr_difference"]
    together = differences(*rows, threshold=THRESHOLD, n_resamples=400, subjects=np.repeat(np.arange(400), times))
    wide = together["fpr_difference"]
    assert isinstance(alone, Difference)
    assert isinstance(wide, Difference)
    assert wide.ci_high - wide.ci_low > 1.5 * (alone.ci_high - alone.ci_low)


def test_the_gate_on_a_trained_cohort_is_repeatable_and_counts_unknown_sex_as_a_group(trained: Trained) -> None:
    once, again = bias.evaluate(trained.candidate()), bias.evaluate(trained.candidate())
    assert once == again
    sizes = next(verdict for verdict in once if verdict.criterion == "group_size[sex]")
    assert sizes.verdict == "insufficient"
    assert set(sizes.evidence["rows"]) == {"sex=f", "sex=m", "sex=unknown"}
    compared = [verdict for verdict in once if not verdict.criterion.startswith("group_size")]
    # A fair model on some forty events: rates can be judged, calibration slopes cannot.
    assert {verdict.verdict for verdict in compared} == {"pass", "insufficient"}
    assert all(verdict.verdict == "pass" for verdict in compared if verdict.criterion.startswith("net_benefit"))
    assert all(verdict.verdict != "pass" for verdict in compared if verdict.criterion.startswith("calibration_slope"))


def test_a_planted_gap_in_the_kept_rows_fails(trained: Trained) -> None:
    with trained.candidate().warehouse.writer() as connection:
        connection.execute(
            f"UPDATE {relation_of(trained.digest)} SET risk = 0.05 + risk / 100 WHERE protected_sex = 'm'"
        )
    found = {verdict.criterion: verdict for verdict in bias.evaluate(trained.candidate())}
    assert found["tpr_difference[sex=m]"].verdict == "fail"


def test_without_a_protected_attribute_nothing_is_passed(trained: Trained) -> None:
    tables = copy.deepcopy(DESCRIPTION["tables"])
    for name in ("sex", "region"):
        tables["subjects"]["columns"][name]["role"] = "ignored"
    trained.describe(tables=tables)
    (only,) = bias.evaluate(trained.candidate())
    assert (only.criterion, only.verdict) == ("protected_attributes", "insufficient")
