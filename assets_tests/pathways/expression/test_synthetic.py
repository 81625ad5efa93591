"""Synthetic cohorts are reproducible, labelled, and hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from clinical_assets.pathways.expression.synthetic import CASE, SyntheticError, synthetic_paired_cohort


def test_one_seed_gives_one_cohort_and_another_seed_another() -> None:
    a, b, c = (synthetic_paired_cohort(seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.paired.differences, b.paired.differences)
    assert a.collection == b.collection
    assert not np.array_equal(a.paired.differences, c.paired.differences)
    assert a.collection.source.sha256 != c.collection.source.sha256


def test_everything_says_that_it_is_synthetic() -> None:
    made = synthetic_paired_cohort()
    assert made.paired.synthetic
    assert all(s.startswith("synthetic") for s in (*made.paired.subjects, *made.collection.names))
    assert made.paired.statements[0].startswith("SYNTHETIC")
    assert made.collection.source.kind == "synthetic"


def test_planted_sets_shift_their_subjects_by_the_effect_and_nobody_else() -> None:
    made = synthetic_paired_cohort(
        n_subjects=200, effect=0.7, penetrance=1.0, background=0.0, layout="disjoint", n_sets=20, n_planted=6, seed=8
    )
    sick = np.array([label == CASE for label in made.paired.labels])
    np.testing.assert_array_equal(made.truth[:, :6] != 0, np.repeat(sick[:, None], 6, axis=1))
    assert not made.truth[:, 6:].any()
    for s, genes in enumerate(made.sets.positions):
        mean = made.paired.differences[:, genes].mean(axis=1)
        assert mean[sick].mean() == pytest.approx(0.7 * made.truth[sick, s].mean(), abs=0.07)
        assert mean[~sick].mean() == pytest.approx(0, abs=0.07)


def test_half_of_the_subjects_are_symptomatic() -> None:
    assert sum(x == CASE for x in synthetic_paired_cohort(n_subjects=21).paired.labels) == 10


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(SyntheticError, match="outside their ranges"):
        synthetic_paired_cohort(correlation=1.0)
    with pytest.raises(SyntheticError, match="disjoint sets, there are 100"):
        synthetic_paired_cohort(n_genes=100)
