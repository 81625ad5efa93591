"""Removal of the most important features: as the study does it, and inside the outer folds.

What belongs here: ranking, removing, retraining. What does not: the null of random removal and the verdict
(``ablation``), the null of permuted labels (``study``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.study.ablation_results import StudyAblation
from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.protocols import StudyProtocol, folds, performance, sweep
from clinical_assets.pathways.study.search import Configuration
from clinical_assets.pathways.study.sweep import Family, Labels

FeaturePositions = NDArray[np.int64]


class AblationError(ClinicalAssetsError):
    """An ablation that cannot be done: nothing would be left, or the saved study does not fit."""


def refuse_impossible(table: Design, n_removed: int) -> None:
    """Refuse to remove nothing, or everything."""
    if not 0 < n_removed < len(table.features):
        raise AblationError(
            f"{n_removed} of {len(table.features)} features of {table.name!r} cannot be removed",
            cure="remove fewer, and at least one",
        )


def removed_as_study(
    table: Design, y: Labels, family: Family, n: int, *, seed: int, before: StudyProtocol
) -> StudyAblation:
    """Rank once, remove the top, retrain the saved configuration on the study's own split."""
    train, test = before.train, before.test
    top, used = _top(before.best, family, table.rows(train), y[train], n, seed)
    rest = table.without(top)
    called = np.zeros(train.size)
    for fit, check in folds(y[train], 5, seed=seed):
        called[check] = _called(family, before.best, rest.rows(train), y[train], fit, check, seed)
    held_out = None
    if before.held_out is not None:
        held_out = performance(y[test], _called(family, before.best, rest, y, train, test, seed).astype(np.float64))
    return StudyAblation(before, performance(y[train], called), held_out, tuple(table.features[i] for i in top), used)


@dataclass(frozen=True)
class OuterFold:
    """One outer fold of an ablation."""

    table: Design
    y: Labels
    family: Family
    train: FeaturePositions
    test: FeaturePositions
    seed: int

    def ablated(
        self, n: int, draws: Sequence[FeaturePositions], *, inner_folds: int, known: Configuration | None
    ) -> dict[str, object]:
        """Calls of the left-out subjects with all features, without the top, and without as many random ones."""
        rows, y = self.table.rows(self.train), self.y[self.train]
        best = known or self._best(rows, inner_folds)
        top, used = _top(best, self.family, rows, y, n, self.seed)
        rest = self.table.without(top)
        again = self._best(rest.rows(self.train), inner_folds)
        return {
            "best": best,
            "top": top,
            "used": used,
            "full": self._called(best, self.table),
            "same": self._called(best, rest),
            "anew": self._called(again, rest),
            "random": [self._called(best, self.table.without(drawn)) for drawn in draws],
        }

    def _best(self, rows: Design, inner_folds: int) -> Configuration:
        swept = sweep(rows, self.y[self.train], self.family, n_folds=inner_folds, seed=self.seed)
        return swept.configurations[swept.best]

    def _called(self, configuration: Configuration, table: Design) -> NDArray[np.bool_]:
        return _called(self.family, configuration, table, self.y, self.train, self.test, self.seed)


def _top(
    configuration: Configuration, family: Family, table: Design, y: Labels, n: int, seed: int
) -> tuple[list[int], int]:
    """Positions of the n most important features, most important first, and how many of them the model uses.

    A small forest or a lasso uses fewer features than n. The rest of the n are drawn at random among those it does
    not use: taken in the table's order they would look like findings.
    """
    importance = family.importances(configuration, table.x, y, seed=seed)
    chance = np.random.default_rng(seed).random(importance.size)
    top = np.lexsort((chance, -importance))[:n]
    return [int(i) for i in top], int((importance[top] > 0).sum())


def _called(
    family: Family,
    configuration: Configuration,
    table: Design,
    y: Labels,
    train: FeaturePositions,
    test: FeaturePositions,
    seed: int,
) -> NDArray[np.bool_]:
    """Fit on the training subjects and call the others."""
    return np.asarray(family.predict_one(configuration, table.x[train], y[train], table.x[test], seed=seed) > 0.5)
