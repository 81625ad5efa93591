"""Families of models and their sweeps: one fit serves as many configurations as it can.

What belongs here: the families (random forest, penalised logistic regression, small gradient booster) and how many
configurations are predicted at once. What does not: which configurations are drawn and how the best is chosen
(``search``), what the predictions are compared with (``protocols``).

A forest of 150 trees holds the forests of 5 to 149 trees grown from the same seed, and a depth limit that no tree
reaches changes nothing. So the sweep of the study costs a handful of fits, and its results are those of separate fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.study.search import DEFAULT, Configuration, SweepSelection, grid

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


class Family(Protocol):
    """A kind of model with its sweep."""

    @property
    def name(self) -> str:
        """Name of the family in tables and figures."""

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every configuration of the sweep; none where the search is adaptive."""

    @property
    def selection(self) -> SweepSelection:
        """How the best of the sweep is found."""

    def predict(
        self,
        x: Features,
        y: Labels,
        new: Features,
        *,
        seed: int,
        configurations: Sequence[Configuration] | None = None,
    ) -> FloatArray:
        """Fit all configurations, or these, to (x, y): probability of class 1, shape (n_configurations, n_new)."""
        ...

    def predict_one(
        self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int
    ) -> FloatArray:
        """The same for one configuration, shape (n_new,)."""
        ...

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> FloatArray:
        """How much each feature counts in the fitted model, shape (n_features,); only the order matters."""
        ...

    def fitted(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Any:
        """The fitted scikit-learn estimator of one configuration."""
        ...


#: Trees of a model whose sweep does not say how many: scikit-learn's default.
_TREES = 100


def _alike(
    configurations: Sequence[Configuration], *, but: tuple[str, ...]
) -> dict[tuple[tuple[str, Any], ...], list[int]]:
    """Positions of the configurations that share everything but some settings."""
    groups: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for i, configuration in enumerate(configurations):
        shared = tuple((name, value) for name, value in configuration.parameters if name not in but)
        groups.setdefault(shared, []).append(i)
    return groups


def _grow(
    x: Features, y: Labels, new: Features, settings: dict[str, Any], trees: int, depth: int | None, seed: int
) -> tuple[FloatArray, int]:
    """Probabilities of the forests of 1, 2, ... trees, and the depth of the deepest tree."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(**settings, n_estimators=trees, max_depth=depth, random_state=seed, n_jobs=1).fit(
        x, y
    )
    by_tree = np.stack([tree.tree_.predict(new)[:, 1] for tree in forest.estimators_])
    running = np.cumsum(by_tree, axis=0) / np.arange(1, by_tree.shape[0] + 1)[:, None]
    return running, max(tree.get_depth() for tree in forest.estimators_)


@dataclass(frozen=True)
class Forest:
    """Random forests (Breiman 2001, doi 10.1023/A:1010933404324) over the ranges of the study."""

    n_estimators: tuple[int, ...] = (5, 25)
    max_depth: tuple[int, ...] = (5, 20, 200)
    max_features: tuple[str | None, ...] = ("sqrt", "log2", None)
    criterion: tuple[str, ...] = ("gini", "entropy")
    points: tuple[Configuration, ...] | None = None
    selection: SweepSelection = DEFAULT
    name: str = field(default="random forest", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every combination of the swept settings, or the points that replace them."""
        if self.points is not None:
            return self.points
        return grid(
            self.name,
            {
                "criterion": self.criterion,
                "max_features": self.max_features,
                "max_depth": self.max_depth,
                "n_estimators": self.n_estimators,
            },
        )

    def predict(
        self,
        x: Features,
        y: Labels,
        new: Features,
        *,
        seed: int,
        configurations: Sequence[Configuration] | None = None,
    ) -> FloatArray:
        """Probability of class 1 from each configuration, shape (n_configurations, n_new)."""
        wanted = self.configurations if configurations is None else configurations
        rows = np.empty((len(wanted), len(new)))
        for shared, positions in _alike(wanted, but=("n_estimators", "max_depth")).items():
            trees = {i: wanted[i].get("n_estimators", _TREES) for i in positions}
            limits = {i: wanted[i].get("max_depth") for i in positions}
            most, several = max(trees.values()), len(set(limits.values())) > 1
            # A depth limit that no tree reaches changes nothing.
            unlimited, reached = _grow(x, y, new, dict(shared), most, None, seed) if several else (None, 0)
            for limit in dict.fromkeys(limits.values()):
                grown = unlimited
                if grown is None or (limit is not None and limit < reached):
                    grown, _ = _grow(x, y, new, dict(shared), most, limit, seed)
                for i in positions:
                    if limits[i] == limit:
                        rows[i] = grown[trees[i] - 1]
        return rows

    def _fit(self, configuration: Configuration, x: Features, y: Labels, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed, n_jobs=1, **dict(configuration.parameters)).fit(x, y)

    def predict_one(
        self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int
    ) -> FloatArray:
        """Probability of class 1 from one configuration, shape (n_new,)."""
        return np.asarray(self._fit(configuration, x, y, seed).predict_proba(new)[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> FloatArray:
        """Mean decrease of impurity per feature, shape (n_features,)."""
        return np.asarray(self._fit(configuration, x, y, seed).feature_importances_)

    def fitted(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Any:
        """The fitted forest."""
        return self._fit(configuration, x, y, seed)


@dataclass(frozen=True)
class Logistic:
    """Penalised logistic regression on standardised features; l1_ratio 0 is ridge, 1 is lasso, nothing between."""

    c: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    l1_ratio: tuple[float, ...] = (0.0, 1.0)
    points: tuple[Configuration, ...] | None = None
    selection: SweepSelection = DEFAULT
    name: str = field(default="logistic regression", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every combination of the swept settings, or the points that replace them."""
        if self.points is not None:
            return self.points
        return grid(self.name, {"l1_ratio": self.l1_ratio, "c": self.c})

    def _fit(self, configuration: Configuration, x: Features, y: Labels, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        ratio, c = float(configuration.get("l1_ratio", 0.0)), float(configuration.get("c", 1.0))
        if ratio == 0:
            model = LogisticRegression(C=c, l1_ratio=0.0, max_iter=2000)
        else:
            # liblinear is fast for the lasso on few rows. It penalises the intercept too: scaling makes that small.
            model = LogisticRegression(
                C=c, l1_ratio=1.0, solver="liblinear", intercept_scaling=100.0, random_state=seed, max_iter=2000
            )
        # In single precision lbfgs gives up its line search.
        return make_pipeline(StandardScaler(), model).fit(x.astype(np.float64), y)

    def predict(
        self,
        x: Features,
        y: Labels,
        new: Features,
        *,
        seed: int,
        configurations: Sequence[Configuration] | None = None,
    ) -> FloatArray:
        """Probability of class 1 from each configuration, shape (n_configurations, n_new)."""
        wanted = self.configurations if configurations is None else configurations
        return np.stack([self.predict_one(c, x, y, new, seed=seed) for c in wanted])

    def predict_one(
        self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int
    ) -> FloatArray:
        """Probability of class 1 from one configuration, shape (n_new,)."""
        return np.asarray(self._fit(configuration, x, y, seed).predict_proba(new.astype(np.float64))[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> FloatArray:
        """Absolute coefficient per standardised feature, shape (n_features,)."""
        return np.asarray(np.abs(self._fit(configuration, x, y, seed)[-1].coef_[0]))

    def fitted(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Any:
        """The fitted pipeline of scaler and regression."""
        return self._fit(configuration, x, y, seed)


@dataclass(frozen=True)
class Booster:
    """A small gradient booster: shallow trees, few of them; square-root feature sampling keeps it fast."""

    n_estimators: tuple[int, ...] = (10, 30)
    max_depth: tuple[int, ...] = (1, 2)
    learning_rate: tuple[float, ...] = (0.1, 0.3)
    points: tuple[Configuration, ...] | None = None
    selection: SweepSelection = DEFAULT
    name: str = field(default="gradient booster", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every combination of the swept settings, or the points that replace them."""
        if self.points is not None:
            return self.points
        return grid(
            self.name,
            {"max_depth": self.max_depth, "learning_rate": self.learning_rate, "n_estimators": self.n_estimators},
        )

    def _fit(self, parameters: dict[str, Any], x: Features, y: Labels, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(**{"max_features": "sqrt", **parameters}, random_state=seed).fit(x, y)

    def predict(
        self,
        x: Features,
        y: Labels,
        new: Features,
        *,
        seed: int,
        configurations: Sequence[Configuration] | None = None,
    ) -> FloatArray:
        """Probability of class 1 from each configuration, shape (n_configurations, n_new)."""
        wanted = self.configurations if configurations is None else configurations
        rows = np.empty((len(wanted), len(new)))
        for shared, positions in _alike(wanted, but=("n_estimators",)).items():
            trees = {i: wanted[i].get("n_estimators", _TREES) for i in positions}
            most = {**dict(shared), "n_estimators": max(trees.values())}
            stages = [p[:, 1] for p in self._fit(most, x, y, seed).staged_predict_proba(new)]
            for i in positions:
                rows[i] = stages[trees[i] - 1]
        return rows

    def predict_one(
        self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int
    ) -> FloatArray:
        """Probability of class 1 from one configuration, shape (n_new,)."""
        return np.asarray(self._fit(dict(configuration.parameters), x, y, seed).predict_proba(new)[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> FloatArray:
        """Mean decrease of impurity per feature, shape (n_features,)."""
        return np.asarray(self._fit(dict(configuration.parameters), x, y, seed).feature_importances_)

    def fitted(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Any:
        """The fitted booster."""
        return self._fit(dict(configuration.parameters), x, y, seed)


@dataclass(frozen=True)
class UntunedForest(Forest):
    """scikit-learn's forest as it comes, 100 trees and nothing swept: what the study calls "without the sweep"."""

    points: tuple[Configuration, ...] | None = (Configuration("untuned forest", (("n_estimators", _TREES),)),)
    name: str = field(default="untuned forest", init=False)


def families() -> tuple[Forest, Logistic, Booster]:
    """The three families with the sweep that a small cohort can afford."""
    return (Forest(), Logistic(), Booster())


def full_families() -> tuple[Forest, Logistic, Booster]:
    """The study's sweep: 5 to 150 trees, depth 5 to 200; 324 forests, and finer grids for the others."""
    return (
        Forest(n_estimators=(5, 10, 15, 25, 50, 75, 100, 125, 150), max_depth=(5, 10, 25, 50, 100, 200)),
        Logistic(c=(0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)),
        Booster(n_estimators=(10, 20, 40, 80), max_depth=(1, 2, 3), learning_rate=(0.05, 0.1, 0.3)),
    )
