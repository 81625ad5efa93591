"""Twins: records of one person under several identifiers, which must not stand on both sides of a split.

Two records are twins when they are equal, or nearly so, in every feature, or equal in all features but one, and when
chance does not explain it. With few coarse features equal records are common and mean nothing, so matches are held
against what independent columns would give by chance, and near matches against how many there are in a wider circle:
by chance ten times the distance holds many times the pairs, around twins it holds hardly more.

What belongs here: finding them. What does not: which side a group of them falls on (``splits``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.table.together import joined

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial import KDTree

#: Standard deviations of every feature within which two records count as nearly equal.
NEAR = 0.005
# Around twins a circle of ten times the radius holds hardly more pairs than the near ones.
_WIDER, _CONCENTRATED = 10, 0.5
# Of what matches at most this share may be chance.
_CHANCE, _CHANCE_BUT_ONE = 0.05, 0.01
# What has so many values is a measurement; equality of fewer of them says nothing of a person.
_LEAST_VALUES, _LEAST_MEASUREMENTS = 20, 2
_MOST_PAIRS = 2
# Beyond so many rows the search for near ones would take minutes: those that are equal in all columns, or in all but
# one, are still found.
_MOST_NEAR_ROWS = 20_000
# Near pairs for each row, on average, beyond which records are coarse and people not that many times entered.
_MOST_TWINS = 20
_ABSENT = 1e6
# Two normal values lie within a small d of one another, in standard deviations, with chance d / sqrt(pi).
_DENSITY = 0.5641895835477563


@dataclass(frozen=True)
class Twins:
    """Who belongs together.

    Attributes
    ----------
    groups : array of shape (n,)
        Number of each row's group: rows of one subject, and of its twins, share it.
    rows : array of shape (n,)
        Whether a row has a twin under another identifier.
    exact : int
        Rows among them that equal a row of another subject in every feature.
    """

    groups: IntArray
    rows: NDArray[np.bool_]
    exact: int

    @property
    def count(self) -> int:
        """Rows with a twin."""
        return int(self.rows.sum())


def find_twins(X: FloatArray, groups: IntArray) -> Twins:
    """Group subjects whose records are twins.

    Parameters
    ----------
    X : array of shape (n, p)
        Features; NaN is missing, and equals itself.
    groups : array of shape (n,)
        Subject of each row.

    Returns
    -------
    Twins
        ``groups`` are those given, unchanged, where there is no twin.
    """
    n = len(groups)
    columns = [_values(column) for column in X.T]
    varying = [column for column in columns if np.unique(column).size > 1]
    measured = np.array([np.unique(column).size >= _LEAST_VALUES for column in varying])
    if measured.sum() < _LEAST_MEASUREMENTS:
        return Twins(groups, np.zeros(n, dtype=bool), 0)
    Z = np.column_stack(varying)
    pairs = np.unique(np.concatenate([_near_pairs(Z), _pairs_but_one(Z)]), axis=0)
    first, second = Z[pairs[:, 0]][:, measured], Z[pairs[:, 1]][:, measured]
    # What both lack is no likeness.
    alike = ((np.abs(first - second) <= NEAR) & (first != _ABSENT)).sum(axis=1)
    pairs = pairs[(alike >= _LEAST_MEASUREMENTS) & (groups[pairs[:, 0]] != groups[pairs[:, 1]])]
    if not pairs.size:
        return Twins(groups, np.zeros(n, dtype=bool), 0)
    rows = np.zeros(n, dtype=bool)
    rows[pairs.ravel()] = True
    equal = pairs[(Z[pairs[:, 0]] == Z[pairs[:, 1]]).all(axis=1)]
    return Twins(joined(groups, pairs), rows, int(np.unique(equal).size))


def _values(column: FloatArray) -> FloatArray:
    """In standard deviations; missing is a value of its own, far from all others."""
    known = column[~np.isnan(column)]
    spread = float(known.std()) if known.size else 0.0
    scaled = (column - (known.mean() if known.size else 0.0)) / spread if spread > 0 else np.zeros_like(column)
    return np.where(np.isnan(column), _ABSENT, scaled)


def _near_pairs(Z: FloatArray) -> IntArray:
    from scipy.spatial import KDTree

    if len(Z) > _MOST_NEAR_ROWS:
        order, same = _equal_neighbours(Z)
        pairs = np.column_stack([order[same], order[same + 1]])
    else:
        tree = KDTree(Z)
        if not _concentrated(tree):
            return np.empty((0, 2), dtype=np.int64)
        pairs = tree.query_pairs(NEAR, p=np.inf, output_type="ndarray").astype(np.int64).reshape(-1, 2)
    if not len(pairs):
        return np.empty((0, 2), dtype=np.int64)
    return np.asarray(pairs[:0] if _by_chance(Z, pairs) > _CHANCE * len(pairs) else pairs, dtype=np.int64)


def _pairs_but_one(Z: FloatArray) -> IntArray:
    """Pairs that are equal in every column but one."""
    from scipy.spatial import KDTree

    whole, place = np.unique(Z, axis=0, return_index=True)
    measured = np.array([np.unique(column).size >= _LEAST_VALUES for column in whole.T])
    found = [np.empty((0, 2), dtype=np.int64)]
    for j in range(whole.shape[1]):
        if measured.sum() - measured[j] < _LEAST_MEASUREMENTS:
            continue
        rest = np.delete(whole, j, axis=1)
        order, same = _equal_neighbours(rest)
        pairs = np.column_stack([order[same], order[same + 1]])
        starts = same.size - int((np.diff(same) == 1).sum())
        # Many records that agree but for one column are a coarse rest, and nobody's twins.
        if not same.size or same.size > _MOST_PAIRS * starts:
            continue
        if _by_chance(rest, pairs) > _CHANCE_BUT_ONE * same.size or not _concentrated(KDTree(rest)):
            continue
        found.append(place[pairs])
    return np.sort(np.concatenate(found), axis=1)


def _equal_neighbours(Z: FloatArray) -> tuple[IntArray, IntArray]:
    """An order of the rows, and the places in it at which a row equals the next one."""
    order = np.lexsort(Z.T).astype(np.int64)
    return order, np.flatnonzero((Z[order[1:]] == Z[order[:-1]]).all(axis=1)).astype(np.int64)


def _concentrated(tree: KDTree) -> bool:
    """Whether there are near pairs, not more than people can have, and hardly more in ten times the distance.

    Counted without being listed: of coarse records there may be more near pairs than fit into memory.
    """
    near, wide = ((int(tree.count_neighbors(tree, NEAR * times, p=np.inf)) - tree.n) / 2 for times in (1, _WIDER))
    return bool(0 < near <= _MOST_TWINS * tree.n and near >= _CONCENTRATED * wide)


def _by_chance(Z: FloatArray, pairs: IntArray) -> float:
    """Pairs that would match in all columns although they are nobody's twins.

    One row stands for each group of matches. The chance of a match in all columns is that in the first, times that in
    each other one given a match in the column before it that foretells it best: columns that follow from one another
    are no more evidence than one of them.
    """
    alone = joined(np.arange(len(Z)), pairs)
    rows = Z[np.unique(alone, return_index=True)[1]]
    n = len(rows)
    least = max(1 / n, NEAR * _DENSITY)
    codes = [np.unique(column, return_inverse=True)[1].astype(np.int64) for column in rows.T]
    single = [_equal_pairs(code) for code in codes]
    expected = max(single[0], least * n * (n - 1) / 2)
    for k in range(1, len(codes)):
        given = [
            _equal_pairs(codes[k] * (codes[before].max() + 1) + codes[before]) / single[before]
            for before in range(k)
            if single[before]
        ]
        marginal = single[k] / max(n * (n - 1) / 2, 1)
        expected *= max([least, marginal, *given])
    return float(expected)


def _equal_pairs(codes: IntArray) -> float:
    counts = np.unique(codes, return_counts=True)[1]
    return float((counts * (counts - 1.0)).sum() / 2)
