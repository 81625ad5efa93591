"""Records of one person under two identifiers are found, and records that are equal by chance are not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.modelling.table.twins import Twins, find_twins


def found(X: np.ndarray, groups: np.ndarray | None = None) -> Twins:
    return find_twins(X, np.arange(len(X)) if groups is None else groups)


def patients(n: int = 300, p: int = 5, *, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * 10.0 ** np.arange(p)
    X[:, 0] = rng.integers(0, 2, n)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


def test_equal_near_and_all_but_equal_records_belong_together_and_are_counted() -> None:
    X, rng = patients(), np.random.default_rng(2)
    spread = np.nanstd(X, axis=0)
    equal = X[:40]
    near = X[40:70] + spread * 0.002 * rng.uniform(-1, 1, (30, 5))
    near[:, 0] = X[40:70, 0]
    changed = X[70:90][~np.isnan(X[70:90]).any(axis=1)].copy()
    changed[:, 3] += spread[3]
    whole = np.vstack([X, equal, near, changed])
    twins = found(whole)
    assert twins.exact == 80
    assert twins.count == 2 * (40 + 30 + len(changed))
    assert np.unique(twins.groups).size == 300
    assert twins.groups[:70].tolist() == twins.groups[300:370].tolist()


@pytest.mark.parametrize("decimals", [0, 1, 2, 16])
def test_records_of_different_people_are_no_twins_whatever_the_grain(decimals: int) -> None:
    for seed, (n, p) in enumerate([(100, 2), (1_000, 2), (1_000, 3), (3_000, 4)]):
        X = np.random.default_rng(seed).normal(size=(n, p)).round(decimals)
        assert found(X).count == 0
        # Columns that nearly follow from one another are no more evidence than one of them.
        copies = X[:, :1] + 0.02 * np.random.default_rng(seed + 1).normal(size=(n, 2))
        assert found(np.column_stack([X, copies.round(decimals)])).count == 0


def test_coarse_records_repeat_by_chance() -> None:
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.integers(0, 4, 400), rng.integers(0, 2, 400), rng.integers(30, 80, 400)])
    assert found(X.astype(float)).count == 0


def test_what_two_records_lack_is_no_likeness() -> None:
    X = patients(300)
    X[100:200, 2:] = np.nan
    X[100:200, 1] = np.random.default_rng(5).integers(0, 60, 100)
    assert found(X).count == 0


def test_visits_of_one_subject_are_no_twins_of_themselves() -> None:
    X = np.vstack([patients(), patients()])
    twins = found(X, np.tile(np.arange(300), 2))
    assert twins.count == 0
    assert twins.groups.tolist() == np.tile(np.arange(300), 2).tolist()


def test_who_belongs_together_does_not_depend_on_the_order_of_rows() -> None:
    X = np.vstack([patients(), patients()[:100]])
    order = np.random.default_rng(4).permutation(len(X))
    groups, again = found(X).groups, found(X[order]).groups
    assert [(groups[order] == groups[order][0]).tolist(), groups.max()] == [(again == again[0]).tolist(), again.max()]


def test_twins_go_where_the_smallest_of_their_identifiers_goes() -> None:
    names = [f"P{number:03d}" for number in range(200)] + [f"Q{number:03d}" for number in range(200)]
    frame = pl.DataFrame({"patient": names})
    together = np.tile(np.arange(200), 2)
    alone = split_holdout(frame, subject="patient", share=0.25).holdout
    held = split_holdout(frame, subject="patient", share=0.25, together=together).holdout
    assert held[:200].tolist() == held[200:].tolist() == alone[:200].tolist()
    assert alone[:200].tolist() != alone[200:].tolist()
