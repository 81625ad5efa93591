"""The inner folds of one search, and the seeds of everything that draws.

What belongs here: giving every row of a fold a score from a model that has not seen it, and what a row counts in a
fit. What does not: which settings are tried (``search``).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from clinical_assets.cohorts.decisions import SAMPLERS
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.candidate_type import AnyCandidate, Parameters
from clinical_assets.modelling.search.kinds import kind_of
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.survival.targets import followed_rows
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.splits import outer_folds
from clinical_assets.statistics.calibration.label_noise import doubted_labels

# What doubts labels: a simple model that ranks well with any candidate.
_DOUBTING, _DOUBT_FOLDS = "logistic_ridge", 5


def seed_of(seed: int, *parts: object) -> int:
    """A seed for one purpose, so that adding a candidate or fold leaves the others' draws alone."""
    text = "|".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


#: Features and target to learn from, weights of those rows, features of the rows to score.
_Prepared: TypeAlias = "tuple[FloatArray, Any, FloatArray | None, FloatArray]"


class InnerFolds:
    """The inner folds of one search; what no setting changes (imputing, scaling, sampling) is done once a fold."""

    def __init__(self, candidate: AnyCandidate, data: ModelInput, seed: int, n_splits: int, outer_fold: int) -> None:
        self.kind, self.data, self.seed = kind_of(candidate), data, seed
        self.folds = outer_folds(
            data.y, data.groups, n_splits=n_splits, seed=seed_of(seed, "inner", outer_fold), what="inner"
        )
        self._prepared: dict[tuple[int, str], _Prepared] = {}
        self._weights: dict[int, FloatArray | None] = {}

    def out_of_fold(self, parameters: Parameters, imbalance: str) -> FloatArray:
        """Raw risks of every row, each from a model that has not seen it."""
        k = len(self.data.classes)
        raw = np.empty(self.data.n if k == 2 else (self.data.n, k))
        for number, (_, test) in enumerate(self.folds):
            X, y, weights, X_test = self._fold(number, imbalance)
            drawn = "none" if imbalance in SAMPLERS else imbalance
            model = candidates.build(self.kind, parameters, n_classes=k, imbalance=drawn, seed=self.seed)[-1]
            if not self.kind.timed:
                weights = candidates.fitting_weights(y, imbalance=imbalance, weights=weights)
            model.fit(X, y, sample_weight=weights)
            raw[test] = candidates.raw_risk(model.predict_proba(X_test), floor=self.kind.floor)
        return raw

    def _seen(self, number: int) -> FloatArray | None:
        """What the rows of a fold's training part count."""
        if number not in self._weights:
            train = np.isin(np.arange(self.data.n), self.folds[number][0])
            self._weights[number] = weights_of_fit(self.kind, self.data.rows(train), self.seed)
        return self._weights[number]

    def _fold(self, number: int, imbalance: str) -> _Prepared:
        place = (number, imbalance)
        if place not in self._prepared:
            train, test = self.folds[number]
            X, y, X_test = self.data.X[train], self.data.y[train], self.data.X[test]
            weights = self._seen(number)
            refuse_flat(X)
            steps = candidates.build(
                self.kind,
                start(self.kind, y.size),
                n_classes=len(self.data.classes),
                imbalance=imbalance,
                seed=self.seed,
                minority=int(np.bincount(y).min()),
            )[:-1]
            if self.kind.timed:
                X, y, weights = followed_rows(self.data.rows(np.isin(np.arange(self.data.n), train)))
            if imbalance in SAMPLERS:
                rounded = steps.named_steps.get(candidates.SINGLE_STEP)
                sampling = steps if rounded is None else steps[:-1]  # a sampler can only be the last step
                X, y = sampling.fit_resample(X, y)
                X_test = candidates.without_sampler(sampling).transform(X_test)
                if rounded is not None:
                    X, X_test = rounded.transform(X), rounded.transform(X_test)
            elif steps.steps:
                X, X_test = steps.fit_transform(X, y), steps.transform(X_test)
            self._prepared[place] = X, y, weights, X_test
        return self._prepared[place]


def weights_of_fit(candidate: AnyCandidate, data: ModelInput, seed: int) -> FloatArray | None:
    """What each row counts in a fit before classes are balanced (n,); None where all count alike.

    Case weights, and `doubted_weight` of them for a row whose label is doubted by a ridge that did not see it, fitted
    in five folds of these rows (fewer, where a class has fewer subjects). Rows that a model is judged on are no part of
    it, and keep their labels and weights. Where the rows cannot be split, none is doubted.
    """
    kind = kind_of(candidate)
    if kind.doubted_weight == 1 or kind.given or kind.timed:
        return data.weights
    judge = replace(kind_of(_DOUBTING), pooled=kind.pooled, words=kind.words, n_features=kind.n_features)
    p = np.empty((data.n, len(data.classes)))
    splits = min(_DOUBT_FOLDS, *(np.unique(data.groups[data.y == label]).size for label in range(p.shape[1])))
    if splits < 2:
        return data.weights
    folds = outer_folds(data.y, data.groups, n_splits=splits, seed=seed_of(seed, "doubt", 0), what="label noise")
    for train, test in folds:
        pipeline = candidates.build(judge, start(judge, train.size), n_classes=p.shape[1], seed=seed)
        seen = None if data.weights is None else data.weights[train]
        candidates.fit(pipeline, data.X[train], data.y[train], imbalance="none", weights=seen)
        p[test] = pipeline.predict_proba(data.X[test])
    counted = np.where(doubted_labels(data.y, p), kind.doubted_weight, 1.0)
    return counted if data.weights is None else counted * data.weights


def refuse_flat(X: FloatArray) -> None:
    """Raise InsufficientData when no column of X (n, p) varies, in value or in absence."""
    missing = np.isnan(X)
    varies = (missing.any(axis=0) & ~missing.all(axis=0)) | (np.fmax.reduce(X, axis=0) > np.fmin.reduce(X, axis=0))
    if not varies.any():
        raise InsufficientData(
            f"no feature varies among {X.shape[0]} rows to learn from.",
            cure="Check the feature model, or use fewer folds so that more rows are left to learn from.",
        )
