"""A feature table becomes arrays in key order, or is refused with the column, the count and the cure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets_tests.worlds.tables.training import as_input, made_up, make_spec, make_table
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.table.inputs import UnusableTable, features_of, finite_or_missing, model_input


def test_the_order_of_rows_does_not_matter() -> None:
    table = made_up(60)
    shuffled = replace(table, frame=table.frame.sample(fraction=1, shuffle=True, seed=1))
    first, second = as_input(table), as_input(shuffled)
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(first.y, second.y)
    np.testing.assert_array_equal(first.groups, second.groups)


def test_null_and_nan_are_missing_and_booleans_are_numbers() -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": [True, False, None], "c": [0.5, float("nan"), None]})
    X = features_of(frame, ("a", "b", "c"))
    np.testing.assert_array_equal(X, [[1, 1, 0.5], [np.nan, 0, np.nan], [3, np.nan, np.nan]])


def test_an_infinite_value_is_refused_by_column_and_count() -> None:
    table = made_up(50)
    frame = table.frame.with_columns(x2=pl.when(pl.int_range(pl.len()) < 3).then(float("inf")).otherwise("x2"))
    with pytest.raises(UnusableTable, match="'x2' is infinite in 3 of 50") as caught:
        as_input(replace(table, frame=frame))
    assert "NULLIF" in str(caught.value)
    with pytest.raises(UnusableTable, match="'b' is infinite"):
        finite_or_missing(np.array([[1.0, -np.inf]]), ("a", "b"))


def test_a_wrong_number_of_columns_is_refused_with_their_names() -> None:
    with pytest.raises(UnusableTable, match=r"shape \(1, 3\)") as caught:
        finite_or_missing(np.zeros((1, 3)), ("age_years", "bmi"))
    assert "age_years, bmi" in str(caught.value)


def test_text_among_the_features_is_refused() -> None:
    with pytest.raises(UnusableTable, match="'x0' is String"):
        features_of(pl.DataFrame({"x0": ["a"]}), ("x0",))


def test_a_repeated_key_is_refused() -> None:
    table = made_up(20)
    with pytest.raises(UnusableTable, match="patient_id repeats"):
        as_input(replace(table, frame=pl.concat([table.frame, table.frame[:1]])))


def test_a_missing_column_is_named() -> None:
    table = made_up(20)
    with pytest.raises(UnusableTable, match="lacks x1"):
        as_input(replace(table, frame=table.frame.drop("x1")))


def test_an_empty_table_says_so() -> None:
    table = made_up(20)
    with pytest.raises(InsufficientData, match="no row with a known outcome"):
        as_input(replace(table, frame=table.frame[:0]))


@pytest.mark.parametrize("wrong", [2, -1])
def test_an_outcome_that_is_no_class_is_refused(wrong: int) -> None:
    table = made_up(20)
    frame = table.frame.with_columns(outcome=pl.when(pl.int_range(pl.len()) == 4).then(wrong).otherwise("outcome"))
    with pytest.raises(UnusableTable, match="1 of 20 outcomes"):
        as_input(replace(table, frame=frame))


def test_a_row_without_outcome_is_refused() -> None:
    table = made_up(20)
    frame = table.frame.with_columns(outcome=pl.when(pl.int_range(pl.len()) > 4).then("outcome"))
    with pytest.raises(UnusableTable, match="5 of 20 rows have no outcome"):
        as_input(replace(table, frame=frame))


def test_a_class_without_rows_is_named_by_its_label() -> None:
    table = make_table(np.zeros((10, 1)), np.arange(10) % 2)
    with pytest.raises(InsufficientData, match="'severe' does not occur"):
        model_input(table, make_spec(classes=("none", "mild", "severe")))


def test_rows_of_one_subject_share_a_group() -> None:
    table = make_table(np.zeros((6, 1)), np.arange(6) % 2, subjects=np.array([2, 0, 0, 1, 2, 2]))
    data = as_input(table)
    assert data.repeated
    assert data.groups.tolist() == [1, 1, 2, 3, 3, 3]
    assert not as_input(made_up(10)).repeated
