"""A cohort's owner says who signs and what may change; contradictions are refused when the description is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clinical_assets.cohorts.governance import (
    ApprovalPolicy,
    ChangeControlPlan,
    Monitoring,
    PermittedChange,
    RequiredSignatures,
)


def test_without_a_policy_one_reviewer_signs_and_no_change_is_permitted() -> None:
    assert ApprovalPolicy().signatures == (RequiredSignatures(role="reviewer"),)
    assert ChangeControlPlan().permits("refit") is None


def test_a_role_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="named twice"):
        ApprovalPolicy(signatures=(RequiredSignatures(role="reviewer"), RequiredSignatures(role="reviewer")))


@pytest.mark.parametrize("value", [{"signatures": ()}, {"waivers": ()}, {"valid_days": 0}, {"unknown": 1}])
def test_a_policy_without_meaning_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ApprovalPolicy.model_validate(value)


def test_a_kind_of_change_stands_once_in_the_plan() -> None:
    with pytest.raises(ValidationError, match="twice in the plan"):
        ChangeControlPlan(permitted=(PermittedChange(kind="refit"), PermittedChange(kind="refit")))


def test_the_plan_gives_the_terms_of_a_kind() -> None:
    terms = PermittedChange(kind="intercept", at_most_per_year=2)
    plan = ChangeControlPlan(permitted=(PermittedChange(kind="refit"), terms))
    assert plan.permits("intercept") == terms
    assert not terms.promotes_itself


@pytest.mark.parametrize(
    "value",
    [
        {"minimum_n": 5},
        {"minimum_events": 0},
        {"psi_limit": 0},
        {"false_alarm_rate": 0.5},
        {"auroc_gain_limit": 0.6},
        {"cool_down_days": -1},
        {"updates_per_year": 0},
    ],
)
def test_limits_without_meaning_are_refused(value: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Monitoring.model_validate(value)
