"""Decision among classes: least expected cost, of which the threshold and the likeliest class are special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.statistics.decisions.class_costs import cheapest_class, confusion, equal_costs
from clinical_assets.statistics.inputs import InvalidArray

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(2, 6))
def test_equal_costs_decide_for_the_likeliest(seed: int, k: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(k), size=40)
    np.testing.assert_array_equal(cheapest_class(p, equal_costs(k)), p.argmax(axis=1))


@given(seeds, st.floats(0.1, 10), st.floats(0.1, 10))
def test_two_classes_are_decided_at_the_closed_form_threshold(seed: int, c_fp: float, c_fn: float) -> None:
    risk = np.random.default_rng(seed).uniform(size=60)
    risk = risk[np.abs(risk - c_fp / (c_fp + c_fn)) > 1e-9]
    decided = cheapest_class(np.column_stack([1 - risk, risk]), [[0, c_fp], [c_fn, 0]])
    np.testing.assert_array_equal(decided == 1, risk >= c_fp / (c_fp + c_fn))


@given(seeds)
def test_no_other_decision_costs_less_where_probabilities_are_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, costs = rng.dirichlet(np.ones(4), size=30), rng.uniform(0, 5, size=(4, 4))
    best = (p @ costs)[np.arange(30), cheapest_class(p, costs)]
    assert (best[:, None] <= (p @ costs) + 1e-12).all()


@given(seeds)
def test_what_a_class_costs_whatever_is_decided_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, costs = rng.dirichlet(np.ones(3), size=30), rng.uniform(0, 5, size=(3, 3))
    expected = np.sort(p @ costs, axis=1)
    clear = expected[:, 1] - expected[:, 0] > 1e-9
    moved = cheapest_class(p, costs + rng.uniform(0, 9, size=(3, 1)))
    np.testing.assert_array_equal(moved[clear], cheapest_class(p, costs)[clear])


def test_of_equally_cheap_decisions_the_more_severe_is_taken() -> None:
    assert cheapest_class([[0.5, 0.5]], equal_costs(2)).tolist() == [1]


def test_shapes_and_costs_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidArray, match="expected"):
        cheapest_class([[0.5, 0.5]], equal_costs(3))
    with pytest.raises(InvalidArray, match="finite"):
        cheapest_class([[0.5, 0.5]], [[0, np.inf], [1, 0]])
    with pytest.raises(InvalidArray, match="decided has 1"):
        confusion([0, 1], [0], n_classes=2)


@given(seeds)
def test_rows_and_columns_of_the_confusion_count_truth_and_decisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, decided = rng.integers(0, 4, size=(2, 50))
    table = confusion(y, decided, n_classes=4)
    np.testing.assert_array_equal(table.sum(axis=1), np.bincount(y, minlength=4))
    np.testing.assert_array_equal(table.sum(axis=0), np.bincount(decided, minlength=4))
    assert np.trace(table) == (y == decided).sum()
