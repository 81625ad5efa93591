"""How the best of a sweep is searched and chosen: grid, random or Bayesian, by one of three criteria.

What belongs here: settings and their ranges, which points of them are tried, by what the best is chosen. What does not:
the models (``sweep``), the splits (``protocols``).

Points of a grid and of a random search look at no labels and are the same everywhere. A Bayesian search looks at
labels with every proposal: it is part of what is repeated inside each training fold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.types import FloatArray


@dataclass(frozen=True)
class Configuration:
    """One point of a sweep."""

    family: str
    parameters: tuple[tuple[str, Any], ...]

    def __getitem__(self, name: str) -> Any:
        return dict(self.parameters)[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, or the default where the sweep does not speak of it."""
        return dict(self.parameters).get(name, default)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.parameters)


#: By what the best of a sweep is chosen: pooled over the folds (balanced accuracy), or the mean of the folds, as
#: scikit-learn and the study do (accuracy; precision of both classes, macro).
SweepCriterion = Literal["balanced_accuracy", "accuracy", "precision_macro"]


@dataclass(frozen=True)
class Range:
    """An interval that a setting is drawn from, both ends included.

    Attributes
    ----------
    low, high : float
    log : bool
        Drawn evenly on the logarithmic scale.
    whole : bool
        Whole numbers.
    step : float or None
        Multiples of it from `low` on; never with `log`.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    step: float | None = None


#: Each setting with its values or its range.
Space = tuple[tuple[str, tuple[Any, ...] | Range], ...]


@dataclass(frozen=True)
class Adaptive:
    """Bayesian search: each configuration is proposed from the results of those before it.

    Attributes
    ----------
    space : Space
    budget : int
        Configurations that are tried.
    seed : int
        Of the proposals.
    """

    space: Space
    budget: int
    seed: int = 0


@dataclass(frozen=True)
class SweepSelection:
    """How the best of a sweep is found.

    Attributes
    ----------
    criterion : SweepCriterion
    adaptive : Adaptive or None
        None tries all configurations of the family.
    """

    criterion: SweepCriterion = "balanced_accuracy"
    adaptive: Adaptive | None = None


#: All configurations, and the best by balanced accuracy.
DEFAULT = SweepSelection()


def grid(family: str, grid: Mapping[str, tuple[Any, ...]]) -> tuple[Configuration, ...]:
    """Every combination of the settings, the last changing fastest."""
    names = tuple(grid)
    return tuple(Configuration(family, tuple(zip(names, values, strict=True))) for values in product(*grid.values()))


def random_points(family: str, space: Space, *, budget: int, seed: int) -> tuple[Configuration, ...]:
    """Points drawn independently from a space; repeats are tried once.

    >>> space = (("max_depth", Range(5, 200, log=True, whole=True)), ("criterion", ("gini", "entropy")))
    >>> [str(point) for point in random_points("random forest", space, budget=2, seed=1)]
    ['max_depth=31, criterion=entropy', 'max_depth=8, criterion=entropy']
    """
    rng = np.random.default_rng(seed)
    drawn = [Configuration(family, tuple((name, _draw(rng, of)) for name, of in space)) for _ in range(budget)]
    return tuple(dict.fromkeys(drawn))


def _draw(rng: np.random.Generator, of: tuple[Any, ...] | Range) -> Any:
    if not isinstance(of, Range):
        return of[int(rng.integers(len(of)))]
    if of.step is not None:
        steps = math.floor((of.high - of.low) / of.step + 1e-9)
        value = of.low + of.step * int(rng.integers(steps + 1))
        return int(value) if of.whole else float(value)
    # A whole number stands for the interval of one around it, so that both ends are as likely as the others.
    low, high = (of.low - 0.5, of.high + 0.5) if of.whole else (of.low, of.high)
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if of.log else rng.uniform(low, high)
    return int(min(max(round(value), of.low), of.high)) if of.whole else float(value)


def proposed_points(
    family: str, adaptive: Adaptive, evaluate: Callable[[Configuration], float]
) -> tuple[Configuration, ...]:
    """Points of a Bayesian search in the order in which they were tried; repeats are evaluated once.

    Tree-structured Parzen estimator of optuna (Watanabe 2023, arXiv 2304.11127).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    startup = max(1, min(10, adaptive.budget // 3))
    sampler = optuna.samplers.TPESampler(seed=adaptive.seed, n_startup_trials=startup)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    values: dict[Configuration, float] = {}
    for _ in range(adaptive.budget):
        trial = study.ask()
        point = Configuration(family, tuple((name, _suggested(trial, name, of)) for name, of in adaptive.space))
        if point not in values:
            values[point] = evaluate(point)
        study.tell(trial, values[point])
    return tuple(values)


def _suggested(trial: Any, name: str, of: tuple[Any, ...] | Range) -> Any:
    if not isinstance(of, Range):
        return trial.suggest_categorical(name, of)
    if of.whole:
        return trial.suggest_int(name, int(of.low), int(of.high), step=int(of.step or 1), log=of.log)
    return trial.suggest_float(name, of.low, of.high, step=of.step, log=of.log)


def criterion_values(
    criterion: SweepCriterion, y: NDArray[np.int64], called: NDArray[np.bool_], tests: Sequence[NDArray[np.int64]]
) -> FloatArray:
    """The criterion of every configuration, shape (n_configurations,).

    Parameters
    ----------
    criterion : SweepCriterion
        Which one.
    y : int64 array, shape (n,)
        1 positive, 0 not.
    called : bool array, shape (n_configurations, n)
        Left-out subjects called positive.
    tests : sequence of int64 arrays
        Positions of the subjects of each fold. A class that nobody of a fold is called has precision 0 there, as in
        scikit-learn.

    >>> y = np.array([1, 1, 0, 0])
    >>> called = np.array([[True, True, False, True]])
    >>> folds = [np.array([0, 2]), np.array([1, 3])]
    >>> [float(criterion_values(c, y, called, folds)[0]) for c in ("balanced_accuracy", "accuracy", "precision_macro")]
    [0.75, 0.75, 0.625]
    """
    hit = called == (y == 1)
    if criterion == "balanced_accuracy":
        return np.asarray((hit[:, y == 1].mean(axis=1) + hit[:, y == 0].mean(axis=1)) / 2)
    if criterion == "accuracy":
        return np.asarray(np.mean([hit[:, test].mean(axis=1) for test in tests], axis=0))
    by_fold = []
    for test in tests:
        part, right = called[:, test], hit[:, test]
        yes, no = part.sum(axis=1), (~part).sum(axis=1)
        precision = (right & part).sum(axis=1) / np.maximum(yes, 1)
        negative = (right & ~part).sum(axis=1) / np.maximum(no, 1)
        by_fold.append((precision + negative) / 2)
    return np.asarray(np.mean(by_fold, axis=0))
