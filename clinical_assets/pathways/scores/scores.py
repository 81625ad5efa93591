"""Scores of pathways in single subjects.

What belongs here: from paired expression and gene sets to z, p, FDR, median effect and the ternary score; the protocol
that a scoring method follows. What does not: the test itself (``signed_rank``), models of subjects (``study``).

A subject's scores come from this subject's two samples alone. That is the promise of N-of-1 scores, and what the users
of GSVA or ssGSEA miss most: there, a score moves when the cohort grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.expression.pairing import PairedExpression
from clinical_assets.pathways.scores.correlation import variance_inflation
from clinical_assets.pathways.signed_rank.signed_rank import Method, ZeroMethod, signed_rank

#: Elements gathered at a time for medians; 8 MB.
_CHUNK = 2**20


class ScoreError(ClinicalAssetsError):
    """Scores that were asked for with options that contradict each other."""


@dataclass(frozen=True)
class RawScores:
    """What a scoring method gives; arrays of shape (n_subjects, n_sets).

    Attributes
    ----------
    statistic : float64
        Signed evidence: positive means up in the affected sample. NaN where nothing can be tested.
    p_value : float64
        Two-sided where the method has two directions, else one-sided; NaN like `statistic`.
    direction : float64
        Its sign is the direction of the ternary score; for the signed-rank test W+ - W-.
    n_used : int32
        Genes that took part.
    """

    statistic: FloatArray
    p_value: FloatArray
    direction: FloatArray
    n_used: NDArray[np.int32]


class ScoringMethod(Protocol):
    """A way to score gene sets within one subject.

    Row i of the result must depend on row i of the differences and on nothing else of the data: `score_subjects` is
    tested for it with every method of this package.
    """

    @property
    def name(self) -> str:
        """Short name for records."""
        ...

    def score(self, differences: FloatArray, sets: MeasuredGeneSets) -> RawScores:
        """Score differences of shape (n_subjects, n_genes) in every set."""
        ...

    def statement(self) -> str:
        """What is computed, in a sentence for a report."""
        ...


@dataclass(frozen=True)
class SignedRankScoring:
    """N-of-1-pathways with the Wilcoxon signed-rank test (Gardeux et al. 2014, doi 10.1136/amiajnl-2013-002519).

    Attributes
    ----------
    zero_method, correction, method
        As in `signed_rank.signed_rank`.
    correlation : float, tuple of float, or None
        Mean inter-gene correlation of all sets, or of each set in order, for the variance inflation of
        `correlation.variance_inflation`. None: the plain test, as in the study. It is a constant of the method:
        state it, or estimate it from a reference cohort.
    """

    zero_method: ZeroMethod = "wilcox"
    correction: bool = True
    method: Method = "auto"
    correlation: float | tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Name of the method in results and tables."""
        return "signed_rank"

    def score(self, differences: FloatArray, sets: MeasuredGeneSets) -> RawScores:
        """Signed-rank statistic and p of every set in every subject, each of shape (n_subjects, n_sets).

        Raises
        ------
        ScoreError
            The number of correlations is neither one nor the number of sets.
        """
        from scipy.special import ndtr

        result = signed_rank(
            differences, sets.index, zero_method=self.zero_method, correction=self.correction, method=self.method
        )
        direction = result.w_plus - result.w_minus
        if self.correlation is None:
            return RawScores(result.z, result.p_value, direction, result.n_used)
        rho = np.asarray(self.correlation, dtype=np.float64)
        if rho.ndim and rho.shape != (len(sets.names),):
            raise ScoreError(
                f"{rho.size} correlations for {len(sets.names)} gene sets", cure="give one number, or one per set"
            )
        # Exact p-values know nothing of correlation: corrected scores are normal throughout.
        z = result.z / np.sqrt(variance_inflation(np.maximum(result.n_used, 1), rho))
        return RawScores(z, 2.0 * ndtr(-np.abs(z)), direction, result.n_used)

    def statement(self) -> str:
        """The method with its options, in words for a report."""
        exact = {
            "auto": "exact up to 50 genes without ties, else normal",
            "exact": "exact",
            "approx": "normal approximation",
        }[self.method]
        corrected = "with" if self.correction else "without"
        text = f"Wilcoxon signed-rank test, zeros by {self.zero_method}, p {exact} {corrected} continuity correction"
        if self.correlation is None:
            return text + ", genes taken for independent."
        rho = np.asarray(self.correlation, dtype=np.float64)
        size = f"{float(rho):.3g}" if rho.ndim == 0 else f"{rho.min():.3g} to {rho.max():.3g}"
        return text + f", variance inflated for a mean inter-gene correlation of {size} (all p normal)."


@dataclass(frozen=True)
class PathwayScores:
    """Scores of every gene set in every subject; arrays of shape (n_subjects, n_sets).

    Attributes
    ----------
    subjects, names : tuple of str
        Rows and columns.
    statistic, p_value : float64
        As in `RawScores`.
    fdr : float64
        Benjamini-Hochberg over the sets of the subject (doi 10.1111/j.2517-6161.1995.tb02031.x); NaN like p.
    median_effect : float64
        Median log2 difference of the set's measured genes.
    score : int8
        +1 or -1 if the set is dysregulated up or down at `alpha`, else 0.
    n_used : int32
        Genes that took part.
    alpha : float
    decided_on : {"p", "fdr"}
        Which of the two is compared with `alpha`: raw p as in the study, or the FDR.
    method, statement : str
        Name and description of the method.
    synthetic : bool
        The data is made up.
    """

    subjects: tuple[str, ...]
    names: tuple[str, ...]
    statistic: FloatArray
    p_value: FloatArray
    fdr: FloatArray
    median_effect: FloatArray
    score: NDArray[np.int8]
    n_used: NDArray[np.int32]
    alpha: float
    decided_on: Literal["p", "fdr"]
    method: str
    statement: str
    synthetic: bool


def score_subjects(
    paired: PairedExpression,
    sets: MeasuredGeneSets,
    *,
    method: ScoringMethod | None = None,
    alpha: float = 0.05,
    decide_on: Literal["p", "fdr"] = "p",
) -> PathwayScores:
    """Score every gene set in every subject.

    Parameters
    ----------
    paired : PairedExpression
        Both samples of each subject on the log2 scale.
    sets : MeasuredGeneSets
        Fitted to the same genes in the same order.
    method : ScoringMethod, optional
        `SignedRankScoring` by default.
    alpha : float
        In (0, 1). The study uses raw p below .05.
    decide_on : {"p", "fdr"}
        Which of the two is compared with `alpha`: each set's own p, or the false discovery rate over the sets of a
        subject.

    Raises
    ------
    ScoreError
        Sets fitted to other genes, or an impossible alpha.
    """
    if sets.genes != paired.genes:
        raise ScoreError("the gene sets were fitted to other genes", cure="measured_gene_sets(..., paired.genes)")
    if not 0 < alpha < 1 or decide_on not in ("p", "fdr"):
        raise ScoreError(f"alpha {alpha}, decided on {decide_on!r}", cure="0 < alpha < 1, and 'p' or 'fdr'")
    chosen = method or SignedRankScoring()
    differences = paired.differences
    raw = chosen.score(differences, sets)
    fdr = false_discovery_rates(raw.p_value)
    evidence = raw.p_value if decide_on == "p" else fdr
    called = evidence < alpha  # NaN compares False
    score = np.where(called, np.sign(raw.direction), 0.0).astype(np.int8)
    return PathwayScores(
        subjects=paired.subjects,
        names=sets.names,
        statistic=raw.statistic,
        p_value=raw.p_value,
        fdr=fdr,
        median_effect=median_effects(differences, sets),
        score=score,
        n_used=raw.n_used,
        alpha=alpha,
        decided_on=decide_on,
        method=chosen.name,
        statement=chosen.statement(),
        synthetic=paired.synthetic,
    )


def false_discovery_rates(p_value: FloatArray) -> FloatArray:
    """Benjamini-Hochberg adjusted p, row by row; NaN is outside the family and stays NaN."""
    from scipy.stats import false_discovery_control

    fdr = np.full(p_value.shape, np.nan)
    for row, values in enumerate(p_value):  # one pass per subject, not per test
        tested = np.isfinite(values)
        if tested.any():
            fdr[row, tested] = false_discovery_control(values[tested], method="bh")
    return fdr


def median_effects(differences: FloatArray, sets: MeasuredGeneSets) -> FloatArray:
    """Median log2 difference of each set's genes, shape (n_subjects, n_sets)."""
    result = np.empty((differences.shape[0], len(sets.positions)))
    for size in np.unique(sets.sizes):
        columns = np.flatnonzero(sets.sizes == size)
        step = max(1, _CHUNK // int(size * max(1, differences.shape[0])))
        for first in range(0, columns.size, step):
            some = columns[first : first + step]
            genes = np.stack([sets.positions[c] for c in some])
            result[:, some] = np.median(differences[:, genes], axis=2)
    return result
