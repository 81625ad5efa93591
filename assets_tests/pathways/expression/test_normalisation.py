"""TMM has the properties its authors state, and normalisation by pairs looks at nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.pathways.expression.normalisation import (
    Normalisation,
    NormalisationError,
    log2_cpm,
    pairs_to_log2,
    tmm_factor,
    tmm_factors,
)


def counts(seed: int, samples: int = 4, genes: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(np.exp(rng.normal(3, 1.5, size=(genes, 1))) * np.ones(samples)).astype(float)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_product_of_factors_is_one(seed: int) -> None:
    assert np.prod(tmm_factors(counts(seed))) == pytest.approx(1.0, rel=1e-12)


def test_equal_libraries_and_libraries_that_differ_in_depth_only_have_factors_of_one() -> None:
    x = counts(1)[:, :1]
    np.testing.assert_array_equal(tmm_factors(np.hstack([x, x, x])), 1.0)
    np.testing.assert_allclose(tmm_factors(np.hstack([x, 3 * x, 10 * x])), 1.0, rtol=1e-12)


def test_a_few_overexpressed_genes_are_trimmed_and_compensated() -> None:
    """A tenth of genes raised tenfold takes reads from the others; the effective size must undo that."""
    x = np.round(counts(2)[:, 0]) + 20
    y = x.copy()
    y[:50] *= 10
    expected = x.sum() / y.sum()
    assert tmm_factor(y, x) == pytest.approx(expected, rel=1e-6)
    effective = y.sum() * tmm_factor(y, x)
    np.testing.assert_allclose((y / effective)[50:], (x / x.sum())[50:], rtol=1e-6)


def test_the_factor_is_the_weighted_mean_of_the_untrimmed_log_ratios() -> None:
    """Written out from the paper's formula for ten genes: 3 cut from each end by M, none by A."""
    rng = np.random.default_rng(0)
    x, r = rng.integers(50, 500, 10).astype(float), rng.integers(50, 500, 10).astype(float)
    nx, nr = x.sum(), r.sum()
    m = np.log2(x / nx) - np.log2(r / nr)
    w = 1 / ((nx - x) / (nx * x) + (nr - r) / (nr * r))
    keep = np.argsort(m)[3:7]
    assert tmm_factor(x, r) == pytest.approx(2 ** ((w[keep] * m[keep]).sum() / w[keep].sum()), rel=1e-12)


def test_samples_without_reads_and_negative_counts_are_refused() -> None:
    x = counts(3)
    with pytest.raises(NormalisationError, match="column 2 has no reads"):
        tmm_factors(np.where(np.arange(4) == 2, 0, x))
    with pytest.raises(NormalisationError, match="finite and not negative"):
        tmm_factors(x - 1e6)
    with pytest.raises(NormalisationError, match="offset 0"):
        pairs_to_log2(x, x, method="log2", spec=Normalisation(offset=0))


def test_log2_cpm_tends_to_log2_of_counts_per_million_without_prior() -> None:
    x = counts(4) + 1
    sizes = x.sum(axis=0)
    np.testing.assert_allclose(log2_cpm(x, sizes, prior_count=1e-12), np.log2(x / sizes * 1e6), rtol=1e-9)
    assert np.all(np.isfinite(log2_cpm(np.zeros((3, 2)), np.array([10.0, 20.0]))))


def test_with_the_own_control_as_reference_no_subject_changes_another() -> None:
    control, affected = counts(5, samples=6), counts(6, samples=6)
    spec = Normalisation(method="tmm")
    together = pairs_to_log2(control, affected, method="tmm", spec=spec)
    for i in range(6):
        alone = pairs_to_log2(control[:, [i]], affected[:, [i]], method="tmm", spec=spec)
        for a, b in zip(alone[:2], together[:2], strict=True):
            assert a is not None
            assert b is not None
            np.testing.assert_array_equal(a[:, 0], b[:, i])
    assert together[2] is not None
    np.testing.assert_allclose(together[2].prod(axis=1), 1.0)
    cohort = pairs_to_log2(control, affected, method="tmm", spec=Normalisation(method="tmm", reference="cohort"))
    assert cohort[2] is not None
    assert cohort[2].prod() == pytest.approx(1.0)
