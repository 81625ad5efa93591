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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.pathways.study.designs import Design
from clinical_assets.pathways.study.search import Configuration, SweepCriterion, criterion_values, proposed_points
from clinical_assets.pathways.study.sweep import Family, Labels
from clinical_assets.statistics.uncertainty.intervals import Estimate, proportion

FoldSplit = tuple[NDArray[np.int64], NDArray[np.int64]]
#: Called with what is being done, how much of it is done, and how much there is.
StudyProgress = Callable[[str, int, int], None]
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


def performance(y: Labels, called: FloatArray) -> Performance:
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
class ChosenBy:
    """Another criterion than balanced accuracy, and its value for the best: the number such studies report."""

    criterion: SweepCriterion
    value: float


@dataclass(frozen=True)
class StudyProtocol:
    """Result of the study's own protocol.

    Attributes
    ----------
    best : Configuration
        Best of the sweep by the family's criterion in cross-validation.
    cross_validated : Performance
        Of that best configuration in the cross-validation that chose it: the number such studies report. Its
        interval knows nothing of the choice.
    held_out : Performance or None
        Of the refitted best on the 20 % that were set aside; None if they lack a class.
    train, test : int64 arrays
        Positions of the subjects.
    n_configurations : int
    chosen_by : ChosenBy or None
        None: by balanced accuracy, which `cross_validated` holds.
    """

    best: Configuration
    cross_validated: Performance
    held_out: Performance | None
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    n_configurations: int
    chosen_by: ChosenBy | None = None


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
    called: FloatArray
    chosen: tuple[Configuration, ...]


def folds(y: Labels, n_folds: int, *, seed: int) -> Iterator[FoldSplit]:
    """Stratified folds of subjects; fewer than asked if the smaller class has fewer subjects."""
    from sklearn.model_selection import StratifiedKFold

    smallest = int(np.bincount(y, minlength=2).min())
    if smallest < 2:
        raise InsufficientData(f"the smaller class has {smallest} subjects", cure="folds need at least 2 in each")
    splitter = StratifiedKFold(min(n_folds, smallest), shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(y.size), y)


def outer_splits(y: Labels, *, outer: Outer, n_folds: int, repeats: int, seed: int) -> Iterator[tuple[int, FoldSplit]]:
    """Outer splits with the number of their repeat; leaving one subject out has one repeat."""
    if outer == "leave_one_out":
        everyone = np.arange(y.size)
        for i in everyone:
            yield 0, (np.delete(everyone, i), everyone[i : i + 1])
        return
    for repeat in range(repeats):
        for split in folds(y, n_folds, seed=seed + 7919 * repeat):
            yield repeat, split


@dataclass(frozen=True)
class Swept:
    """A sweep that was cross-validated.

    Attributes
    ----------
    configurations : tuple of Configuration
        In their order; of a Bayesian search, in the order in which they were tried.
    probability : float64 array, shape (n_configurations, n_subjects)
        Of each subject, left out.
    values : float64 array, shape (n_configurations,)
        The criterion that the best is chosen by.
    best : int
        Position of the highest value; among equals of the lowest Brier score, then of the first.
    """

    configurations: tuple[Configuration, ...]
    probability: FloatArray
    values: FloatArray
    best: int


def sweep(design: Design, y: Labels, family: Family, *, n_folds: int, seed: int) -> Swept:
    """Cross-validate a whole sweep, and choose the best by the family's criterion."""
    splits = list(folds(y, n_folds, seed=seed))
    tests = [test for _, test in splits]
    criterion, adaptive = family.selection.criterion, family.selection.adaptive

    def left_out(configurations: Sequence[Configuration]) -> FloatArray:
        probability = np.empty((len(configurations), y.size))
        for train, test in splits:
            probability[:, test] = family.predict(
                design.x[train], y[train], design.x[test], seed=seed, configurations=configurations
            )
        return probability

    if adaptive is None:
        configurations = family.configurations
        probability = left_out(configurations)
    else:
        tried: dict[Configuration, FloatArray] = {}

        def evaluate(configuration: Configuration) -> float:
            tried[configuration] = left_out([configuration])
            return float(criterion_values(criterion, y, tried[configuration] > 0.5, tests)[0])

        configurations = proposed_points(family.name, adaptive, evaluate)
        probability = np.concatenate([tried[one] for one in configurations])
    values = criterion_values(criterion, y, probability > 0.5, tests)
    brier = ((probability - y) ** 2).mean(axis=1)
    return Swept(configurations, probability, values, int(np.lexsort((brier, -values))[0]))


def study_protocol(
    design: Design, y: Labels, family: Family, *, seed: int, n_folds: int = 5, test_share: float = 0.2
) -> StudyProtocol:
    """Stratified 80/20 split, 5-fold cross-validation of the sweep on the 80 %, the best refitted, tried on the rest.

    Parameters
    ----------
    design : Design
        Features of the subjects.
    y : array of shape (n_subjects,), 0 or 1
        Labels.
    family : Family
        Kind of model with its sweep.
    seed : int
        Everything random follows from it.
    n_folds : int
        Folds of the sweep on the training part.
    test_share : float in (0, 1)
        Share of subjects held out.
    """
    from sklearn.model_selection import train_test_split

    everyone = np.arange(y.size)
    train, test = train_test_split(everyone, test_size=test_share, stratify=y, random_state=seed)
    train, test = np.sort(train), np.sort(test)
    swept = sweep(design.rows(train), y[train], family, n_folds=n_folds, seed=seed)
    best = swept.configurations[swept.best]
    called = (swept.probability[swept.best] > 0.5).astype(np.float64)
    chosen_by = family.selection.criterion
    held_out = None
    if np.unique(y[test]).size == 2:
        predicted = family.predict_one(best, design.x[train], y[train], design.x[test], seed=seed)
        held_out = performance(y[test], (predicted > 0.5).astype(np.float64))
    return StudyProtocol(
        best,
        performance(y[train], called),
        held_out,
        train,
        test,
        len(swept.configurations),
        None if chosen_by == "balanced_accuracy" else ChosenBy(chosen_by, float(swept.values[swept.best])),
    )


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
    design : Design
        Features of the subjects.
    y : array of shape (n_subjects,), 0 or 1
        Labels.
    family : Family
        Kind of model with its sweep.
    seed : int
        Everything random follows from it.
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
        swept = sweep(design.rows(train), y[train], family, n_folds=inner_folds, seed=seed + number)
        best = swept.configurations[swept.best]
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
    permuted: FloatArray
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
    y : array of shape (n,)
        True labels.
    permutations : int
        At least 1; p cannot be smaller than 1/(1 + permutations).
    seed : int
        Of the permutations.
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
    return null_against(observed, values)


def null_against(observed: float, permuted: FloatArray) -> PermutationNull:
    """A permutation null of values that are there.

    >>> import numpy as np
    >>> null_against(0.9, np.array([0.5, 0.6, 0.9])).p_value
    0.5
    """
    # Sums of fractions: equal performances may differ in the last bit.
    reached = int((permuted >= observed - 1e-12).sum())
    return PermutationNull(observed, permuted, (1 + reached) / (1 + permuted.size))


def needed_for(level: float) -> int:
    """Permutations, or random removals, without which no p can reach the level.

    >>> needed_for(0.05), needed_for(0.01), needed_for(0.25)
    (19, 99, 3)
    """
    return max(1, math.ceil(1 / level - 1e-9) - 1)
