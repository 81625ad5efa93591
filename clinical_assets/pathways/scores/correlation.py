"""What correlated genes do to a signed-rank test, and the correction.

What belongs here: the variance of W+ under inter-gene correlation, its estimate from a reference cohort. What does
not: p-values of subjects (``scores``).

The signed-rank test takes genes for independent. Genes of a pathway are not: their differences move together also
where nothing is wrong, and W+ then varies more than the test believes. CAMERA (Wu & Smyth 2012, doi
10.1093/nar/gks461) divides by a variance inflation factor made from the mean inter-gene correlation; the same is done
here for W+ itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets


class CorrelationError(ClinicalAssetsError):
    """A mean inter-gene correlation that no set can have."""


def w_plus_variance(n_genes: ArrayLike, correlation: ArrayLike) -> FloatArray:
    """Variance of W+ of n genes whose differences are normal around 0 with one common correlation.

    Parameters
    ----------
    n_genes : array of int
        Genes in the set, at least 1.
    correlation : array, broadcast against `n_genes`
        Mean inter-gene correlation, 0 to below 1. 0 gives n(n+1)(2n+1)/24.

    Returns
    -------
    float64 array

    Notes
    -----
    W+ counts the pairs i <= j with d_i + d_j > 0 (Tukey), and two normal variables with correlation r are both
    positive with probability 1/4 + asin(r)/(2 pi) (Sheppard 1899), so Var W+ is a sum of arcsines over the seven
    ways in which two pairs can overlap. The same idea serves CAMERA's rank-sum version (Barry, Nobel & Wright 2008,
    doi 10.1214/07-AOAS146).
    """
    n = np.asarray(n_genes, dtype=np.float64)
    r = np.asarray(correlation, dtype=np.float64)
    if np.any((r < 0) | (r >= 1) | ~np.isfinite(r)):
        raise CorrelationError(
            "a mean inter-gene correlation must be at least 0 and below 1", cure="use 0 for no correction"
        )
    pairs = n * (n - 1)
    single_apart = np.arcsin(r)
    single_in_pair = np.arcsin(np.sqrt((1 + r) / 2))
    single_off_pair = np.arcsin(r * np.sqrt(2 / (1 + r)))
    pairs_sharing = np.arcsin((1 + 3 * r) / (2 + 2 * r))
    pairs_apart = np.arcsin(2 * r / (1 + r))
    same = np.pi / 2
    total = (
        n * same
        + pairs * single_apart
        + 2 * pairs * single_in_pair
        + pairs * (n - 2) * single_off_pair
        + pairs / 2 * same
        + pairs * (n - 2) * pairs_sharing
        + pairs * (n - 2) * (n - 3) / 4 * pairs_apart
    )
    return np.asarray(total / (2 * np.pi))


def variance_inflation(n_genes: ArrayLike, correlation: ArrayLike) -> FloatArray:
    """How many times larger Var W+ is than under independence; 1 means no inflation."""
    n = np.asarray(n_genes, dtype=np.float64)
    return np.asarray(w_plus_variance(n, correlation) / (n * (n + 1) * (2 * n + 1) / 24))


def mean_intergene_correlation(
    differences: ArrayLike, sets: MeasuredGeneSets, *, groups: ArrayLike | None = None
) -> FloatArray:
    """Mean correlation between the genes of each set over the subjects of a reference cohort.

    Parameters
    ----------
    differences : array, shape (n_subjects, n_genes)
        Of a cohort in which nothing, or the same in each group, is expected. Correlations of few subjects are
        noisy: below about 30, use one number for all sets (`typical_correlation`).
    sets : MeasuredGeneSets
        Fitted to the genes of the columns, in the same order.
    groups : array, shape (n_subjects,), optional
        Group of each subject; group means are taken out first, so that a shift shared by a group is no correlation.

    Returns
    -------
    float64 array, shape (n_sets,)
        Can be slightly negative by chance; NaN for a set of one gene. Source: Wu & Smyth 2012: with U the residuals
        standardised gene by gene, m times the variance of the set's mean of U is 1 + (m - 1) rho.

    Raises
    ------
    InsufficientData
        Fewer than 3 degrees of freedom are left.
    """
    d = np.asarray(differences, dtype=np.float64)
    codes = np.zeros(d.shape[0], dtype=np.int64)
    if groups is not None:
        codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    n_groups = int(codes.max(initial=0)) + 1
    freedom = d.shape[0] - n_groups
    if freedom < 3:
        raise InsufficientData(
            f"{d.shape[0]} subjects in {n_groups} groups leave {freedom} degrees of freedom for a correlation",
            cure="use a larger reference cohort, or state the correlation",
        )
    residual = d.copy()
    for g in range(n_groups):
        residual[codes == g] -= d[codes == g].mean(axis=0)
    spread = np.sqrt((residual**2).sum(axis=0) / freedom)
    standard = np.divide(residual, spread, out=np.zeros_like(residual), where=spread > 0)
    result = np.full(len(sets.positions), np.nan)
    for s, genes in enumerate(sets.positions):
        m = int((spread[genes] > 0).sum())
        if m > 1:
            inflation = (standard[:, genes].sum(axis=1) ** 2).sum() / freedom / m
            result[s] = (inflation - 1) / (m - 1)
    return result


def typical_correlation(differences: ArrayLike, sets: MeasuredGeneSets, *, groups: ArrayLike | None = None) -> float:
    """One correlation for all sets: the median over sets of `mean_intergene_correlation`, not below 0."""
    values = mean_intergene_correlation(differences, sets, groups=groups)
    return float(max(0.0, np.nanmedian(values)))
