"""Records that resemble each other are one piece of evidence: one side of every split, one draw of every resample."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from assets_tests.worlds.descriptions import minimal
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.modelling.table.together import repeated_units, units_of_rows
from clinical_assets.warehouse.sql.guard.views import known_view


def frame(subjects: list[str], together: list[str | None] | None = None) -> pl.DataFrame:
    columns: dict[str, Any] = {"person": subjects}
    return pl.DataFrame(columns if together is None else columns | {"kept_together": together})


def test_rows_of_one_group_and_of_one_subject_are_one_unit_through_whatever_chain() -> None:
    units = units_of_rows(frame(["a", "b", "b", "c", "d", "e"], ["p1", "p1", "p2", "p2", None, None]), subject="person")
    assert len(set(units[:4].tolist())) == 1
    assert np.unique(units).size == 3


def test_without_the_column_subjects_are_the_units_and_a_unit_of_one_row_needs_no_clusters() -> None:
    assert repeated_units(frame(["a", "b"]), subject="person") is None
    assert repeated_units(frame(["a", "b"], ["p", None]), subject="person") is None
    assert repeated_units(frame(["a", "a"]), subject="person") is not None
    assert repeated_units(frame(["a", "b"], ["p", "p"]), subject="person") is not None


def test_no_group_is_on_both_sides_of_the_holdout() -> None:
    random = np.random.default_rng(1)
    rows = frame([f"s{i}" for i in range(2000)], [f"p{i}" for i in random.integers(0, 300, 2000)])
    split = split_holdout(rows, subject="person", share=0.25, together=units_of_rows(rows, subject="person"))
    sides = rows.with_columns(held=pl.Series(split.holdout)).group_by("kept_together").agg(pl.col("held").n_unique())
    assert sides["held"].max() == 1
    assert 0.15 < split.holdout.mean() < 0.35


def described(**column: Any) -> dict[str, Any]:
    written = minimal()
    written["tables"]["subjects"]["columns"]["paper"] = {
        "type": "string", "role": "group", "description": "Paper.",
    } | column  # fmt: skip
    return written


def test_a_description_names_it_by_a_role_and_features_cannot_see_it() -> None:
    spec = CohortSpec.model_validate(described())
    assert spec.group == "paper"
    view = known_view(spec, "subjects")
    assert "paper" not in view.columns
    assert "which records belong together" in view.hidden["paper"]


def test_it_has_no_role_beside_it_but_protected_and_there_is_one() -> None:
    assert CohortSpec.model_validate(described(role=["group", "protected"])).group == "paper"
    with pytest.raises(ValidationError, match="no other role but protected"):
        CohortSpec.model_validate(described(role=["group", "feature"]))
    twice = described()
    twice["tables"]["subjects"]["columns"]["family"] = dict(twice["tables"]["subjects"]["columns"]["paper"])
    with pytest.raises(ValidationError, match="one column says which records belong together"):
        CohortSpec.model_validate(twice)
