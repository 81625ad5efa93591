"""Two ways to say how good a model of 20 subjects is: the study's, and the honest one.

What belongs here: splits, the best of a sweep, nested cross-validation, the permutation null, performance with
intervals. What does not: which designs and families are compared (``study``), what happens without the top features
(``ablation``).

The study's protocol chooses the best of a sweep by cross-validation and reports the number it was chosen by. The
honest protocol repeats the whole choice inside every training fold, so that no subject helps to choose the model it
is predicted with (Varma & Simon 2006, doi 10.1186/1471-2105-7-91). The difference is the optimism.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.errors import InsufficientData
from clinical_assets.pathways.designs import Design
from clinical_assets.pathways.sweep import Configuration, Family, Floats, Labels
from clinical_assets.statistics.intervals import Estimate, proportion

Split = tuple[NDArray[np.int64], NDArray[np.int64]]
#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
Outer = Literal["folds", "leave_one_out"]


@dataclass(frozen=True)
class Performance:
    """How well subjects were classified.

    Attributes
    ----------
    precision : Estimate or None
        Of those called positive, the share that is; None if nobody was called positive.
    recall : Estimate
        Of the positive, the share called so.
    specificity : Estimate
    balanced_accuracy : Estimate
        Mean of recall and specificity; .5 is chance.

    Notes
    -----
    Proportions carry Clopper-Pearson intervals with the subject as unit: repeats of the folds are averaged first and
    add no subjects. Balanced accuracy combines the two intervals by MOVER (Zou & Donner 2008, doi 10.1002/sim.3095).
    """

    precision: Estimate | None
    recall: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate


def performance(y: Labels, called: Floats) -> Performance:
    """Performance of calls.

    Parameters
    ----------
    y : array, shape (n,)
        1 positive, 0 not. Both must occur.
    called : array, shape (n,)
        Share of repeats in which a subject was called positive; 0 or 1 with one repeat.

    Raises
    ------
    InsufficientData
        A class is missing.
    """
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if not positives or not negatives:
        raise InsufficientData(
            f"{positives} positive and {negatives} negative subjects", cure="both classes are needed to judge"
        )
    true, false = float(called[y == 1].sum()), float(called[y == 0].sum())
    recall = proportion(true, positives, method="clopper-pearson")
    specificity = proportion(negatives - false, negatives, method="clopper-pearson")
    centre = (recall.value + specificity.value) / 2
    low = centre - math.hypot(recall.value - recall.ci_low, specificity.value - specificity.ci_low) / 2
    high = centre + math.hypot(recall.ci_high - recall.value, specificity.ci_high - specificity.value) / 2
    precision = proportion(true, true + false, method="clopper-pearson") if true + false > 0 else None
    balanced = Estimate(centre, max(0.0, low), min(1.0, high), y.size, positives, "mover of clopper-pearson")
    return Performance(precision, recall, specificity, balanced)


@dataclass(frozen=True)
class StudyProtocol:
    """Result of the study's own protocol.

    Attributes
    ----------
    best : Configuration
        Best of the sweep by cross-validated balanced accuracy.
    cross_validated : Performance
        Of that best configuration in the cross-validation that chose it: the number such studies report. Its
        interval knows nothing of the choice.
    held_out : Performance or None
        Of the refitted best on the 20 % that were set aside; None if they lack a class.
    train, test : int64 arrays
        Positions of the subjects.
    n_configurations : int
    """

    best: Configuration
    cross_validated: Performance
    held_out: Performance | None
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    n_configurations: int


@dataclass(frozen=True)
class HonestProtocol:
    """Result of nested cross-validation.

    Attributes
    ----------
    performance : Performance
    called : float64 array, shape (n_subjects,)
        Share of repeats in which a subject, left out, was called positive.
    chosen : tuple of Configuration
        What the inner sweep chose in each outer fold.
    """

    performance: Performance
    called: Floats
    chosen: tuple[Configuration, ...]


def folds(y: Labels, n_folds: int, *, seed: int) -> Iterator[Split]:
    """Stratified folds of subjects; fewer than asked if the smaller class has fewer subjects."""
    from sklearn.model_selection import StratifiedKFold

    smallest = int(np.bincount(y, minlength=2).min())
    if smallest < 2:
        raise InsufficientData(f"the smaller class has {smallest} subjects", cure="folds need at least 2 in each")
    splitter = StratifiedKFold(min(n_folds, smallest), shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(y.size), y)


def outer_splits(y: Labels, *, outer: Outer, n_folds: int, repeats: int, seed: int) -> Iterator[tuple[int, Split]]:
    """Outer splits with the number of their repeat; leaving one subject out has one repeat."""
    if outer == "leave_one_out":
        everyone = np.arange(y.size)
        for i in everyone:
            yield 0, (np.delete(everyone, i), everyone[i : i + 1])
        return
    for repeat in range(repeats):
        for split in folds(y, n_folds, seed=seed + 7919 * repeat):
            yield repeat, split


def best_of_sweep(
    design: Design, y: Labels, family: Family, *, n_folds: int, seed: int
) -> tuple[Configuration, Floats]:
    """Cross-validate the whole sweep; the best configuration and its left-out calls, shape (n,).

    Best is the highest balanced accuracy; among equals the lowest Brier score, then the first of the sweep.
    """
    probability = np.empty((len(family.configurations), y.size))
    for train, test in folds(y, n_folds, seed=seed):
        probability[:, test] = family.predict(design.x[train], y[train], design.x[test], seed=seed)
    called = probability > 0.5
    hit = called == (y == 1)
    balanced = (hit[:, y == 1].mean(axis=1) + hit[:, y == 0].mean(axis=1)) / 2
    brier = ((probability - y) ** 2).mean(axis=1)
    best = int(np.lexsort((brier, -balanced))[0])
    return family.configurations[best], called[best].astype(np.float64)


def study_protocol(
    design: Design, y: Labels, family: Family, *, seed: int, n_folds: int = 5, test_share: float = 0.2
) -> StudyProtocol:
    """Stratified 80/20 split, 5-fold cross-validation of the sweep on the 80 %, the best refitted, tried on the rest.

    Parameters
    ----------
    design : Design
    y : array, shape (n_subjects,)
    family : Family
    seed : int
    n_folds : int
    test_share : float
    """
    from sklearn.model_selection import train_test_split

    everyone = np.arange(y.size)
    train, test = train_test_split(everyone, test_size=test_share, stratify=y, random_state=seed)
    train, test = np.sort(train), np.sort(test)
    best, called = best_of_sweep(design.rows(train), y[train], family, n_folds=n_folds, seed=seed)
    held_out = None
    if np.unique(y[test]).size == 2:
        predicted = family.predict_one(best, design.x[train], y[train], design.x[test], seed=seed)
        held_out = performance(y[test], (predicted > 0.5).astype(np.float64))
    return StudyProtocol(best, performance(y[train], called), held_out, train, test, len(family.configurations))


def honest_protocol(
    design: Design,
    y: Labels,
    family: Family,
    *,
    seed: int,
    outer: Outer = "folds",
    n_folds: int = 5,
    repeats: int = 1,
    inner_folds: int = 3,
) -> HonestProtocol:
    """Nested cross-validation with the whole sweep inside every outer training fold.

    Parameters
    ----------
    outer : {"folds", "leave_one_out"}
        Stratified folds, repeated, or each subject once. Leaving one out of a balanced cohort is pessimistic when
        there is nothing to find: the left-out class is then the rarer one in training.
    n_folds, repeats : int
        Of the outer folds.
    inner_folds : int
        Of the sweep inside.
    """
    total = np.zeros(y.size)
    seen = np.zeros(y.size)
    chosen = []
    for number, (_, (train, test)) in enumerate(
        outer_splits(y, outer=outer, n_folds=n_folds, repeats=repeats, seed=seed)
    ):
        best, _ = best_of_sweep(design.rows(train), y[train], family, n_folds=inner_folds, seed=seed + number)
        predicted = family.predict_one(best, design.x[train], y[train], design.x[test], seed=seed + number)
        total[test] += predicted > 0.5
        seen[test] += 1
        chosen.append(best)
    called = total / seen
    return HonestProtocol(performance(y, called), called, tuple(chosen))


@dataclass(frozen=True)
class PermutationNull:
    """What the whole procedure gives when the labels mean nothing.

    Attributes
    ----------
    observed : float
        Balanced accuracy with the true labels.
    permuted : float64 array, shape (B,)
        The same with labels exchanged between subjects.
    p_value : float
        (1 + #{permuted >= observed}) / (1 + B) (Phipson & Smyth 2010, doi 10.2202/1544-6115.1585).
    """

    observed: float
    permuted: Floats
    p_value: float


def permutation_null(
    procedure: Callable[[Labels], float],
    y: Labels,
    *,
    permutations: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> PermutationNull:
    """Run a whole procedure with true and with permuted labels.

    Parameters
    ----------
    procedure : callable
        Labels to balanced accuracy; everything that looks at labels must be inside it.
    permutations : int
        At least 1; p cannot be smaller than 1/(1 + permutations).
    progress : callable, optional
        Called with the number of permutations done.
    """
    if permutations < 1:
        raise InsufficientData("a permutation null needs at least one permutation", cure="raise permutations")
    rng = np.random.default_rng(seed)
    observed = procedure(y)
    values = np.empty(permutations)
    for b in range(permutations):
        values[b] = procedure(rng.permutation(y))
        if progress is not None:
            progress(b + 1)
    # Sums of fractions: equal performances may differ in the last bit.
    reached = int((values >= observed - 1e-12).sum())
    return PermutationNull(observed, values, (1 + reached) / (1 + permutations))
