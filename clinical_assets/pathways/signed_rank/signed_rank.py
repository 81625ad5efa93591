"""The Wilcoxon signed-rank test of many gene sets in many subjects at once.

What belongs here: the public test, its result, and p-values. What does not: the compiled walk (``kernel``), the
membership index (``membership``), reading or judging data (``expression``, ``scores``).

The test is exact in its integers: ranks are counted, midranks doubled, nothing is summed in floating point. Where
scipy.stats.wilcoxon uses the same method on float64 values, p is equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.signed_rank.layout import BLOCK
from clinical_assets.pathways.signed_rank.membership import MembershipIndex, membership_index

#: Up to this many genes the automatic method is exact, as in scipy; R stops one earlier.
EXACT_LIMIT = 50
#: Above this, 0.5**n leaves the doubles and the exact distribution has no numbers left.
EXACT_CEILING = 1000

ZeroMethod = Literal["wilcox", "pratt"]
Method = Literal["auto", "exact", "approx"]


class SignedRankError(ClinicalAssetsError):
    """Differences or options the signed-rank test cannot work with."""


@dataclass(frozen=True)
class SignedRankResult:
    """One test per subject and gene set; every array has the shape (n_subjects, n_sets).

    Attributes
    ----------
    w_plus, w_minus : float64
        Sums of the ranks of |d| over genes with d > 0 and d < 0; multiples of one half, exact.
    z : float64
        Standardised W+ (positive: shifted up), after the continuity correction if that was asked for. It is
        computed for exact p-values too, as an effect on a common scale. NaN where `p_value` is.
    p_value : float64
        Two-sided. NaN where the set has no non-zero difference in the subject: there is nothing to test.
    n_used : int32
        Ranked genes: without the zeros under ``wilcox``, with them under ``pratt``.
    """

    w_plus: FloatArray
    w_minus: FloatArray
    z: FloatArray
    p_value: FloatArray
    n_used: NDArray[np.int32]


def signed_rank(
    differences: ArrayLike,
    gene_sets: Sequence[ArrayLike] | MembershipIndex,
    *,
    zero_method: ZeroMethod = "wilcox",
    correction: bool = True,
    method: Method = "auto",
) -> SignedRankResult:
    """Test in every subject whether a gene set's differences are centred on zero.

    Parameters
    ----------
    differences : real array, shape (n_subjects, n_genes)
        Affected minus control, as a rule on the log2 scale. float32 and integers are widened to float64, which
        changes neither order nor ties. Infinite values rank highest; NaN is refused.
    gene_sets : sequence of integer arrays, or MembershipIndex
        Gene positions of each set. An index made once by `membership_index` saves its preparation.
    zero_method : {"wilcox", "pratt"}
        ``wilcox`` leaves zeros out; ``pratt`` ranks them lowest and leaves their ranks out of the sums (Pratt
        1959, doi 10.1080/01621459.1959.10501526; variance by Cureton 1967, doi 10.1080/01621459.1967.10500917).
    correction : bool
        Continuity correction of the normal approximation, as R does by default and scipy does not.
    method : {"auto", "exact", "approx"}
        ``auto``: exact for sets of up to 50 genes without ties and zeros, else normal with the tie term
        (Lehmann 1975). ``exact`` everywhere is, as in scipy, conservative where there are ties or zeros: a
        half-integer W+ is rounded against the finding. ``approx``: normal everywhere.

    Returns
    -------
    SignedRankResult

    Raises
    ------
    SignedRankError
        NaN, wrong shapes or types, unknown options, ``exact`` with more than 1,000 ranked genes in a set.
    GeneSetIndexError
        Positions that do not fit the matrix.

    Notes
    -----
    Subjects are independent: a row's results do not change with the other rows. Work is spread over as many
    threads as numba is allowed (``NUMBA_NUM_THREADS``). The first call in a process compiles for about two seconds.

    scipy's ``auto`` replaces the normal approximation by a permutation test for up to 13 genes with ties or
    zeros; this function keeps the normal approximation there.

    Examples
    --------
    Ranks of 1, 2, 3 and 4; all but the second gene are higher in the affected sample:

    >>> test = signed_rank([[0.1, -0.2, 0.3, 0.4]], [[0, 1, 2, 3]])
    >>> test.w_plus.tolist(), test.w_minus.tolist()  # 1 + 3 + 4, and 2
    ([[8.0]], [[2.0]])
    >>> test.p_value.tolist()  # 3 of 16 sign patterns give 2 or less, on either side
    [[0.375]]

    A gene that did not change is left out:

    >>> signed_rank([[0.1, 0.0, 0.3, 0.4]], [[0, 1, 2, 3]]).n_used.tolist()
    [[3]]
    """
    if zero_method not in ("wilcox", "pratt"):
        raise SignedRankError(f"zero_method {zero_method!r} is unknown", cure="choose 'wilcox' or 'pratt'")
    if method not in ("auto", "exact", "approx"):
        raise SignedRankError(f"method {method!r} is unknown", cure="choose 'auto', 'exact' or 'approx'")
    d = np.asarray(differences)
    if d.ndim != 2:
        raise SignedRankError(
            f"differences have shape {d.shape}, not (subjects, genes)",
            cure="give one row per subject; reshape(1, -1) makes one subject's vector a matrix",
        )
    if d.dtype.kind not in "fiu" or d.dtype.itemsize > 8:
        raise SignedRankError(
            f"differences have type {d.dtype}", cure="give real numbers of at most 64 bits (float64 or float32)"
        )
    index = gene_sets if isinstance(gene_sets, MembershipIndex) else membership_index(gene_sets, n_genes=d.shape[1])
    if index.n_genes != d.shape[1]:
        raise SignedRankError(
            f"the gene-set index was made for {index.n_genes} genes, the matrix has {d.shape[1]}",
            cure="make the index from the same gene list as the matrix",
        )
    if method == "exact" and index.largest > EXACT_CEILING:
        raise SignedRankError(
            f"an exact p-value was asked for a set of {index.largest} genes",
            cure=f"use method='auto', or sets of at most {EXACT_CEILING} genes",
        )
    if index.largest >= 2**21:
        raise SignedRankError(f"a set of {index.largest} genes is too large to count", cure="use smaller sets")
    return _run(d, index, pratt=zero_method == "pratt", correction=bool(correction), method=method)


def _run(
    d: NDArray[np.generic], index: MembershipIndex, *, pratt: bool, correction: bool, method: Method
) -> SignedRankResult:
    import numba

    n_subjects, n_sets = d.shape[0], index.n_sets
    shape = (n_subjects, n_sets)
    result = SignedRankResult(
        w_plus=np.empty(shape),
        w_minus=np.empty(shape),
        z=np.empty(shape),
        p_value=np.empty(shape),
        n_used=np.empty(shape, dtype=np.int32),
    )
    allowed = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    threads = max(1, min(allowed, n_subjects))
    # Blocks small enough for the second cache level, and at least one for every thread.
    block = max(1, min(2**16 // max(1, n_sets), -(-n_subjects // threads)))

    def work(first: int) -> None:
        _block(d, first, min(first + block, n_subjects), index, pratt, correction, method, result)

    if threads == 1 or n_subjects <= block:
        for first in range(0, n_subjects, block):
            work(first)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, n_subjects, block)))
    return result


def _block(
    d: NDArray[np.generic],
    first: int,
    last: int,
    index: MembershipIndex,
    pratt: bool,
    correction: bool,
    method: Method,
    result: SignedRankResult,
) -> None:
    """Fill rows ``first`` to ``last`` of the result."""
    from clinical_assets.pathways.signed_rank import kernel

    rows = np.ascontiguousarray(d[first:last], dtype=np.float64)
    missing = np.isnan(rows)
    if missing.any():
        subject, gene = (int(i[0]) for i in np.nonzero(missing))
        raise SignedRankError(
            f"the difference of subject row {first + subject}, gene column {gene} is NaN "
            f"({int(missing.sum())} in rows {first} to {last - 1})",
            cure="drop the gene for all subjects or impute it before the difference is taken",
        )
    shape = (last - first, index.n_sets)
    narrow = index.largest < 2**10
    kind = np.uint32 if narrow else np.uint64
    counters = np.empty(index.n_sets + BLOCK, dtype=kind)
    n_used, w_twice = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    zeros, ties = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    special = kernel.walk_subjects(
        rows.view(np.int64),
        index.genes,
        index.starts,
        index.members,
        counters,
        kind(22 if narrow else 42),
        pratt,
        n_used,
        w_twice,
        zeros,
        ties,
    )
    into = slice(first, last)
    w_plus, w_minus, z, p = result.w_plus[into], result.w_minus[into], result.z[into], result.p_value[into]
    result.n_used[into] = n_used
    np.multiply(w_twice, 0.5, out=w_plus)
    # Without zeros and ties, everything that depends on n alone is the same for all subjects: one row will do.
    n = n_used.astype(np.float64) if special else index.sizes.astype(np.float64)[None, :]
    mean = n * (n + 1.0) * 0.25
    variance = n * (n + 1.0) * (2.0 * n + 1.0)
    ranks = n * (n + 1.0) * 0.5
    if special:
        if pratt:
            n0 = zeros.astype(np.float64)
            mean -= n0 * (n0 + 1.0) * 0.25
            variance -= n0 * (n0 + 1.0) * (2.0 * n0 + 1.0)
            ranks -= n0 * (n0 + 1.0) * 0.5
        variance -= ties.astype(np.float64) / 2
    np.subtract(ranks, w_plus, out=w_minus)
    se = np.sqrt(variance / 24)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.subtract(w_plus, mean, out=z)
        np.divide(z, se, out=z)
        if correction:
            np.subtract(z, np.sign(z) * (0.5 / se), out=z)
    _p_values(p, z, n_used, w_twice, index, zeros, ties, special=special, method=method)


def _p_values(
    p: FloatArray,
    z: FloatArray,
    n_used: NDArray[np.int64],
    w_twice: NDArray[np.int64],
    index: MembershipIndex,
    zeros: NDArray[np.int64],
    ties: NDArray[np.int64],
    *,
    special: bool,
    method: Method,
) -> None:
    from scipy.special import ndtr

    if method == "exact":
        p[...] = _exact_any(n_used, w_twice)
        p[np.isnan(z)] = np.nan
        return
    np.abs(z, out=p)
    np.negative(p, out=p)
    ndtr(p, out=p)
    np.multiply(p, 2.0, out=p)
    if method == "approx":
        return
    small = np.flatnonzero((index.sizes <= EXACT_LIMIT) & (index.sizes > 0))
    if not small.size:
        return
    table, offset = _exact_table()
    exact = table[offset[n_used[:, small]] + w_twice[:, small] // 2]
    if special:
        clean = (zeros[:, small] == 0) & (ties[:, small] == 0)
        exact = np.where(clean, exact, p[:, small])
    p[:, small] = exact


def _null_distributions(limit: int) -> Iterator[tuple[int, FloatArray]]:
    """P(W+ = 0), P(W+ = 1), ... for n = 0 to `limit` untied genes: each rank joins W+ with probability 1/2.

    Up to n = 52 every probability is a multiple of 2**-n and exact in a double, and so are their sums.
    """
    probabilities = np.ones(1)
    yield 0, probabilities
    for n in range(1, limit + 1):
        before = probabilities * 0.5
        probabilities = np.zeros(n * (n + 1) // 2 + 1)
        probabilities[: before.size] = before
        probabilities[n:] += before
        yield n, probabilities


@lru_cache(maxsize=1)
def _exact_table() -> tuple[FloatArray, NDArray[np.int64]]:
    """Two-sided p for every n up to 50 and every integer W+, end to end, and where each n begins."""
    tables = []
    for _, probabilities in _null_distributions(EXACT_LIMIT):
        below = np.cumsum(probabilities)
        tables.append(np.minimum(1.0, 2.0 * np.minimum(below, below[::-1])))
    offset = np.concatenate([[0], np.cumsum([t.size for t in tables])[:-1]]).astype(np.int64)
    flat = np.concatenate(tables)
    flat.flags.writeable = offset.flags.writeable = False
    return flat, offset


def _exact_any(n_used: NDArray[np.int64], w_twice: NDArray[np.int64]) -> FloatArray:
    """Exact two-sided p for any n; a half-integer W+ is rounded towards the centre (scipy gh-19872)."""
    p = np.empty(n_used.shape)
    wanted = set(np.unique(n_used).tolist())
    for n, probabilities in _null_distributions(max(wanted, default=0)):
        if n in wanted:
            cells = n_used == n
            below = np.minimum(1.0, np.cumsum(probabilities))
            floor, ceiling = w_twice[cells] // 2, -(-w_twice[cells] // 2)
            at_least = below[below.size - 1 - floor]
            p[cells] = np.minimum(1.0, 2.0 * np.minimum(at_least, below[ceiling]))
    return p
