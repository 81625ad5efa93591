"""Which rows are no independent evidence: those of one subject, and of one group where the description has any.

What belongs here: numbers of such units. What does not: finding records of one person under several names (``twins``),
and which side of a split a unit falls on (``splits``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.tables import KEPT_TOGETHER
from clinical_assets.foundation.types import IntArray

if TYPE_CHECKING:
    import polars as pl


def units_of_rows(frame: pl.DataFrame, *, subject: str) -> IntArray:
    """Number of each row's unit (n,): subjects, joined where they share a value of ``kept_together``.

    A row without such a value belongs to its subject alone, and so does every row of a frame without the column.
    """
    import polars as pl

    subjects = frame[subject].rank("dense").to_numpy().astype(np.int64)
    if KEPT_TOGETHER not in frame.columns:
        return subjects
    labels = frame[KEPT_TOGETHER].cast(pl.String)
    named = np.flatnonzero(labels.is_not_null().to_numpy())
    pairs = named[neighbours(labels.rank("dense").to_numpy()[named])]
    return joined(subjects, pairs) if len(pairs) else subjects


def repeated_units(frame: pl.DataFrame, *, subject: str) -> IntArray | None:
    """As `units_of_rows`, or None where every row is a unit of its own."""
    units = units_of_rows(frame, subject=subject)
    return units if np.unique(units).size < units.size else None


def neighbours(codes: IntArray) -> IntArray:
    """Pairs of rows (m, 2) that join all rows (n,) of one code."""
    order = np.argsort(codes, kind="stable")
    same = codes[order][1:] == codes[order][:-1]
    return np.column_stack([order[:-1][same], order[1:][same]])


def joined(groups: IntArray, pairs: IntArray) -> IntArray:
    """Group numbers (n,) of which those of each pair of rows (m, 2) became one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, numbers = np.unique(groups, return_inverse=True)
    ends = numbers[pairs]
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(names.size, names.size))
    return np.asarray(connected_components(graph, directed=False)[1][numbers], dtype=np.int64)
