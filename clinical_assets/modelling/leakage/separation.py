"""How much one column alone says about the outcome: the measures behind the search for leaks.

What belongs here: separation of classes by a column's values or by their absence, and values that only one class has.
What does not: what is done about it (``leakage``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.discrimination.discrimination import auroc, auroc_statistic

# More distinct values than this are a measurement, not a code.
MOST_LEVELS = 50


@dataclass(frozen=True)
class Separation:
    """AUROC of one column in its better direction, and the class it separates from the rest."""

    auroc: float
    label: int
    n: int
    events: int


@dataclass(frozen=True)
class Levels:
    """Rows by distinct value (NaN is one) and class.

    Attributes
    ----------
    values : array of shape (l,)
    counts : array of shape (l, k)
    of_row : array of shape (n,)
        Level of each row.
    """

    values: FloatArray
    counts: IntArray
    of_row: IntArray

    @property
    def agreement(self) -> float:
        """Share of rows in the commonest class of their level: 1 when the column determines the class."""
        return float(self.counts.max(axis=1).sum() / self.counts.sum())


def separation(x: FloatArray, y: IntArray, *, n_classes: int) -> Separation | None:
    """How well the known values of one column x (n,) separate the classes; None where there are too few.

    Each class against the rest, in either direction; .5 is no separation, 1 is complete. A class needs 2 known values,
    and so does the rest.
    """
    known = ~np.isnan(x)
    values, classes = x[known], y[known]
    best: Separation | None = None
    for label in range(1, n_classes) if n_classes == 2 else range(n_classes):
        own = classes == label
        events = int(own.sum())
        if min(events, own.size - events) < 2:
            continue
        area = float(auroc_statistic(own, values)(np.ones((1, own.size)))[0])
        area = max(area, 1 - area)
        if best is None or area > best.auroc:
            best = Separation(area, label, int(own.size), events)
    return best


def surely_above(limit: float, x: FloatArray, y: IntArray, found: Separation) -> bool:
    """Whether the AUROC exceeds `limit` by more than its own uncertainty: complete, or the lower bound above.

    The bound is DeLong's 95 % interval on the scale of the AUROC itself. A strong measurement can pass a limit by
    luck; a copy of the outcome does not stop there.
    """
    known = ~np.isnan(x)
    own, values = y[known] == found.label, x[known]
    estimate = auroc(own, values, scale="identity")
    if estimate.value < 0.5:
        estimate = auroc(own, -values, scale="identity")
    return estimate.value == 1 or estimate.ci_low > limit


def levels_of(x: FloatArray, y: IntArray, *, n_classes: int) -> Levels | None:
    """Rows of a column x (n,) by level and class, or None when it has too many distinct values to be a code."""
    values, of_row = np.unique(x, return_inverse=True)
    of_row = of_row.reshape(-1)
    if values.size > min(MOST_LEVELS, max(2, x.size // 5)):
        return None
    counts = np.bincount(of_row * n_classes + y, minlength=values.size * n_classes)
    return Levels(values, counts.reshape(values.size, n_classes).astype(np.int64), of_row.astype(np.int64))


def chance_of_pure_level(size: int, *, n: int, of_class: int) -> float:
    """Probability that `size` rows drawn from n without replacement all belong to a class of `of_class` rows.

    The hypergeometric probability C(of_class, size) / C(n, size), in [0, 1].
    """
    if size > of_class:
        return 0.0
    total = math.lgamma(of_class + 1) - math.lgamma(of_class - size + 1)
    return math.exp(total - math.lgamma(n + 1) + math.lgamma(n - size + 1))
