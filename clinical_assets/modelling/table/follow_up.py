"""Times and events behind the classes at a horizon, and the rows that were censored before it.

What belongs here: the follow-up of rows, in step with them through holdout and folds. A row that was censored before
the horizon has no class and is never judged by one; models of times to an event learn from it, and it stands on the
side of a split on which its carrier stands, a row with a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.tables import FOLLOW_UP_DAYS, RECORD_WEIGHT
from clinical_assets.foundation.types import FloatArray, IntArray

if TYPE_CHECKING:
    import polars as pl

#: What ended a follow-up.
CENSORED, EVENT, COMPETING = 0, 1, 2


@dataclass(frozen=True)
class RowFollowUp:
    """Follow-up of n rows with a class, and of m rows that were censored before the horizon.

    Attributes
    ----------
    days : array of shape (n,)
        Days from the prediction to the end of follow-up, above 0; cut at nothing.
    event : array of shape (n,)
        0 censored, 1 the event, 2 a competing event, at the end of follow-up.
    horizon : float
        Days after the prediction by which the event counts.
    case_weights : array of shape (n,) or None
        Of the records by the description's column of role weight, without what they stand for of the censored.
    censored_frame : polars.DataFrame
        Rows that were censored before the horizon, sorted by key, in the columns of the table.
    censored_X : array of shape (m, p)
        Their features; NaN is missing.
    censored_groups : array of shape (m,)
        Their subjects, numbered as those of the rows.
    carrier : array of shape (m,)
        Places of the rows on whose side of a split they stand.
    """

    days: FloatArray
    event: IntArray
    horizon: float
    case_weights: FloatArray | None
    censored_frame: pl.DataFrame
    censored_X: FloatArray  # noqa: N815
    censored_groups: IntArray
    carrier: IntArray

    @property
    def censored_days(self) -> FloatArray:
        """Days from the prediction to the end of follow-up (m,), below the horizon."""
        return np.asarray(self.censored_frame[FOLLOW_UP_DAYS].to_numpy())

    @property
    def censored_case_weights(self) -> FloatArray | None:
        """Case weights (m,) of the censored, as `case_weights`."""
        return None if self.case_weights is None else np.asarray(self.censored_frame[RECORD_WEIGHT].to_numpy())

    @property
    def competes(self) -> bool:
        """True when a competing event ended some follow-up."""
        return bool((self.event == COMPETING).any())

    def rows(self, chosen: NDArray[np.bool_]) -> RowFollowUp:
        """Of the rows where `chosen` (n,) is true, with the censored that they carry."""
        carried = chosen[self.carrier]
        return RowFollowUp(
            self.days[chosen],
            self.event[chosen],
            self.horizon,
            None if self.case_weights is None else self.case_weights[chosen],
            self.censored_frame.filter(carried),
            self.censored_X[carried],
            self.censored_groups[carried],
            (np.cumsum(chosen) - 1)[self.carrier[carried]],
        )

    def columns(self, kept: Sequence[int]) -> RowFollowUp:
        """With some of the features."""
        return replace(self, censored_X=np.ascontiguousarray(self.censored_X[:, list(kept)]))

    def grouped(self, before: IntArray, after: IntArray) -> RowFollowUp:
        """With the groups `after` (n,), in each of which groups of `before` (n,) became one."""
        names, first = np.unique(before, return_index=True)
        place = np.clip(np.searchsorted(names, self.censored_groups), 0, names.size - 1)
        known = names[place] == self.censored_groups
        others = after.max() + 1 + np.unique(self.censored_groups, return_inverse=True)[1]
        return replace(self, censored_groups=np.where(known, after[first[place]], others))


def carriers(groups: IntArray, censored: IntArray, *, alike: tuple[IntArray, IntArray] | None, seed: int) -> IntArray:
    """A row for each that was censored, beside which it stands in every split.

    Parameters
    ----------
    groups : array of shape (n,)
        Subjects of the rows.
    censored : array of shape (m,)
        Subjects of the censored, in the same numbers.
    alike : pair of arrays of shape (n,) and (m,), optional
        Strata that are left out as a whole, such as hospitals.
    seed : int
        Of the draw.

    Returns
    -------
    array of shape (m,)
        A row of the same subject; else one drawn from the same stratum; else one drawn from all. A part of the rows
        gets about its share of the censored.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, groups.size, size=censored.size)
    row_strata, strata = (groups[:0], censored[:0]) if alike is None else alike
    for label in np.unique(strata):
        mine, theirs = np.flatnonzero(row_strata == label), strata == label
        if mine.size:
            drawn[theirs] = rng.choice(mine, size=int(theirs.sum()))
    names, first = np.unique(groups, return_index=True)
    place = np.clip(np.searchsorted(names, censored), 0, names.size - 1)
    return np.where(names[place] == censored, first[place], drawn).astype(np.int64)
