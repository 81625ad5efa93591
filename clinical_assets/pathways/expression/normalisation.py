"""Making the two samples of a subject comparable: library sizes, TMM, log2, expression filter.

What belongs here: functions on matrices of samples. What does not: which samples belong together (``pairing``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray


class NormalisationError(ClinicalAssetsError):
    """Counts or options that cannot be normalised."""


@dataclass(frozen=True)
class Normalisation:
    """How a matrix becomes log2 values.

    Attributes
    ----------
    method : {"auto", "tmm", "log2", "none"}
        ``tmm``: counts to log2 counts per million with TMM factors. ``log2``: log2(x + offset) of linear values or
        counts. ``none``: already log2. ``auto`` chooses by the scale: counts tmm, linear log2, log2 none.
    reference : {"own_control", "cohort"}
        TMM's reference sample: the subject's own control (a subject's values then depend on nobody else), or the
        cohort's most typical sample, as edgeR does.
    offset : float
        Added before log2; in the unit of the matrix.
    prior_count : float
        Reads added per gene before the log2 counts per million, scaled to the library, as in edgeR's ``cpm``.
    min_level : float or None
        Expression filter: a gene is kept if it reaches this level (counts per million for counts, else the matrix's
        unit) in at least `min_share` of the samples. None: no filter. ``auto`` uses 1 per million for counts.
    min_share : float
        Between 0 and 1.
    centre : bool
        Subtract each subject's median difference over all genes from the affected sample. A shift of a whole array
        otherwise makes most sets of that subject look dysregulated. Off by default, as in the study.
    genes : tuple of str or None
        A fixed gene list instead of the filter, for scores that must not change when the cohort grows.
    """

    method: Literal["auto", "tmm", "log2", "none"] = "auto"
    reference: Literal["own_control", "cohort"] = "own_control"
    offset: float = 1.0
    prior_count: float = 2.0
    min_level: float | Literal["auto"] | None = "auto"
    min_share: float = 0.5
    centre: bool = False
    genes: tuple[str, ...] | None = None


def tmm_factor(
    observed: FloatArray,
    reference: FloatArray,
    *,
    observed_size: float | None = None,
    reference_size: float | None = None,
    trim_ratio: float = 0.3,
    trim_level: float = 0.05,
) -> float:
    """Trimmed mean of M values of one sample against another.

    Parameters
    ----------
    observed, reference : arrays, shape (n_genes,)
        Counts.
    observed_size, reference_size : float, optional
        Library sizes; the sums by default.
    trim_ratio, trim_level : float
        Shares cut from each end of the log ratios (M) and of the mean log levels (A).

    Returns
    -------
    float
        Multiplies the observed library size to give its effective size relative to the reference. 1 means that the
        libraries differ in depth only.

    Source: Robinson & Oshlack 2010, doi 10.1186/gb-2010-11-3-r25; trimming and weights as in edgeR's
    ``calcNormFactors``.
    """
    from scipy.stats import rankdata

    n_obs = float(observed.sum()) if observed_size is None else observed_size
    n_ref = float(reference.sum()) if reference_size is None else reference_size
    if n_obs <= 0 or n_ref <= 0:
        raise NormalisationError("a sample has no reads at all", cure="remove the sample")
    both = (observed > 0) & (reference > 0)
    x, r = observed[both], reference[both]
    ratio = np.log2((x / n_obs) / (r / n_ref))
    level = (np.log2(x / n_obs) + np.log2(r / n_ref)) / 2
    variance = (n_obs - x) / n_obs / x + (n_ref - r) / n_ref / r
    n = ratio.size
    if n == 0 or np.max(np.abs(ratio)) < 1e-6:
        return 1.0
    low_ratio, low_level = np.floor(n * trim_ratio) + 1, np.floor(n * trim_level) + 1
    rank_ratio, rank_level = rankdata(ratio), rankdata(level)
    keep = (rank_ratio >= low_ratio) & (rank_ratio <= n + 1 - low_ratio)
    keep &= (rank_level >= low_level) & (rank_level <= n + 1 - low_level)
    weights = 1.0 / variance[keep]
    if not weights.size or not np.isfinite(weights.sum()):
        return 1.0
    return float(2 ** (np.sum(ratio[keep] * weights) / weights.sum()))


def tmm_factors(counts: FloatArray, *, reference: int | None = None) -> FloatArray:
    """TMM factors of all samples against one, scaled so that their product is 1.

    Parameters
    ----------
    counts : array, shape (n_genes, n_samples)
        Read counts, not negative.
    reference : int, optional
        Column of the reference; by default the one whose upper quartile is nearest to the mean of upper quartiles.

    Returns
    -------
    array, shape (n_samples,)
    """
    if np.any(counts < 0) or not np.all(np.isfinite(counts)):
        raise NormalisationError("counts must be finite and not negative", cure="use raw counts")
    sizes = counts.sum(axis=0)
    if np.any(sizes <= 0):
        raise NormalisationError(f"sample column {int(np.argmin(sizes))} has no reads at all", cure="remove the sample")
    expressed = counts[np.any(counts > 0, axis=1)]
    if reference is None:
        upper = np.quantile(expressed / sizes, 0.75, axis=0)
        reference = int(np.argmin(np.abs(upper - upper.mean())))
    base = expressed[:, reference]
    factors = np.array(
        [
            tmm_factor(expressed[:, j], base, observed_size=float(sizes[j]), reference_size=float(sizes[reference]))
            for j in range(counts.shape[1])
        ]
    )
    return np.asarray(factors / np.exp(np.mean(np.log(factors))))


def log2_cpm(counts: FloatArray, effective_sizes: FloatArray, *, prior_count: float = 2.0) -> FloatArray:
    """log2 counts per million of samples (columns) with a prior count in proportion to the library.

    The prior is scaled by each library relative to the mean of those given, as in edgeR's ``cpm(log=TRUE)``; give only
    the columns of one subject and no other subject enters.
    """
    prior = prior_count * effective_sizes / effective_sizes.mean()
    return np.asarray(np.log2((counts + prior) / (effective_sizes + 2 * prior) * 1e6))


def pairs_to_log2(
    control: FloatArray, affected: FloatArray, *, method: Literal["tmm", "log2", "none"], spec: Normalisation
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Normalise pairs of samples.

    Parameters
    ----------
    control, affected : arrays, shape (n_genes, n_subjects)
        Raw values, column by column the two samples of a subject.
    method : {"tmm", "log2", "none"}
        As in `Normalisation`, with ``auto`` already decided.
    spec : Normalisation
        Reference and prior count for TMM, offset for the logarithm.

    Returns
    -------
    control, affected : log2 values, same shape
    factors : array, shape (n_subjects, 2), or None without TMM
        TMM factors of control and affected sample; the product of each row is 1 with the own control as reference.
    """
    if method == "none":
        return control, affected, None
    if method == "log2":
        if spec.offset <= 0:
            raise NormalisationError(f"offset {spec.offset} is not positive", cure="use 1 or a small positive number")
        return np.log2(control + spec.offset), np.log2(affected + spec.offset), None
    n_subjects = control.shape[1]
    if spec.reference == "cohort":
        factors = tmm_factors(np.hstack([control, affected])).reshape(2, n_subjects).T
    else:
        factors = np.array(
            [tmm_factors(np.column_stack([control[:, i], affected[:, i]]), reference=0) for i in range(n_subjects)]
        )
    out_control, out_affected = np.empty_like(control), np.empty_like(affected)
    for i in range(n_subjects):
        pair = np.column_stack([control[:, i], affected[:, i]])
        logs = log2_cpm(pair, pair.sum(axis=0) * factors[i], prior_count=spec.prior_count)
        out_control[:, i], out_affected[:, i] = logs[:, 0], logs[:, 1]
    return out_control, out_affected, factors
