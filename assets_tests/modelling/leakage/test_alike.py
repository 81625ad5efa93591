"""A column that says which records resemble each other is found, the gap between random and grouped folds is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.neighbors import KNeighborsClassifier

from assets_tests.worlds.tables.training import as_input, make_spec, make_table
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.leakage.alike import undeclared_groups
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.splits import outer_folds

PAPER = {"type": "string", "role": "ignored", "description": "Paper."}


def neighbours(data: ModelInput) -> FloatArray:
    """Out-of-fold risks of a model that recognises the paper by the features."""
    risk = np.empty(data.n)
    for train, test in outer_folds(data.y, data.groups, n_splits=4, seed=1):
        model = KNeighborsClassifier(8).fit(data.X[train], data.y[train])
        risk[test] = model.predict_proba(data.X[test])[:, 1]
    return risk


def found(effect: float, *, role: str = "ignored", levels: int = 60, **modelling: Any) -> tuple[Leak, ...]:
    """What is said of 600 records in papers that give their records a look, and an outcome, of their own."""
    random = np.random.default_rng(4)
    paper = random.integers(0, levels, 600)
    X = random.normal(size=(levels, 3))[paper] + 0.2 * random.normal(size=(600, 3))
    logit = effect * random.normal(size=levels)[paper]
    y = (random.random(600) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    spec = make_spec(columns={"paper": PAPER | {"role": role}}, **modelling)
    data = as_input(make_table(X, y), spec)
    order = data.frame.select(spec.key)
    subjects = make_table(X, y).frame.select(spec.key).with_columns(paper=pl.Series([f"p{i}" for i in paper]))
    assert order.height == subjects.height
    return undeclared_groups(data, spec, subjects, neighbours)


def test_a_paper_whose_records_resemble_each_other_is_asked_about_with_the_gap() -> None:
    (leak,) = found(2.0)
    assert (leak.column, leak.kind, leak.action) == ("paper", "grouping", "ask")
    assert leak.value is not None
    assert leak.value > 0.1
    assert "60 levels of paper" in leak.evidence
    assert "`group`" in leak.cure


def test_papers_that_share_nothing_are_not_mentioned() -> None:
    assert found(0.0) == ()


@pytest.mark.parametrize(
    "change", [{"role": "group"}, {"role": "feature"}, {"known_before": {"paper": "all are known"}}]
)
def test_what_is_declared_or_open_to_the_model_is_not_asked_about(change: dict[str, Any]) -> None:
    assert found(2.0, **change) == ()


def test_few_levels_and_levels_of_one_record_are_no_groups() -> None:
    assert found(2.0, levels=4) == ()
    assert found(2.0, levels=6000) == ()
