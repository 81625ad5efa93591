"""All updates of a plan share one error rate, and losses too small to be seen one by one add up to one that is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plan_lives import silent_losses, wrongly_passed
from clinical_assets.statistics.inputs import InvalidArray
from clinical_assets.statistics.trials.error_spending import spent_levels


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 12), st.sampled_from([0.01, 0.05, 0.2]))
def test_levels_that_were_lost_and_the_one_that_is_left_never_exceed_the_error_rate(
    shown: list[bool], planned: int, alpha: float
) -> None:
    levels = spent_levels(shown, alpha=alpha, planned=planned)
    lost = sum(level for level, passed in zip(levels, shown, strict=False) if not passed)
    assert len(levels) == len(shown) + 1
    assert lost + levels[-1] <= alpha * (1 + 1e-9)
    assert lost + levels[-1] == pytest.approx(alpha * min(len(levels), planned) / planned)


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=20), st.integers(1, 10))
def test_levels_are_those_of_the_published_recursion(p_values: list[float], planned: int) -> None:
    expected, rejected, shown = [], False, []
    for number, p in enumerate(p_values):  # alpha_i = alpha gamma_i + R_{i-1} alpha_{i-1}
        level = 0.05 * (number < planned) / planned + (expected[-1] if rejected else 0.0)
        expected.append(level)
        rejected = p <= level
        shown.append(rejected)
    assert spent_levels(shown[:-1], planned=planned) == pytest.approx(expected)


def test_a_plan_of_no_update_is_refused() -> None:
    with pytest.raises(InvalidArray, match="planned is 0"):
        spent_levels([], planned=0)


def test_ten_updates_that_are_each_just_inferior_are_wrongly_passed_as_often_as_the_plan_allows() -> None:
    found = wrongly_passed(lives=400, n=600, same_rows=False, seed=1)
    assert found.mean() <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 400)
    unspent = wrongly_passed(lives=400, n=600, same_rows=False, seed=1, planned=1, each_alone=True)
    assert unspent.mean() > 0.25  # each tested at 5 % as if it were the only one


def test_ten_silent_losses_are_stopped_by_the_fifth_and_would_not_be_against_the_champion_alone() -> None:
    found = silent_losses(lives=60, n=6000, seed=2)
    assert (found.authorised <= 5).mean() >= 0.95
    assert (found.champion > 10).mean() >= 0.9
