"""A description may say how much each record counts, in one column that is nothing else and never empty."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from assets_tests.worlds.descriptions import case_weight
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.outcomes.batch_spec import batch_spec
from clinical_assets.warehouse.sql.guard.views import known_view


@pytest.fixture
def weighted(minimal: dict[str, Any]) -> dict[str, Any]:
    """A right description with case weights."""
    minimal["tables"]["subjects"]["columns"]["stands_for"] = case_weight()
    return minimal


def test_the_column_with_case_weights_is_known_by_its_role(minimal: dict[str, Any], weighted: dict[str, Any]) -> None:
    assert CohortSpec.model_validate(weighted).weight == "stands_for"
    del weighted["tables"]["subjects"]["columns"]["stands_for"]
    assert CohortSpec.model_validate(minimal).weight is None


def test_features_cannot_see_it_and_new_records_come_without_it(weighted: dict[str, Any]) -> None:
    spec = CohortSpec.model_validate(weighted)
    view = known_view(spec, "subjects")
    assert "stands_for" not in view.columns
    assert "its role is weight" in view.hidden["stands_for"]
    assert "stands_for" not in batch_spec(spec, {"subjects": "subjects.csv"}).subjects.columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": ["weight", "feature"]}, "has no other role"),
        ({"role": ["weight", "protected"]}, "has no other role"),
        ({"nullable": True}, "nullable: false"),
        ({"range": None}, "smallest value is above 0"),
        ({"range": [0, 10]}, "smallest value is above 0"),
        ({"range": [None, 10]}, "smallest value is above 0"),
        ({"type": "string", "range": None}, "a weight is a number, not string"),
    ],
)
def test_a_weight_that_could_be_missing_zero_or_something_else_is_refused(
    weighted: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    weighted["tables"]["subjects"]["columns"]["stands_for"].update(change)
    with pytest.raises(ValidationError, match=said):
        CohortSpec.model_validate(weighted)


def test_two_weights_and_one_beside_the_subject_table_are_refused(weighted: dict[str, Any]) -> None:
    columns = weighted["tables"]["subjects"]["columns"]
    columns["also"] = case_weight()
    with pytest.raises(ValidationError, match="stands_for, also have role weight"):
        CohortSpec.model_validate(weighted)
    weighted["tables"]["visits"] = {
        "description": "One row per visit.",
        "source": {"kind": "file", "path": "visits.csv"},
        "key": ["patient_id"],
        "columns": {"patient_id": columns["patient_id"], "also": columns.pop("also")},
    }
    with pytest.raises(ValidationError, match=r"visits\.also has role weight, which only the subject table"):
        CohortSpec.model_validate(weighted)


def test_records_that_a_sampler_invents_have_no_weight_so_the_two_are_not_combined(weighted: dict[str, Any]) -> None:
    weighted["modelling"] = {"candidates": ["logistic_ridge"], "imbalance": ["none", "borderline_smote"]}
    with pytest.raises(ValidationError, match="offers borderline_smote, whose invented records have no case weight"):
        CohortSpec.model_validate(weighted)
