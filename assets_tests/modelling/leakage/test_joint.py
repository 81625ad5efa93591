"""Columns that know the outcome together are refused by name; strong honest measurements are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer

from assets_tests.worlds.tables.training import Table, made_up, make_spec, make_table
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.leakage.joint import joint_separation, tree_scores
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.leakage.leakage import LeakageFound, find_leaks
from clinical_assets.modelling.leakage.pairs import separating_pairs
from clinical_assets.modelling.leakage.separation import separation
from clinical_assets.modelling.table.inputs import ModelInput, model_input

N = 500


def add(table: Table, **columns: Any) -> Table:
    frame = table.frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    return Table(frame, table.key, table.subject, (*table.feature_columns, *columns))


def outcome(table: Table) -> np.ndarray:
    return table.frame["outcome"].to_numpy()


def trial(*, wrong: float = 0.0, seed: int = 0) -> Table:
    """Who left the study was last seen before the end of observation; each day alone says little."""
    table, draw = made_up(N, seed=seed), np.random.default_rng(seed)
    left = (outcome(table) == 1) ^ (draw.random(N) < wrong)
    observed = np.round(draw.uniform(100, 400, N))
    gap = draw.integers(1, 60, N)
    return add(table, observed_days=observed, last_contact_day=observed + np.where(left, -gap, gap))


def adjudicated() -> Table:
    """An event is one when two of three reviewers say so."""
    table, draw = made_up(N), np.random.default_rng(0)
    dissent, y = draw.integers(0, 6, N), outcome(table)
    votes = {f"review_{place}": np.where(dissent == place, 1 - y, y) * 1.0 for place in range(3)}
    return add(table, **votes)


def refused(table: Table, spec: CohortSpec | None = None) -> list[Leak]:
    return [leak for leak in find_leaks(table, spec or make_spec()) if leak.action == "refuse"]


def test_two_days_whose_order_is_the_outcome_are_refused_together() -> None:
    table = trial()
    (leak,) = refused(table)
    assert (leak.kind, leak.column) == ("pair", "observed_days, last_contact_day")
    for name in ("observed_days", "last_contact_day"):
        alone = separation(table.frame[name].to_numpy().astype(float), outcome(table), n_classes=2)
        assert alone is not None
        assert alone.auroc < 0.75
    assert "AUROC" in leak.evidence
    assert "`outcome`" in leak.cure


def test_a_pair_near_the_limit_asks_for_an_answer() -> None:
    table = trial(wrong=0.005)
    (leak,) = find_leaks(table, make_spec())
    assert (leak.kind, leak.action, leak.column) == ("pair", "ask", "observed_days, last_contact_day")
    assert "includes the limit" in leak.evidence


def test_a_pair_is_excused_only_when_both_are_declared() -> None:
    table = trial()
    one = make_spec(known_before={"observed_days": "set by protocol"})
    assert [leak.kind for leak in refused(table, one)] == ["pair"]
    both = make_spec(known_before={"observed_days": "set by protocol", "last_contact_day": "the last visit before"})
    assert refused(table, both) == []
    (leak,) = [leak for leak in find_leaks(table, both) if leak.kind == "pair"]
    assert "set by protocol; the last visit before" in leak.evidence


def test_equality_and_exclusive_or_are_comparisons_too() -> None:
    table, draw = made_up(N), np.random.default_rng(1)
    y = outcome(table)
    arm = draw.integers(0, 2, N)
    (leak,) = refused(add(table, arm=arm * 1.0, unblinded=np.where(y == 1, 1 - arm, arm) * 1.0))
    assert (leak.kind, leak.column) == ("pair", "arm, unblinded")
    planned = np.round(draw.uniform(30, 300, N))
    moved = planned + np.where(y == 1, draw.choice([-1, 1], N) * draw.integers(1, 40, N), 0)
    (leak,) = refused(add(table, planned_days=planned, done_days=moved))
    assert (leak.kind, leak.column) == ("pair", "planned_days, done_days")
    assert "distance" in leak.evidence


def test_columns_of_different_units_are_not_compared() -> None:
    table = trial()
    data = model_input(table, make_spec())
    units: dict[str, str | None] = {"observed_days": "d", "last_contact_day": "d"}
    assert [(pair.first, pair.second) for pair in separating_pairs(data, make_spec(), units)] == [
        ("observed_days", "last_contact_day")
    ]
    assert separating_pairs(data, make_spec(), units | {"last_contact_day": "mg/dL"}) == []


def test_three_columns_are_found_by_a_shallow_tree() -> None:
    (leak,) = refused(adjudicated())
    assert leak.kind == "joint"
    named = set(leak.column.split(", "))
    assert len(named) > 1
    assert named <= {"review_0", "review_1", "review_2"}
    assert "without" in leak.evidence


def test_the_screen_of_a_large_table_finds_the_same_pair() -> None:
    draw = np.random.default_rng(4)
    n, p = 6000, 12
    X, y = draw.normal(size=(n, p)), (draw.random(n) < 0.2).astype(int)
    X[:, 11] = X[:, 3] + np.where(y == 1, 1, -1) * draw.exponential(size=n)
    (leak,) = refused(make_table(X, y))
    assert leak.column == "x3, x11"


def test_strong_honest_measurements_are_no_leak() -> None:
    cancer = load_breast_cancer()
    table = make_table(cancer.data, 1 - cancer.target)
    spec = make_spec(separation_limit=0.98)
    assert refused(table, spec) == []
    result = train_cohort(table, spec, workers=1)
    assert result.candidates[0].metrics["auroc"].value > 0.985  # above the limit, and owed to no three columns
    assert not [leak for leak in result.leakage if leak.action != "warn"]


def test_a_model_that_owes_its_separation_to_a_few_columns_is_refused_with_their_names() -> None:
    """A sum of three columns: no comparison of two shows it and no shallow tree, but a linear model does."""
    draw = np.random.default_rng(2)
    X = draw.normal(size=(900, 8))
    total = X[:, 1] + X[:, 4] + X[:, 6]
    table = make_table(X, (total > 0).astype(int))
    assert refused(table) == []
    with pytest.raises(LeakageFound, match="nested cross-validation") as caught:
        train_cohort(table, make_spec(), workers=1)
    (leak,) = caught.value.leaks
    assert (leak.kind, set(leak.column.split(", "))) == ("joint", {"x1", "x4", "x6"})


def test_below_the_limit_nothing_is_left_out() -> None:
    data = model_input(made_up(300, strength=3.0), make_spec())
    calls: list[ModelInput] = []

    def score(rest: ModelInput) -> np.ndarray:
        calls.append(rest)
        return tree_scores(rest)

    assert joint_separation(data, tree_scores(data), score, limit=0.98) is None
    assert calls == []


def test_the_first_refusal_names_all_that_leaks_and_all_that_must_be_answered() -> None:
    table = add(trial(), years_since_died=np.random.default_rng(0).normal(size=N))
    table = add(table, discharge_code=outcome(table) * 1.0)
    with pytest.raises(LeakageFound) as caught:
        train_cohort(table, make_spec(), workers=1)
    told = {leak.column: leak for leak in caught.value.leaks}
    assert set(told) == {"discharge_code", "observed_days, last_contact_day", "years_since_died"}
    assert told["years_since_died"].action == "ask"
    message = str(caught.value)
    for leak in told.values():
        assert leak.evidence in message
        assert leak.cure in message
