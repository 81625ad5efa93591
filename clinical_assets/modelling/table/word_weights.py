"""Counts of words become TF-IDF: learned inside the folds, and stored as plain values.

What belongs here: the step of a pipeline that weighs the words of `modelling.notes`, and the scale that they share.
What does not: counting words in a note, which the feature statement does.

A word's count is multiplied by ln((1 + n) / (1 + d)) + 1, where d of n training rows say it, and a note's words are
divided by their Euclidean length: the definition of scikit-learn's ``TfidfVectorizer`` with its defaults. A word that
fewer training rows say than `minimum` weighs 0.

Standardising each word alone would undo this: it makes the rarest word as loud as the commonest. The words of a note
share one spread instead, the root of the mean of their variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray

WORD_STEP = "words"


@dataclass(frozen=True)
class WordBlock:
    """Places of the counts of one note's words among the features, and how many rows must say a word."""

    places: tuple[int, ...]
    minimum: int


@dataclass(frozen=True)
class WordWeights:
    """What the words of one note weigh.

    Attributes
    ----------
    places : tuple of int
        Of the words' counts among the features.
    weights : tuple of float
        Inverse document frequency of each, 0 for a word that is not read.
    """

    places: tuple[int, ...]
    weights: tuple[float, ...]

    def apply(self, counts: FloatArray) -> FloatArray:
        """TF-IDF (n, w) of counts (n, w); a count that is missing is none."""
        weighed = np.nan_to_num(counts) * np.asarray(self.weights)
        # Term by term, so that the last digit does not depend on where in memory a row lies.
        length = np.sqrt(np.add.reduce((weighed * weighed).T, axis=0))
        return np.asarray(weighed / np.where(length > 0, length, 1.0)[:, None])


def with_words(X: FloatArray, words: tuple[WordWeights, ...]) -> FloatArray:
    """Features (n, p) with TF-IDF in place of counts; the same array where no words are read."""
    if not words:
        return X
    values = np.array(X, dtype=np.float64)
    for each in words:
        values[:, each.places] = each.apply(values[:, each.places])
    return values


def learn_words(X: FloatArray, block: WordBlock) -> WordWeights:
    """What the words of a note weigh by the training rows X (n, p)."""
    said = np.count_nonzero(np.nan_to_num(X[:, block.places]) > 0, axis=0)
    weights = np.log((1 + len(X)) / (1 + said)) + 1
    return WordWeights(block.places, tuple(np.where(said >= block.minimum, weights, 0.0).tolist()))


def word_step(blocks: tuple[WordBlock, ...]) -> Any:
    """An unfitted transformer of scikit-learn's interface."""
    return _transformer()(blocks=blocks)


def shared_scale(places: tuple[int, ...], n_features: int) -> Any:
    """An unfitted scaler that drops columns that never vary and lets the columns of words share one spread.

    Parameters
    ----------
    places : tuple of int
        Of the words among the features.
    n_features : int
        Of the pipeline; column j of what comes here is made of feature j % n_features.
    """
    return _scaler()(places=places, n_features=n_features)


@cache
def _transformer() -> type[Any]:
    from sklearn.base import BaseEstimator, TransformerMixin

    class NoteTfidf(TransformerMixin, BaseEstimator):  # type: ignore[misc]
        """Weighs the counts of words."""

        def __init__(self, blocks: tuple[WordBlock, ...]) -> None:
            self.blocks = blocks

        def fit(self, X: FloatArray, y: Any = None) -> NoteTfidf:  # noqa: ARG002
            self.words_ = tuple(learn_words(X, block) for block in self.blocks)
            return self

        def transform(self, X: FloatArray) -> FloatArray:
            return with_words(X, self.words_)

    return NoteTfidf


@cache
def _scaler() -> type[Any]:
    from sklearn.base import BaseEstimator, TransformerMixin

    class SharedScale(TransformerMixin, BaseEstimator):  # type: ignore[misc]
        """Standardises columns, those of words by one spread."""

        def __init__(self, places: tuple[int, ...], n_features: int) -> None:
            self.places, self.n_features = places, n_features

        def fit(self, X: FloatArray, y: Any = None) -> SharedScale:  # noqa: ARG002
            self.kept_ = np.flatnonzero(np.ptp(X, axis=0) > 0)
            varying = X[:, self.kept_]
            self.mean_ = varying.mean(axis=0)
            variance = varying.var(axis=0)
            mine = np.isin(self.kept_ % self.n_features, self.places) & (self.kept_ < self.n_features)
            if mine.any():
                variance[mine] = variance[mine].mean()
            self.scale_ = np.sqrt(variance)
            return self

        def transform(self, X: FloatArray) -> FloatArray:
            return np.asarray((X[:, self.kept_] - self.mean_) / self.scale_)

    return SharedScale
