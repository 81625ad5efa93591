"""Groups that share strength: a feature that names a group becomes the group's mean outcome, drawn to that of all.

What belongs here: the step of a pipeline that learns it inside the folds, and what it learned as plain values. What
does not: the estimator (``statistics.uncertainty.partial_pooling``).

While a model is fitted each row's group is valued by the other rows' outcomes (5 folds); otherwise a group of one case
would hand its own outcome to the model. Rows that are scored get what all training rows say, and a group that was never
seen, or is missing, the mean of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.uncertainty.partial_pooling import pooled_means

POOL_STEP = "pool"
_FOLDS = 5


@dataclass(frozen=True)
class PooledFeature:
    """What stands for the groups of one feature.

    Attributes
    ----------
    place : int
        Of the feature among all.
    groups, means : tuple of float, length k
        Numbers of groups, rising, and what the model reads instead: mean class number, 0 to the number of classes less
        one.
    otherwise : float
        For a group that was never seen.
    """

    place: int
    groups: tuple[float, ...]
    means: tuple[float, ...]
    otherwise: float

    def apply(self, column: FloatArray) -> FloatArray:
        """What the model reads for the groups (n,)."""
        if not self.groups:
            return np.full(column.shape, self.otherwise)
        known = np.asarray(self.groups)
        found = np.minimum(np.searchsorted(known, column), known.size - 1)
        return np.where(known[found] == column, np.asarray(self.means)[found], self.otherwise)


def with_pooled(X: FloatArray, features: tuple[PooledFeature, ...]) -> FloatArray:
    """Features (n, p) with means in place of groups; the same array where nothing is pooled."""
    if not features:
        return X
    values = X.copy()
    for each in features:
        values[:, each.place] = each.apply(X[:, each.place])
    return values


def learn(X: FloatArray, y: Any, place: int) -> PooledFeature:
    """What the outcomes y (n,) say of the groups in one column of X (n, p)."""
    named = ~np.isnan(X[:, place])
    levels = np.asarray(y, dtype=np.float64)
    if not named.any():
        return PooledFeature(place, (), (), float(levels.mean()))
    found = pooled_means(levels[named], X[named, place])
    return PooledFeature(place, tuple(found.groups.tolist()), tuple(found.means.tolist()), found.overall)


def pooling_step(places: tuple[int, ...], seed: int) -> Any:
    """An unfitted transformer of scikit-learn's interface for the columns at `places`."""
    return _transformer()(places=places, seed=seed)


@cache
def _transformer() -> type[Any]:
    from sklearn.base import BaseEstimator, TransformerMixin

    class PooledGroups(TransformerMixin, BaseEstimator):  # type: ignore[misc]
        """Puts means in place of groups."""

        def __init__(self, places: tuple[int, ...], seed: int) -> None:
            self.places, self.seed = places, seed

        def fit(self, X: FloatArray, y: Any) -> PooledGroups:
            self.features_ = tuple(learn(X, y, place) for place in self.places)
            return self

        def transform(self, X: FloatArray) -> FloatArray:
            return with_pooled(np.asarray(X, dtype=np.float64), self.features_)

        def fit_transform(self, X: FloatArray, y: Any) -> FloatArray:
            self.fit(X, y)
            levels, values = np.asarray(y), X.copy()
            fold = np.random.default_rng(self.seed).permutation(len(X)) % _FOLDS
            for number in range(_FOLDS):
                mine, others = fold == number, fold != number
                if not (mine.any() and others.any()):
                    continue
                for place in self.places:
                    values[mine, place] = learn(X[others], levels[others], place).apply(X[mine, place])
            return values

    return PooledGroups
