"""Families of models and their sweeps: one fit serves as many configurations as it can.

What belongs here: the families (random forest, penalised logistic regression, small gradient booster) and how a whole
sweep is predicted at once. What does not: what the predictions are compared with (``protocols``).

A forest of 150 trees holds the forests of 5 to 149 trees grown from the same seed, and a depth limit that no tree
reaches changes nothing. So the sweep of the study costs a handful of fits, and its results are those of separate fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Configuration:
    """One point of a sweep."""

    family: str
    parameters: tuple[tuple[str, Any], ...]

    def __getitem__(self, name: str) -> Any:
        return dict(self.parameters)[name]

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.parameters)


class Family(Protocol):
    """A kind of model with its sweep."""

    @property
    def name(self) -> str: ...

    @property
    def configurations(self) -> tuple[Configuration, ...]: ...

    def predict(self, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        """Fit all configurations to (x, y): probability of class 1 for `new`, shape (n_configurations, n_new)."""
        ...

    def predict_one(self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        """The same for one configuration, shape (n_new,)."""
        ...

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Floats:
        """How much each feature counts in the fitted model, shape (n_features,); only the order matters."""
        ...


def _configurations(family: str, grid: Mapping[str, tuple[Any, ...]]) -> tuple[Configuration, ...]:
    names = tuple(grid)
    return tuple(Configuration(family, tuple(zip(names, values, strict=True))) for values in product(*grid.values()))


@dataclass(frozen=True)
class Forest:
    """Random forests (Breiman 2001, doi 10.1023/A:1010933404324) over the ranges of the study."""

    n_estimators: tuple[int, ...] = (5, 25)
    max_depth: tuple[int, ...] = (5, 20, 200)
    max_features: tuple[str | None, ...] = ("sqrt", "log2", None)
    criterion: tuple[str, ...] = ("gini", "entropy")
    name: str = field(default="random forest", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return _configurations(
            self.name,
            {
                "criterion": self.criterion,
                "max_features": self.max_features,
                "max_depth": self.max_depth,
                "n_estimators": self.n_estimators,
            },
        )

    def predict(self, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        rows: list[Floats] = []
        for criterion, max_features in product(self.criterion, self.max_features):
            unlimited, reached = self._grow(x, y, new, criterion, max_features, None, seed)
            for limit in self.max_depth:
                grown = unlimited
                if limit < reached:
                    grown, _ = self._grow(x, y, new, criterion, max_features, limit, seed)
                rows.extend(grown[n - 1] for n in self.n_estimators)
        return np.stack(rows)

    def _grow(
        self,
        x: Features,
        y: Labels,
        new: Features,
        criterion: str,
        max_features: str | None,
        depth: int | None,
        seed: int,
    ) -> tuple[Floats, int]:
        """Probabilities of the forests of 1, 2, ... trees, and the depth of the deepest tree."""
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            n_estimators=max(self.n_estimators),
            criterion=criterion,
            max_features=max_features,
            max_depth=depth,
            random_state=seed,
            n_jobs=1,
        ).fit(x, y)
        trees = np.stack([tree.tree_.predict(new)[:, 1] for tree in forest.estimators_])
        running = np.cumsum(trees, axis=0) / np.arange(1, trees.shape[0] + 1)[:, None]
        return running, max(tree.get_depth() for tree in forest.estimators_)

    def _fit(self, configuration: Configuration, x: Features, y: Labels, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed, n_jobs=1, **dict(configuration.parameters)).fit(x, y)

    def predict_one(self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        return np.asarray(self._fit(configuration, x, y, seed).predict_proba(new)[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Floats:
        return np.asarray(self._fit(configuration, x, y, seed).feature_importances_)


@dataclass(frozen=True)
class Logistic:
    """Penalised logistic regression on standardised features; l1_ratio 0 is ridge, 1 is lasso, nothing between."""

    c: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    l1_ratio: tuple[float, ...] = (0.0, 1.0)
    name: str = field(default="logistic regression", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return _configurations(self.name, {"l1_ratio": self.l1_ratio, "c": self.c})

    def _fit(self, configuration: Configuration, x: Features, y: Labels, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        ratio, c = float(configuration["l1_ratio"]), float(configuration["c"])
        if ratio == 0:
            model = LogisticRegression(C=c, l1_ratio=0.0, max_iter=2000)
        else:
            # liblinear is fast for the lasso on few rows. It penalises the intercept too: scaling makes that small.
            model = LogisticRegression(
                C=c, l1_ratio=1.0, solver="liblinear", intercept_scaling=100.0, random_state=seed, max_iter=2000
            )
        # In single precision lbfgs gives up its line search.
        return make_pipeline(StandardScaler(), model).fit(x.astype(np.float64), y)

    def predict(self, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        return np.stack([self.predict_one(c, x, y, new, seed=seed) for c in self.configurations])

    def predict_one(self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        return np.asarray(self._fit(configuration, x, y, seed).predict_proba(new.astype(np.float64))[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Floats:
        return np.abs(self._fit(configuration, x, y, seed)[-1].coef_[0])


@dataclass(frozen=True)
class Booster:
    """A small gradient booster: shallow trees, few of them; square-root feature sampling keeps it fast."""

    n_estimators: tuple[int, ...] = (10, 30)
    max_depth: tuple[int, ...] = (1, 2)
    learning_rate: tuple[float, ...] = (0.1, 0.3)
    name: str = field(default="gradient booster", init=False)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return _configurations(
            self.name,
            {"max_depth": self.max_depth, "learning_rate": self.learning_rate, "n_estimators": self.n_estimators},
        )

    def _fit(self, parameters: dict[str, Any], x: Features, y: Labels, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(max_features="sqrt", random_state=seed, **parameters).fit(x, y)

    def predict(self, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        rows: list[Floats] = []
        for depth, rate in product(self.max_depth, self.learning_rate):
            most = {"max_depth": depth, "learning_rate": rate, "n_estimators": max(self.n_estimators)}
            stages = [p[:, 1] for p in self._fit(most, x, y, seed).staged_predict_proba(new)]
            rows.extend(stages[n - 1] for n in self.n_estimators)
        return np.stack(rows)

    def predict_one(self, configuration: Configuration, x: Features, y: Labels, new: Features, *, seed: int) -> Floats:
        return np.asarray(self._fit(dict(configuration.parameters), x, y, seed).predict_proba(new)[:, 1])

    def importances(self, configuration: Configuration, x: Features, y: Labels, *, seed: int) -> Floats:
        return np.asarray(self._fit(dict(configuration.parameters), x, y, seed).feature_importances_)


def families() -> tuple[Family, ...]:
    """The three families with the sweep that a small cohort can afford."""
    return (Forest(), Logistic(), Booster())


def full_families() -> tuple[Family, ...]:
    """The study's sweep: 5 to 150 trees, depth 5 to 200; 324 forests, and finer grids for the others."""
    return (
        Forest(n_estimators=(5, 10, 15, 25, 50, 75, 100, 125, 150), max_depth=(5, 10, 25, 50, 100, 200)),
        Logistic(c=(0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)),
        Booster(n_estimators=(10, 20, 40, 80), max_depth=(1, 2, 3), learning_rate=(0.05, 0.1, 0.3)),
    )
