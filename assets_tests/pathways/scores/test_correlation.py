"""The variance of W+ under correlation is exact where it can be checked, and its correlation is estimated well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.pathways.expression.synthetic import synthetic_paired_cohort
from clinical_assets.pathways.scores.correlation import (
    CorrelationError,
    mean_intergene_correlation,
    typical_correlation,
    variance_inflation,
    w_plus_variance,
)
from clinical_assets.pathways.signed_rank.signed_rank import signed_rank


@given(st.integers(1, 500))
def test_without_correlation_the_variance_is_the_textbook_one(n: int) -> None:
    assert w_plus_variance(n, 0.0) == pytest.approx(n * (n + 1) * (2 * n + 1) / 24, rel=1e-12)


@given(st.integers(2, 300), st.floats(0, 0.98), st.floats(0.001, 0.01))
def test_more_correlation_means_more_variance(n: int, rho: float, step: float) -> None:
    assert variance_inflation(n, rho + step) > variance_inflation(n, rho) >= 1 - 1e-12


def test_one_gene_knows_no_correlation_and_perfect_correlation_is_all_or_nothing() -> None:
    assert variance_inflation(1, 0.7) == pytest.approx(1)
    total = 40 * 41 / 2
    assert w_plus_variance(40, 1 - 1e-9) == pytest.approx(total**2 / 4, rel=1e-3)


@pytest.mark.parametrize(("n", "rho"), [(20, 0.05), (60, 0.2), (200, 0.02)])
def test_the_variance_equals_that_of_simulated_correlated_genes(n: int, rho: float) -> None:
    rng = np.random.default_rng(n)
    reps = 20_000
    d = np.sqrt(rho) * rng.normal(size=(reps, 1)) + np.sqrt(1 - rho) * rng.normal(size=(reps, n))
    observed = signed_rank(d, [np.arange(n)]).w_plus[:, 0].var()
    assert observed == pytest.approx(float(w_plus_variance(n, rho)), rel=5 * np.sqrt(2 / reps))


def test_the_planted_correlation_is_estimated_also_behind_a_group_shift() -> None:
    made = synthetic_paired_cohort(
        n_subjects=200,
        n_genes=2000,
        n_sets=30,
        n_planted=10,
        effect=1.0,
        penetrance=1.0,
        background=0.0,
        correlation=0.15,
        layout="disjoint",
        seed=1,
    )
    d, labels = made.paired.differences, made.paired.labels
    within = mean_intergene_correlation(d, made.sets, groups=[str(x) for x in labels])
    assert np.median(within) == pytest.approx(0.15, abs=0.03)
    naive = mean_intergene_correlation(d, made.sets)
    assert np.median(naive[:10]) > np.median(within[:10]) + 0.1
    assert typical_correlation(d, made.sets, groups=[str(x) for x in labels]) == pytest.approx(np.median(within))


def test_independent_genes_have_about_no_correlation_and_it_is_never_negative() -> None:
    made = synthetic_paired_cohort(n_subjects=60, n_planted=0, seed=4)
    assert 0 <= typical_correlation(made.paired.differences, made.sets) < 0.01


def test_impossible_correlations_and_too_few_subjects_are_refused() -> None:
    for rho in (-0.1, 1.0, np.nan):
        with pytest.raises(CorrelationError):
            w_plus_variance(10, rho)
    made = synthetic_paired_cohort(n_subjects=4, n_planted=0)
    with pytest.raises(InsufficientData, match="leave 2 degrees of freedom"):
        mean_intergene_correlation(made.paired.differences, made.sets, groups=[0, 0, 1, 1])
