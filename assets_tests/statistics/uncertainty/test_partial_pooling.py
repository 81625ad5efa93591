"""Means of groups, drawn to the mean of all by how much each group knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.uncertainty.partial_pooling import pooled_means


def simulated(sizes: list[int], between: float, within: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    truth = random.normal(0, between**0.5, len(sizes))
    return truth[groups] + random.normal(0, within**0.5, groups.size), groups, truth


def test_variances_of_groups_and_of_values_are_found_again() -> None:
    found = [pooled_means(*simulated([1, 2, 3, 5, 8, 13, 40] * 20, 0.5, 2.0, seed)[:2]) for seed in range(30)]
    assert np.mean([each.between for each in found]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([each.within for each in found]) == pytest.approx(2.0, abs=0.06)


def test_drawn_means_are_nearer_to_the_truth_than_own_means_most_of_all_where_groups_are_small() -> None:
    y, groups, truth = simulated([2] * 100 + [50] * 20, 0.5, 2.0, 1)
    own = np.bincount(groups, weights=y) / np.bincount(groups)
    drawn = pooled_means(y, groups).means
    small = slice(0, 100)
    assert ((drawn - truth)[small] ** 2).mean() < 0.6 * ((own - truth)[small] ** 2).mean()
    assert ((drawn - truth)[100:] ** 2).mean() < 1.1 * ((own - truth)[100:] ** 2).mean()


def test_balanced_groups_are_the_classical_estimate() -> None:
    y, groups, _ = simulated([6] * 10, 1.0, 1.0, 2)
    table = y.reshape(10, 6)
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / 6
    found = pooled_means(y, groups)
    assert found.within == pytest.approx(within)
    assert found.between == pytest.approx(between)
    assert found.overall == pytest.approx(y.mean())
    shrink = between / (between + within / 6)
    assert found.means == pytest.approx(y.mean() + shrink * (table.mean(axis=1) - y.mean()))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40))
def test_every_mean_lies_between_the_groups_own_and_that_of_all(rows: list[tuple[int, int]]) -> None:
    groups, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = pooled_means(y, groups)
    for name, mean in zip(found.groups, found.means, strict=True):
        own = y[groups == name].mean()
        assert min(own, found.overall) - 1e-9 <= mean <= max(own, found.overall) + 1e-9


def test_single_values_say_nothing_of_their_groups() -> None:
    found = pooled_means([0, 1, 5], [1, 2, 3])
    assert found.between == 0
    assert found.means == pytest.approx([2, 2, 2])


@pytest.mark.parametrize(("y", "groups"), [([1.0], [1, 2]), ([np.nan], [1]), ([1.0], [np.nan]), ([[1.0]], [[1]])])
def test_what_is_no_list_of_numbers_is_refused(y: list[float], groups: list[float]) -> None:
    with pytest.raises(InvalidArray):
        pooled_means(y, groups)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(InsufficientData):
        pooled_means([], [])
