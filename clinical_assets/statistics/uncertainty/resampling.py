"""The bootstrap as weights: a resample is a row of counts, a statistic is a function of weights.

What belongs here: drawing resamples of rows, subjects and strata.
What does not: intervals from them (`bootstrap`), and the statistics. Each module offers its own in
weighted form (`*_statistic`), a function that takes an array of weights of shape (b, n) and returns b
values, so that a bootstrap is matrix work in chunks of bounded memory.

Statistics that depend on the data only through totals of a few cells (a grid of thresholds, a confusion
matrix) are resampled by `resampled_cell_totals`: cell totals of a bootstrap resample are multinomial, so
this is the same distribution as resampling rows, at the cost of the cells instead of the rows.

Source: Efron 1979, doi 10.1214/aos/1176344552.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, Seed, as_codes, as_weights, generator

# 4 M weights are 32 MB; a statistic holds a handful of arrays of that size.
MAX_CHUNK_ELEMENTS = 2**22


def resample_weights(
    n: int,
    *,
    n_resamples: int = 1000,
    seed: Seed = 0,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Iterator[FloatArray]:
    """Bootstrap resamples as weights, in chunks.

    Parameters
    ----------
    n : int
        Number of records.
    n_resamples : int
        Number of resamples over all chunks.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.
    weights : array of shape (n,), optional
        Frequency weights. Without `groups`, round(sum of weights) records are drawn, as from the repeated
        rows; with `groups`, the weights of a drawn group are kept as they are.
    strata : array of shape (n,), optional
        Resample within each stratum, so that the stratum sizes stay fixed.
    groups : array of shape (n,), optional
        Resample whole groups (subjects, sites) instead of records. A group must lie within one stratum.

    Yields
    ------
    array of shape (b, n)
        How often each record was drawn, times its weight if `groups` is given.

    Raises
    ------
    InvalidArray
        Shapes differ, or a group spans several strata.

    Examples
    --------
    >>> (chunk,) = resample_weights(3, n_resamples=2)
    >>> chunk.shape, chunk.sum(axis=1).tolist()  # each resample has three records
    ((2, 3), [3.0, 3.0])

    Of two subjects with two visits each, whole subjects are drawn:

    >>> (chunk,) = resample_weights(4, n_resamples=50, groups=["a", "a", "b", "b"])
    >>> bool((chunk[:, 0] == chunk[:, 1]).all() and (chunk[:, 2] == chunk[:, 3]).all())
    True
    """
    if n_resamples < 1:
        raise InvalidArray(f"n_resamples is {n_resamples}, expected at least 1")
    rng = generator(seed)
    base = as_weights(weights, n=n)
    units, unit_of_row = n, None
    unit_weights = base
    stratum_of_unit: IntArray | None = None
    if groups is not None:
        unit_of_row, units = as_codes(groups, n=n, name="groups")
        unit_weights = np.ones(units)
    if strata is not None:
        codes, _ = as_codes(strata, n=n, name="strata")
        stratum_of_unit = codes if unit_of_row is None else _stratum_of_group(codes, unit_of_row, units)
    draw = _unit_sampler(unit_weights, stratum_of_unit)
    chunk = max(1, MAX_CHUNK_ELEMENTS // max(n, units))
    for start in range(0, n_resamples, chunk):
        counts = np.empty((min(chunk, n_resamples - start), units))
        for row in counts:
            draw(rng, row)
        yield counts if unit_of_row is None else counts[:, unit_of_row] * base


def _unit_sampler(
    unit_weights: FloatArray, stratum_of_unit: IntArray | None
) -> Callable[[np.random.Generator, FloatArray], None]:
    """A function that fills one row with the counts of one resample."""
    if stratum_of_unit is None:
        members = [np.arange(unit_weights.size)]
    else:
        order = np.argsort(stratum_of_unit, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(stratum_of_unit))[:-1])
    plans: list[tuple[IntArray, int, FloatArray | None]] = []
    for member in members:
        w = unit_weights[member]
        shares = None if (w == 1).all() else w / w.sum()
        plans.append((member, round(float(w.sum())), shares))

    def draw(rng: np.random.Generator, row: FloatArray) -> None:
        for member, size, shares in plans:
            if shares is not None:
                drawn = rng.multinomial(size, shares)
            else:
                # Counting random positions is five times faster than a multinomial of equal shares.
                drawn = np.bincount(rng.integers(0, member.size, size=size), minlength=member.size)
            if len(plans) == 1:
                row[:] = drawn
            else:
                row[member] = drawn

    return draw


def _stratum_of_group(strata: IntArray, group_of_row: IntArray, n_groups: int) -> IntArray:
    stratum = np.empty(n_groups, dtype=np.int64)
    stratum[group_of_row] = strata
    if (stratum[group_of_row] != strata).any():
        raise InvalidArray(
            "a group spans several strata",
            cure="Stratify by something that is constant within a group, or drop `strata`.",
        )
    return stratum


def cell_totals(cells: IntArray, weights: FloatArray, n_cells: int) -> FloatArray:
    """Sum of weights (n,) per cell, shape (n_cells,), of records in cells (n,) numbered from 0.

    Examples
    --------
    >>> cell_totals(np.array([0, 1, 1]), np.array([1.0, 1.0, 2.0]), 3).tolist()
    [1.0, 3.0, 0.0]
    """
    return np.bincount(cells, weights=weights, minlength=n_cells).astype(np.float64, copy=False)


def resampled_cell_totals(
    cells: IntArray,
    n_cells: int,
    *,
    n_resamples: int = 1000,
    seed: Seed = 0,
    weights: FloatArray | None = None,
    groups: ArrayLike | None = None,
) -> FloatArray:
    """Totals of weights per cell in each bootstrap resample, exactly as from resampled rows.

    Parameters
    ----------
    cells : array of shape (n,)
        Cell of each record, 0 .. n_cells-1.
    n_cells : int
        Number of cells.
    n_resamples : int
        Number of bootstrap resamples.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.

    Returns
    -------
    array of shape (n_resamples, n_cells)

    Examples
    --------
    >>> totals = resampled_cell_totals(np.array([0, 0, 0, 1]), 2, n_resamples=20_000)
    >>> float(totals.sum(axis=1).min()), totals.mean(axis=0).round(1).tolist()
    (4.0, [3.0, 1.0])
    """
    rng = generator(seed)
    n = cells.size
    base = as_weights(weights, n=n)
    if groups is None:
        totals = cell_totals(cells, base, n_cells)
        used = np.flatnonzero(totals)
        shares = totals[used] / totals.sum()
        result = np.zeros((n_resamples, n_cells))
        result[:, used] = rng.multinomial(round(float(totals.sum())), shares, size=n_resamples)
        return result
    from scipy.sparse import csr_array

    codes, n_groups = as_codes(groups, n=n, name="groups")
    per_group = csr_array((base, (codes, cells)), shape=(n_groups, n_cells))
    chunks = resample_weights(n_groups, n_resamples=n_resamples, seed=rng)
    return np.concatenate([counts @ per_group for counts in chunks])
