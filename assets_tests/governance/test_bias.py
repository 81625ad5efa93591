"""The bias gate finds planted gaps, lets fair models be, and never passes a group that it could not look at."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from assets_tests.governance.trained import DESCRIPTION, Trained
from clinical_assets.cohorts.decisions import GateLimits
from clinical_assets.governance.gates import bias
from clinical_assets.governance.gates.bias import judge_groups
from clinical_assets.governance.gates.group_differences import MEASURES, Difference, differences
from clinical_assets.governance.gates.groups import Group, groups_of
from clinical_assets.governance.verdicts import Verdict, summary
from clinical_assets.modelling.reference import relation_of
from clinical_assets.statistics.homogeneity import holm

THRESHOLD = 0.2


def _people(n: int, *, seed: int, levels: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, their true risks, and a group that has nothing to do with either."""
    rng = np.random.default_rng(seed)
    odds = -1 + 1.5 * rng.normal(size=n)
    risk = 1 / (1 + np.exp(-odds))
    return (rng.random(n) < risk).astype(np.int64), risk, rng.choice(list("abcdefgh")[:levels], n)


def _verdicts(y: np.ndarray, risk: np.ndarray, labels: dict[str, np.ndarray], **limits: float) -> dict[str, Verdict]:
    found = judge_groups(
        y,
        risk,
        tuple(groups_of(labels)),
        attributes=tuple(labels),
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
    assert holm({0: p})[0] < bias.ALPHA < holm(dict(enumerate([p] + [0.9] * 59)))[0]
    compared = bias._Compared(Group("g=a", np.ones(100, dtype=bool), 1), 100, 30, each, limit)
    assert bias._judged(compared, 0.01, 1).verdict == "fail"
    assert bias._judged(compared, 0.5, 60).verdict == "insufficient"


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


@examples(max_examples=10, deadline=None)
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
    from clinical_assets.statistics.calibration import calibration_slope

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
    assert {verdict.verdict for verdict in once if not verdict.criterion.startswith("group_size")} == {"pass"}


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
