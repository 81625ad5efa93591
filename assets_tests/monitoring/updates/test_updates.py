"""The smallest adequate update, by rules that are asked in a stated order and that each say why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.year.simulated import load
from clinical_assets.cohorts.governance import ChangeControlPlan, Monitoring, PermittedChange
from clinical_assets.monitoring.updates.updates import Recommendation, UpdateHistory

world = load()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def year(scenario: str, *, n: int = 2_000, seed: int = 1) -> Any:
    return world.SCENARIOS[scenario][0](np.random.default_rng([seed, n]), n)


def asked(found: Any, **given: Any) -> Recommendation:
    result = world.recommended(found, **given)
    assert isinstance(result, Recommendation)
    assert result.reason
    json.dumps(result.to_json(), allow_nan=False)
    return result


def history(*days_ago: int, kinds: tuple[str, ...] = ()) -> UpdateHistory:
    return UpdateHistory(tuple(NOW - timedelta(days=days) for days in days_ago), NOW, kinds)


@pytest.mark.parametrize("scenario", sorted(world.SCENARIOS))
def test_the_right_action_is_taken_in_nearly_every_simulated_year(scenario: str) -> None:
    right = world.SCENARIOS[scenario][1]
    told = [world.outcome_of(scenario, n=3_000, seed=seed, n_resamples=200) for seed in range(100, 105)]
    assert sum(each in right for each in told) >= 4, told


def test_broken_values_are_repaired_before_anything_else_is_asked() -> None:
    found = replace(year("concept change"), alarms=("crp: stuck",))
    result = asked(found, failing_groups=("sex=f",), limits=Monitoring(minimum_outcomes=10_000))
    assert (result.action, result.rule) == ("repair_data", "data_quality")
    assert "crp: stuck" in result.reason


@pytest.mark.parametrize(
    "limits", [Monitoring(minimum_outcomes=2_001), Monitoring(minimum_outcomes=20, minimum_events=1_500)]
)
def test_nothing_is_decided_on_few_outcomes_even_where_people_acted(limits: Monitoring) -> None:
    result = asked(year("feedback loop"), limits=limits, failing_groups=("sex=f",))
    assert (result.action, result.rule) == ("wait", "too_few")


def test_as_few_events_as_nobody_foretold_make_a_person_judge() -> None:
    found = year("nothing changed", n=400)
    for kept, (action, rule) in {0: ("ask", "in_the_large"), 9: ("ask", "in_the_large")}.items():
        events = np.flatnonzero(found.event)
        other = replace(found, event=np.where(np.isin(np.arange(400), events[:kept]), 1, 0))
        result = asked(other)
        assert (result.action, result.rule) == (action, rule)
        assert f"{kept} events where {found.risk.sum():.1f} were expected" in result.reason
    # As few as the risks foretell are no news, and neither are events that treatment prevented.
    low = replace(found, risk=np.full(400, 0.01), event=np.zeros(400, dtype=np.int64))
    assert asked(low).rule == "too_few"
    treated = replace(other, acted=np.full(400, True, dtype=object))
    assert asked(treated).rule == "too_few"


def test_without_a_single_outcome_one_waits() -> None:
    empty = world.Year(np.zeros((0, 8)), np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
    assert asked(empty).rule == "too_few"


def test_risks_that_separate_the_outcomes_leave_nothing_to_be_estimated() -> None:
    found = year("nothing changed")
    found.event = (found.risk >= np.median(found.risk)).astype(np.int64)
    result = asked(found)
    assert (result.action, result.rule) == ("wait", "too_few")


def test_many_treated_alerts_make_a_person_judge() -> None:
    result = asked(year("feedback loop"), failing_groups=("sex=f",))
    assert (result.action, result.rule) == ("ask", "feedback")
    assert result.evidence["acted_share_of_alerts"] == pytest.approx(0.5, abs=0.05)


def test_one_answer_does_not_speak_for_all_alerts() -> None:
    found = year("nothing changed")
    found.acted = np.full(found.risk.size, None, dtype=object)
    found.acted[int(np.argmax(found.risk))] = True
    assert asked(found).rule == "adequate"


def test_few_treated_are_left_out_and_the_others_judged_by() -> None:
    found = year("nothing changed")
    rng = np.random.default_rng(3)
    treated = (found.risk >= world.THRESHOLD) & (rng.random(found.risk.size) < 0.1)
    found.event = np.where(treated, 0, found.event)
    found.acted = np.where(treated, True, False).astype(object)
    result = asked(found)
    assert result.rule == "adequate"
    assert result.n == found.risk.size - treated.sum()


def test_where_too_few_untreated_are_left_a_person_is_asked() -> None:
    found = year("feedback loop")
    result = asked(found, limits=Monitoring(minimum_outcomes=found.risk.size, acted_share_limit=1.0))
    assert (result.action, result.rule) == ("ask", "feedback")


def test_an_adequate_model_is_left_alone() -> None:
    result = asked(year("nothing changed"))
    assert (result.action, result.rule, result.wanted) == ("none", "adequate", None)


def test_a_significant_but_small_change_is_immaterial() -> None:
    result = asked(year("prevalence shift"), limits=Monitoring(calibration_limit=0.4))
    assert (result.action, result.rule) == ("none", "immaterial")


@pytest.mark.parametrize(
    ("scenario", "action"),
    [("prevalence shift", "intercept"), ("slope decay", "intercept_and_slope"), ("concept change", "refit")],
)
def test_the_smallest_adequate_update_is_recommended(scenario: str, action: str) -> None:
    result = asked(year(scenario))
    assert (result.action, result.wanted, result.rule) == (action, action, "closed_test")


def test_a_refit_that_gains_little_is_not_made() -> None:
    result = asked(year("concept change"), limits=Monitoring(auroc_gain_limit=0.5))
    assert result.wanted in ("intercept", "intercept_and_slope")
    assert result.evidence["auroc_gain_cross_validated"] < 0.5


def test_features_that_regain_meaning_ask_for_a_refit() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3_000, 8))
    risk = np.full(3_000, 0.3) + 1e-3 * rng.normal(size=3_000)
    event = (rng.random(3_000) < world.expit(x[:, 4] - 1)).astype(np.int64)
    assert asked(world.Year(x, risk, event, np.zeros(3_000))).action == "refit"


def test_missing_and_constant_features_do_not_disturb_the_tests() -> None:
    found = year("concept change")
    found.x[::3, 1] = np.nan
    found.x[:, 2], found.x[:, 3] = np.nan, 7.0
    found.x[:, 5] = found.x[:, 4]
    assert asked(found).action == "refit"


def test_a_failing_group_in_a_model_that_looks_well_is_put_to_a_person() -> None:
    result = asked(year("nothing changed"), failing_groups=("sex=f: tpr",))
    assert (result.action, result.rule) == ("ask", "subgroup")


def test_what_the_plan_does_not_permit_is_asked_first_of_all_limits() -> None:
    given = {"plan": ChangeControlPlan(), "history": history(1, 2, 3, 4, 5, 6, 7)}
    result = asked(year("prevalence shift"), **given)
    assert (result.action, result.rule, result.wanted) == ("ask", "plan", "intercept")


def test_a_spent_budget_is_asked_before_the_cool_down() -> None:
    result = asked(year("prevalence shift"), history=history(1, 50, 90, 130, 170, 210))
    assert (result.action, result.rule, result.wanted) == ("ask", "budget", "intercept")


def test_the_plan_may_allow_one_kind_less_often() -> None:
    plan = ChangeControlPlan(permitted=(PermittedChange(kind="intercept", at_most_per_year=1),))
    for kind, rule in (("intercept", "budget"), ("refit", "closed_test")):
        result = asked(year("prevalence shift"), plan=plan, history=history(90, kinds=(kind,)))
        assert result.rule == rule


def test_soon_after_an_update_one_waits() -> None:
    result = asked(year("prevalence shift"), history=history(29))
    assert (result.action, result.rule, result.wanted) == ("wait", "cool_down", "intercept")
    assert "2026-01-02" in result.reason
    assert asked(year("prevalence shift"), history=history(31)).action == "intercept"


def test_updates_of_more_than_a_year_ago_do_not_count() -> None:
    assert asked(year("prevalence shift"), history=history(*range(366, 380))).action == "intercept"


def test_the_same_evidence_gives_the_same_recommendation() -> None:
    assert asked(year("concept change")) == asked(year("concept change"))
