"""Outcomes of a batch that are all alike are asked about before a model is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from clinical_assets.monitoring.performance.label_quality import label_questions


def known(sizes: dict[str, int], *, seed: int = 1, shift: float = 0.0) -> pl.DataFrame:
    """Records (synthetic) by batch, with outcomes that follow from their risks but for a shift of the log-odds."""
    n, rng = sum(sizes.values()), np.random.default_rng(seed)
    odds = rng.normal(-0.7, 1.3, n)
    event = rng.random(n) < 1 / (1 + np.exp(-(odds + shift)))
    batch = [name for name, size in sizes.items() for _ in range(size)]
    return pl.DataFrame({"batch": batch, "risk": 1 / (1 + np.exp(-odds)), "outcome": event.astype(np.int32)})


def alarms(rows: pl.DataFrame | None) -> list[str]:
    return [each.reason for each in label_questions(rows, action_from=1) if each.alarm]


def alike(rows: pl.DataFrame, batch: str, outcome: int) -> pl.DataFrame:
    told = pl.when(pl.col("batch") == batch).then(outcome).otherwise(pl.col("outcome"))
    return rows.with_columns(told.cast(pl.Int32).alias("outcome"))


@pytest.mark.parametrize("outcome", [0, 1])
def test_a_batch_in_which_everybody_fares_alike_is_named_with_what_was_expected(outcome: int) -> None:
    rows = alike(known({"a": 300, "b": 300}), "b", outcome)
    (said,) = alarms(rows)
    assert said.startswith(f"outcomes: {'every one' if outcome else 'none'} of the 300 records of a batch")
    # Alone, there is no other rate to compare with than the one that was served.
    assert len(alarms(rows.filter(batch="b"))) == 1


def test_two_broken_halves_of_opposite_kinds_are_two_alarms_and_no_model_that_ranks_no_more() -> None:
    rows = alike(alike(known({"a": 300, "b": 300}), "a", 1), "b", 0)
    assert len(alarms(rows)) == 2


def test_honest_outcomes_raise_no_alarm_even_where_the_model_is_wrong_in_the_large() -> None:
    sizes = {str(number): 25 for number in range(8)}
    assert [alarms(known(sizes, seed=seed, shift=shift)) for seed in range(40) for shift in (-3.5, 0.0)] == [[]] * 80


def test_a_handful_of_outcomes_and_none_are_no_question() -> None:
    assert label_questions(known({"a": 19}), action_from=1) == []
    assert label_questions(None, action_from=1) == []
