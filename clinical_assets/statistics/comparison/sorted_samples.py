"""What sorted samples give away cheaply: quantile bins, counts per bin, and distances from one merge.

What belongs here: work on arrays that are already sorted and hold no missing value, so that a column of millions is
sorted once for everything. What does not: checking, sorting and missing values (`distances`).
"""

from __future__ import annotations

import numpy as np

from clinical_assets.foundation.types import FloatArray

PIECE = 2**16


def quantile_edges(ordered: FloatArray, *, n_bins: int) -> tuple[float, ...]:
    """Inner quantiles of a sorted sample (n,), n >= 1, that are values of it; fewer than n_bins - 1 where tied.

    The inverse of the empirical distribution function (definition 1 of Hyndman & Fan 1996,
    doi 10.1080/00031305.1996.10473566), as ``numpy.quantile(..., method="inverted_cdf")``.

    Examples
    --------
    >>> quantile_edges(np.arange(1.0, 9), n_bins=4)
    (2.0, 4.0, 6.0)
    >>> quantile_edges(np.array([0.0, 0, 0, 1]), n_bins=4)  # tied: one bin for 0, one for the rest
    (0.0,)
    """
    places = np.ceil(ordered.size * (np.arange(1, n_bins) / n_bins) - 1).clip(0, ordered.size - 1)
    return tuple(np.unique(ordered[places.astype(np.int64)]).tolist())


def count_between(ordered: FloatArray, edges: tuple[float, ...]) -> FloatArray:
    """Records of a sorted sample per bin edges[i-1] < x <= edges[i], the outer bins open: len(edges) + 1 numbers.

    Examples
    --------
    >>> count_between(np.arange(1.0, 9), (2.0, 4.0, 6.0)).tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    below = np.searchsorted(ordered, np.asarray(edges, dtype=np.float64), side="right")
    return np.diff(np.concatenate([[0], below, [ordered.size]])).astype(np.float64)


def distinct(ordered: FloatArray, *, at_most: int) -> FloatArray | None:
    """The different values of a sorted sample, or None when there are more than ``at_most``.

    Examples
    --------
    >>> distinct(np.array([1.0, 1, 2]), at_most=2).tolist()
    [1.0, 2.0]
    >>> distinct(np.array([1.0, 2, 3]), at_most=2) is None
    True
    """
    if ordered.size == 0:
        return ordered
    firsts = np.flatnonzero(ordered[1:] != ordered[:-1])
    if firsts.size >= at_most:
        return None
    return np.concatenate([ordered[:1], ordered[firsts + 1]])


def compare_sorted(x: FloatArray, y: FloatArray, *, piece: int = PIECE) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein distance of two sorted samples (n,) and (m,), n and m >= 1.

    ``piece`` is how many records of x are merged at a time; the distances do not depend on it.

    Sources: Smirnov 1948, doi 10.1214/aoms/1177730256; Vallender 1974, doi 10.1137/1118101.

    Examples
    --------
    >>> compare_sorted(np.array([1.0, 2, 3, 4]), np.array([2.0, 3, 4, 5]))
    (0.25, 1.0)
    """
    largest = area = 0.0
    # Pieces that fit the cache: x is cut evenly, y where the values of x were cut.
    cuts = np.arange(piece, x.size, piece)
    x_ends, y_ends = [*cuts.tolist(), x.size], [*np.searchsorted(y, x[cuts], side="left").tolist(), y.size]
    i = j = 0
    for x_end, y_end in zip(x_ends, y_ends, strict=True):
        both = np.concatenate([x[i:x_end], y[j:y_end]])
        # A stable sort finds the two runs and merges them in one pass.
        order = np.argsort(both, kind="stable")
        seen = np.cumsum(order < x_end - i)
        # Both shares are divisions of whole numbers, so that equal shares differ by exactly nothing.
        gap = np.abs((i + seen) / x.size - (j + np.arange(1, both.size + 1) - seen) / y.size)
        merged = both[order]
        # Up to the first value of the next piece; after the last record of all the gap is 0.
        step = np.diff(merged, append=x[x_end] if x_end < x.size else merged[-1])
        # Between tied records the distribution functions have not yet taken their whole step.
        largest = max(largest, float(np.max(gap, where=step > 0, initial=0.0)))
        area += float((gap * step).sum())
        i, j = x_end, y_end
    return largest, area
