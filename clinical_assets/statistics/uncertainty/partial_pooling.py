"""Means of many groups, the small ones drawn to the mean of all: partial pooling by empirical Bayes.

What belongs here: the estimator on plain arrays. What does not: where a model uses it (``modelling.table.pooling``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray


@dataclass(frozen=True)
class PooledMeans:
    """Means by group.

    Attributes
    ----------
    groups : array of shape (k,)
        Labels, sorted.
    means : array of shape (k,)
        Drawn to `overall`.
    overall : float
        Mean of the distribution that the groups come from: what is best said of a group that was never seen.
    between, within : float
        Variances of the groups' true means, and of single values in a group.
    """

    groups: FloatArray
    means: FloatArray
    overall: float
    between: float
    within: float


def pooled_means(values: ArrayLike, groups: ArrayLike) -> PooledMeans:
    """Mean of each group, n t / (n t + s) of the way from the mean of all to its own.

    With n values in the group, t the variance between groups and s that within, both by the method of moments
    (one-way analysis of variance for groups of unequal size). Values of one group alone say nothing of s: where no
    group has two values, or groups differ no more than chance makes them, t is 0 and every group gets the mean of all.

    Parameters
    ----------
    values : array of shape (n,)
        Finite numbers.
    groups : array of shape (n,)
        Label of each value's group; a number, not NaN.

    Raises
    ------
    InsufficientData
        There is no value.
    InvalidArray
        Shapes differ, or something is no finite number.

    Sources: Searle, Casella & McCulloch 1992, Variance Components, section 3.6 (the variances); Efron & Morris 1975,
    doi 10.1080/01621459.1975.10479864 (drawing the means).

    Examples
    --------
    >>> found = pooled_means([0, 0, 1, 0, 4, 4, 5, 4, 5], [1, 1, 1, 1, 2, 2, 2, 2, 3])
    >>> [round(mean, 2) for mean in found.means.tolist()]  # own means: 0.25, 4.25, 5; the third rests on one value
    [0.28, 4.24, 4.94]
    >>> round(found.overall, 2)
    3.15
    """
    y, labels = np.asarray(values, dtype=np.float64), np.asarray(groups, dtype=np.float64)
    if y.ndim != 1 or y.shape != labels.shape:
        raise InvalidArray(f"values have shape {y.shape} and groups {labels.shape}; expected (n,) both")
    if not (np.isfinite(y).all() and np.isfinite(labels).all()):
        raise InvalidArray("values and groups must be finite numbers")
    if y.size == 0:
        raise InsufficientData("there is no value to take a mean of", cure="Pass at least one.")
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    own = np.bincount(place, weights=y) / counts
    n, k = y.size, names.size
    within = float(((y - own[place]) ** 2).sum() / (n - k)) if n > k else float("inf")
    between = 0.0
    if k > 1 and np.isfinite(within):
        mean_square = float((counts * (own - y.mean()) ** 2).sum() / (k - 1))
        usual = (n - float((counts**2).sum()) / n) / (k - 1)
        between = max(0.0, (mean_square - within) / usual)
    if between == 0:
        return PooledMeans(names, np.full(k, y.mean()), float(y.mean()), 0.0, within)
    sure = counts / (counts * between + within)
    overall = float((sure * own).sum() / sure.sum())
    drawn = counts * between / (counts * between + within)
    return PooledMeans(names, overall + drawn * (own - overall), overall, between, within)
