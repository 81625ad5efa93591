"""A description that alerts people and tells them to do nothing is told so, with the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.descriptions import minimal
from clinical_assets.cohorts.decisions import Decisions, contradictions
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.evaluation.thresholds import decide_threshold


def decisions(*lowers: float, costs: tuple[float, ...] = (), **more: Any) -> Decisions:
    tiers = [
        {"name": f"T{place}", "lower": lower, "action": f"act {place}", "cost": dict(enumerate(costs)).get(place, 0)}
        for place, lower in enumerate(lowers)
    ]
    given = {"false_positive": 1, "false_negative": 4, "rationale": "For a test."}
    return Decisions.model_validate({"costs": given, "tiers": tiers, **more})


@pytest.mark.parametrize("lowers", [(0, 0.2), (0, 0.1, 0.2, 0.6), (0, 0.21)])
def test_tiers_that_act_from_the_threshold_agree_with_it(lowers: tuple[float, ...]) -> None:
    assert contradictions(decisions(*lowers)) == ()


def test_a_lowest_tier_above_the_threshold_is_named_with_both_numbers() -> None:
    (text,) = contradictions(decisions(0, 0.6))
    assert "act from 0.2" in text
    assert "reaches to 0.6" in text
    assert "'act 0'" in text


def test_a_higher_tier_with_a_cheaper_action_is_named() -> None:
    (text,) = contradictions(decisions(0, 0.2, 0.5, costs=(0, 1, 0.3)))
    assert "'T2' lies above 'T1'" in text


def test_a_curve_without_the_threshold_in_use_is_named() -> None:
    (text,) = contradictions(decisions(0, 0.2, threshold_range=(0.3, 0.6)))
    assert "0.3 to 0.6" in text
    assert "threshold 0.2" in text


MATRIX = [[0, 1, 2], [4, 0, 1], [18, 8, 0]]


def by_class(matrix: list[list[float]]) -> dict[str, Any]:
    return {"class_costs": {"matrix": matrix, "rationale": "For a test."}}


def test_costs_of_classes_that_act_elsewhere_than_the_threshold_are_named() -> None:
    assert contradictions(decisions(0, 0.2, **by_class(MATRIX))) == ()
    (text,) = contradictions(decisions(0, 0.2, **by_class([[0, 1, 2], [1, 0, 1], [2, 8, 0]])))
    assert "act from 0.2" in text
    assert "from 0.5 to 0.5" in text
    # Acting from the second class on, the pairs on either side are others.
    (text,) = contradictions(decisions(0, 0.2, **by_class(MATRIX)), action_from=2)
    assert "from 0.1 to 0.111" in text


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[0, 1, 2], [4, 0], [18, 8, 0]], "row 1 of the matrix has 2 costs, expected 3"),
        ([[0, 1, 2], [4, 0, -1], [18, 8, 0]], "row 1 of the matrix holds a cost that is negative"),
        ([[0, 1, 2], [4, 5, 6], [18, 8, 0]], "deciding for class 0 costs 4, the right decision 5"),
        ([[0, 1], [4, 0]], "at least 3 items"),
    ],
)
def test_a_matrix_that_cannot_be_meant_is_refused_with_its_row(matrix: list[list[float]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decisions(0, 0.2, **by_class(matrix))


def test_the_matrix_must_fit_the_classes_and_two_classes_need_none() -> None:
    for classes, said in ((["no", "yes"], "two classes need no matrix"), (["a", "b", "c", "d"], "has 4 classes")):
        plain = minimal()
        plain["target"]["classes"] = classes
        plain["decisions"] |= by_class(MATRIX)
        with pytest.raises(ValueError, match=said):
            CohortSpec.model_validate(plain)


def test_a_description_without_the_matrix_keeps_its_digest() -> None:
    plain = minimal()
    assert "class_costs" not in CohortSpec.model_validate(plain).canonical()["decisions"]
    plain["target"]["classes"] = ["a", "b", "c"]
    plain["decisions"] |= by_class(MATRIX)
    assert CohortSpec.model_validate(plain).canonical()["decisions"]["class_costs"]["matrix"] == MATRIX


def test_no_shipped_cohort_contradicts_itself() -> None:
    catalogue = Catalogue(folders=(SHIPPED,))
    assert {name: contradictions(catalogue.spec(name).decisions) for name in catalogue.names()} == dict.fromkeys(
        catalogue.names(), ()
    )


def test_a_training_counts_who_is_alerted_and_told_to_do_nothing() -> None:
    draw = np.random.default_rng(0)
    risk = draw.uniform(0.01, 0.99, 500)
    y = (draw.random(500) < risk).astype(int)
    found = decide_threshold(y, risk, decisions=decisions(0, 0.6), n_resamples=50).findings
    (text,) = [finding.message for finding in found if finding.code == "decisions_contradict"]
    assert f"{((risk >= 0.2) & (risk < 0.6)).mean():.1%} of 500 rows" in text
