"""A second score of pathways in single subjects: it sees genes that change, in whichever direction.

What belongs here: the bidirectional method and its null. What does not: the signed-rank method, which sees concordant
shifts alone (``scores``).

A pathway of which half the genes go up and half down is dysregulated, and its signed ranks cancel. Here the genes of
the set are compared with all other genes of the same subject by the size of their change: do they change more?
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.scores.scores import RawScores


@dataclass(frozen=True)
class BidirectionalScoring:
    """Rank sum of |difference| in the set against all other genes of the subject (Wilcoxon 1945, doi 10.2307/3001968).

    The null is competitive: the set's genes change as much as any others of this subject. p is one-sided, since a
    pathway that changes less than others is not dysregulated; the score is 0 or +1, for no direction is looked at.

    Attributes
    ----------
    correlation : float or None
        Mean inter-gene correlation of the differences within a set; the variance of the rank sum is then that of
        correlated genes (Barry, Nobel & Wright 2008, doi 10.1214/07-AOAS146), with the correlation that absolute
        values of normal differences have. None takes genes for independent.

    Notes
    -----
    Sets of noisy genes, such as those of low expression, change more than others without being dysregulated: an
    expression filter (``min_level``) belongs before this method.
    """

    correlation: float | None = None

    @property
    def name(self) -> str:
        """Name of the method in results and tables."""
        return "bidirectional"

    def score(self, differences: FloatArray, sets: MeasuredGeneSets) -> RawScores:
        """Normal score and one-sided p of the rank sum, each of shape (n_subjects, n_sets)."""
        from scipy.special import ndtr
        from scipy.stats import rankdata

        n, genes = differences.shape
        ranks = rankdata(np.abs(differences), axis=1)
        within = np.asarray(sets.sizes, dtype=np.float64)
        starts = np.concatenate([[0], np.cumsum(sets.sizes)[:-1]])
        members = np.concatenate(sets.positions)
        outside = genes - within
        z = np.full((n, within.size), np.nan)
        testable = outside > 0
        for row in range(n):  # one pass per subject: its ranks and ties are its own
            sums = np.add.reduceat(ranks[row, members], starts)
            _, ties = np.unique(ranks[row], return_counts=True)
            shrink = 1.0 - float((ties.astype(np.float64) ** 3 - ties).sum()) / (float(genes) ** 3 - genes)
            variance = rank_sum_variance(within, outside, absolute_correlation(self.correlation or 0.0)) * shrink
            excess = sums - within * (genes + 1) / 2
            # Continuity: a rank sum moves in steps of one half at least.
            corrected = np.sign(excess) * np.maximum(np.abs(excess) - 0.5, 0.0)
            usable = testable & (variance > 0)
            z[row, usable] = corrected[usable] / np.sqrt(variance[usable])
        used = np.broadcast_to(sets.sizes.astype(np.int32), z.shape).copy()
        return RawScores(z, ndtr(-z), np.where(z > 0, 1.0, 0.0), used)

    def statement(self) -> str:
        """The method with its options, in words for a report."""
        text = (
            "Rank sum of the absolute difference in the set against all other genes of the subject (bidirectional: "
            "genes that change, up or down), one-sided p, normal with continuity correction"
        )
        if self.correlation is None:
            return text + ", genes taken for independent."
        return text + f", variance for a mean inter-gene correlation of {self.correlation:.3g}."


def absolute_correlation(correlation: float) -> float:
    """Correlation of |X| and |Y| for standard normal X and Y with this correlation.

    E|XY| = 2/pi (sqrt(1 - r^2) + r asin r); the rest is its mean and variance.

    >>> round(absolute_correlation(0.0), 9), round(absolute_correlation(0.2), 4), round(absolute_correlation(1.0), 9)
    (0.0, 0.0352, 1.0)
    """
    mean = 2 / math.pi
    both = mean * (math.sqrt(1 - correlation**2) + correlation * math.asin(correlation))
    return (both - mean) / (1 - mean)


def rank_sum_variance(within: FloatArray, outside: FloatArray, correlation: float) -> FloatArray:
    """Variance of the rank sum of a set whose genes have one common correlation, independent of all others.

    Parameters
    ----------
    within, outside : float64 arrays
        Genes in the set and outside it.
    correlation : float
        Of the set's genes, 0 to below 1. 0 gives within * outside * (within + outside + 1) / 12.

    >>> import numpy as np
    >>> rank_sum_variance(np.array([20.0]), np.array([180.0]), 0.0)
    array([60300.])
    """
    pairs = within * (within - 1)
    total = (
        (np.pi / 2) * within * outside
        + np.arcsin(0.5) * within * outside * (outside - 1)
        + np.arcsin(correlation / 2) * pairs * outside * (outside - 1)
        + np.arcsin((correlation + 1) / 2) * pairs * outside
    )
    return np.asarray(total / (2 * np.pi))
