"""Rows that were censored before the horizon stand on one side of every split, beside those of their subject."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.worlds.tables.survival import followed_up
from clinical_assets.modelling.table.follow_up import carriers


def test_every_split_divides_the_censored_without_a_rest() -> None:
    data = followed_up(200, seed=3)
    assert data.follow_up is not None
    chosen = np.arange(data.n) % 3 > 0
    parts = [data.rows(chosen).follow_up, data.rows(~chosen).follow_up]
    whole = data.follow_up.censored_frame["patient_id"].to_list()
    kept = [part.censored_frame["patient_id"].to_list() for part in parts if part is not None]
    assert sorted(kept[0] + kept[1]) == sorted(whole)
    assert 0.5 < len(kept[0]) / len(whole) < 0.85
    for part, rows in zip(parts, (chosen, ~chosen), strict=True):
        assert part is not None
        assert len(part.days) == rows.sum()
        assert part.censored_X.shape == (part.censored_frame.height, data.X.shape[1])
        assert part.carrier.size == 0 or part.carrier.max() < rows.sum()
        np.testing.assert_array_equal(part.censored_X, part.censored_frame.select(data.feature_columns).to_numpy())


@given(st.lists(st.integers(0, 8), min_size=1, max_size=20), st.lists(st.integers(0, 12), max_size=20))
def test_a_carrier_is_of_the_same_subject_where_there_is_one(rows: list[int], censored: list[int]) -> None:
    groups, theirs = np.array(rows), np.array(censored, dtype=np.int64)
    found = carriers(groups, theirs, alike=None, seed=1)
    known = np.isin(theirs, groups)
    np.testing.assert_array_equal(groups[found[known]], theirs[known])
    np.testing.assert_array_equal(found, carriers(groups, theirs, alike=None, seed=1))


def test_a_carrier_comes_from_the_same_stratum() -> None:
    groups, theirs = np.arange(60), np.arange(100, 140)
    strata = (groups % 3, theirs % 3)
    found = carriers(groups, theirs, alike=strata, seed=1)
    np.testing.assert_array_equal(strata[0][found], strata[1])


def test_joined_subjects_take_their_censored_rows_along() -> None:
    data = followed_up(60, seed=4)
    assert data.follow_up is not None
    joined = data.grouped(np.zeros(data.n, dtype=np.int64))
    assert joined.follow_up is not None
    mine = np.isin(data.follow_up.censored_groups, data.groups)
    assert (joined.follow_up.censored_groups[mine] == 0).all()
    others = joined.follow_up.censored_groups[~mine]
    assert (others > 0).all()
    assert np.unique(others).size == np.unique(data.follow_up.censored_groups[~mine]).size


def test_a_feature_that_is_left_out_is_left_out_of_the_censored_too() -> None:
    data = followed_up(60, seed=4)
    less = data.without([data.feature_columns[1]])
    assert less.follow_up is not None
    wanted = less.follow_up.censored_frame.select(pl.col(less.feature_columns)).to_numpy()
    np.testing.assert_array_equal(less.follow_up.censored_X, wanted)
