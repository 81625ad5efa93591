"""Holdout and folds: by hash of the subject, stable, and never across a subject."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.modelling.table.splits import SALT, outer_folds, split_holdout

FAST = settings(max_examples=20)
subjects = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=60)


def _held(names: list[str], *, share: float = 0.25) -> dict[str, bool]:
    frame = pl.DataFrame({"patient": pl.Series(names, dtype=pl.String)})
    return dict(zip(names, split_holdout(frame, subject="patient", share=share).holdout.tolist(), strict=True))


@FAST
@given(subjects, st.floats(0.05, 0.95))
def test_a_subject_is_held_out_when_the_first_64_bits_of_its_hash_are_below_the_share(
    names: list[str], share: float
) -> None:
    for name, held in _held(names, share=share).items():
        first = int(hashlib.sha256(f"{SALT}|{name}".encode()).hexdigest()[:16], 16)
        assert held == (first < int(share * 2**64))


@FAST
@given(subjects, subjects, st.randoms())
def test_new_rows_and_another_order_never_move_old_ones(names: list[str], more: list[str], random: object) -> None:
    before = _held(names)
    together = names + more
    random.shuffle(together)  # type: ignore[attr-defined]
    after = _held(together)
    assert all(after[name] == held for name, held in before.items())


def test_train_and_holdout_share_no_subject_and_cover_every_row() -> None:
    frame = pl.DataFrame({"patient": np.repeat(np.arange(400), 3)})
    split = split_holdout(frame, subject="patient", share=0.25)
    assert (split.train ^ split.holdout).all()
    held = set(frame["patient"].filter(split.holdout))
    assert not held & set(frame["patient"].filter(split.train))
    assert 0.17 < len(held) / 400 < 0.33


def test_integer_and_text_identifiers_are_split_alike() -> None:
    numbers = pl.DataFrame({"p": np.arange(100)})
    texts = numbers.select(pl.col("p").cast(pl.String))
    assert (
        split_holdout(numbers, subject="p", share=0.3).holdout == split_holdout(texts, subject="p", share=0.3).holdout
    ).all()


def test_the_holdout_does_not_follow_an_assignment_by_the_plain_hash() -> None:
    names = [f"p{i}" for i in range(2000)]
    held = np.array(list(_held(names, share=0.5).values()))
    plain = np.array([hashlib.sha256(name.encode()).digest()[0] < 128 for name in names])
    assert abs(np.corrcoef(held, plain)[0, 1]) < 0.08


def test_a_row_without_a_subject_is_refused() -> None:
    with pytest.raises(ClinicalAssetsError, match="no patient"):
        split_holdout(pl.DataFrame({"patient": ["a", None]}), subject="patient", share=0.5)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(ClinicalAssetsError, match="share"):
        split_holdout(pl.DataFrame({"patient": ["a"]}), subject="patient", share=share)


@FAST
@given(st.integers(0, 1000), st.booleans(), st.integers(2, 5))
def test_folds_partition_the_rows_keep_subjects_together_and_hold_both_classes(
    seed: int, repeated: bool, k: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [60, 40]))
    groups = np.arange(100) // 2 if repeated else np.arange(100)
    folds = outer_folds(y, groups, n_splits=k, seed=seed)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(100))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert set(train) | set(test) == set(range(100))
        assert np.unique(y[test]).size == 2
    again = outer_folds(y, groups, n_splits=k, seed=seed)
    assert all((a[1] == b[1]).all() for a, b in zip(folds, again, strict=True))


def test_a_class_smaller_than_the_folds_is_named_with_the_cure() -> None:
    y = np.repeat([0, 1], [50, 3])
    with pytest.raises(InsufficientData, match="class 1 has 3 subjects") as caught:
        outer_folds(y, np.arange(53), n_splits=5, seed=0)
    assert "outer_folds to at most 3" in str(caught.value)


def test_many_rows_of_one_subject_do_not_count_as_many_subjects() -> None:
    y = np.repeat([0, 1], [50, 30])
    groups = np.concatenate([np.arange(50), np.full(30, 99)])
    with pytest.raises(InsufficientData, match="class 1 has 1 subject "):
        outer_folds(y, groups, n_splits=2, seed=0)


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InsufficientData, match="all 20 rows have class 1"):
        outer_folds(np.ones(20, dtype=int), np.arange(20), n_splits=2, seed=0)


def test_a_fold_whose_evaluation_rows_have_one_class_is_refused() -> None:
    y = np.array([1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    groups = np.array([5, 2, 4, 0, 5, 2, 0, 2, 2, 4, 3, 5, 2])
    with pytest.raises(InsufficientData, match="inner fold 1 of 3: its 2 evaluation rows all have class 1") as caught:
        outer_folds(y, groups, n_splits=3, seed=0, what="inner")
    assert "modelling.search.inner_folds" in str(caught.value)


def test_a_fold_that_leaves_no_row_of_a_class_to_learn_from_is_refused() -> None:
    y, groups = np.array([1, 0, 0, 1, 0, 1, 0, 1]), np.array([3, 1, 1, 1, 2, 1, 1, 0])
    with pytest.raises(InsufficientData, match="class 0 has no row to train on"):
        outer_folds(y, groups, n_splits=2, seed=0)
