"""What is left without the most important features: the study's ablation, and the one that can be believed.

What belongs here: removal, retraining, the null of random removal. What does not: protocols and sweeps, and the
verdict (``verdicts``).

The study ranks features with the model it reports, removes the top 20, retrains the same configuration and measures
again. Three things can make precision fall there without the features carrying anything: the ranking has seen the
subjects it is judged on, the old configuration need not suit the rest, and with 16 subjects any retraining moves
the number. So the honest ablation ranks inside the training folds, compares with the removal of 20 features at random,
and sweeps anew after the removal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.designs import Design, StudyData
from clinical_assets.pathways.protocols import (
    HonestProtocol,
    Performance,
    Progress,
    StudyProtocol,
    best_of_sweep,
    folds,
    outer_splits,
    performance,
    study_protocol,
)
from clinical_assets.pathways.study import Budget, StudyRow
from clinical_assets.pathways.sweep import Configuration, Family, Floats, Labels
from clinical_assets.pathways.verdicts import Conclusion, conclude

Positions = NDArray[np.int64]


class AblationError(ClinicalAssetsError):
    """An ablation that cannot be done: nothing would be left, or the saved study does not fit."""


@dataclass(frozen=True)
class StudyAblation:
    """The study's ablation: one ranking, one retraining of the saved configuration.

    Attributes
    ----------
    before : StudyProtocol
    cross_validated, held_out : Performance (held_out None if the 20 % lack a class)
        After removal, same configuration, same split.
    removed : tuple of str
        Most important first.
    n_used : int
        How many of them the model used at all (importance above 0); the rest were drawn among the unused.
    """

    before: StudyProtocol
    cross_validated: Performance
    held_out: Performance | None
    removed: tuple[str, ...]
    n_used: int


@dataclass(frozen=True)
class HonestAblation:
    """Ablation inside the folds.

    Attributes
    ----------
    full : HonestProtocol
        Nothing removed.
    same_configuration : Performance
        Top features of the training subjects removed, their configuration retrained.
    new_sweep : Performance
        The same removal, the sweep run anew on what is left.
    random_removal : float64 array, shape (n_random,)
        Balanced accuracy after removing as many features at random, same configuration.
    p_value : float
        Of the null "the top features are like any others": (1 + #{random <= same configuration}) / (1 + n_random).
    often_removed : tuple of (str, float)
        Features and the share of training folds in which they were among the top.
    n_used : float
        Of the removed features, how many the model used at all (importance above 0); median over folds.
    """

    full: HonestProtocol
    same_configuration: Performance
    new_sweep: Performance
    random_removal: Floats
    p_value: float
    often_removed: tuple[tuple[str, float], ...]
    n_used: float


@dataclass(frozen=True)
class AblationResult:
    """Both ablations of a design and family.

    Attributes
    ----------
    design, family : str
    n_removed : int
    study : StudyAblation
    honest : HonestAblation
    conclusion : str
        One of ``no signal to ablate``, ``features carried the signal``, ``data are redundant``, ``inconclusive``.
    verdict : str
        The conclusion with its evidence, in words.
    n : int
        Subjects.
    synthetic : bool
    """

    design: str
    family: str
    n_removed: int
    study: StudyAblation
    honest: HonestAblation
    conclusion: Conclusion
    verdict: str
    n: int
    synthetic: bool


def ablation(
    data: StudyData,
    *,
    design: str,
    family: Family,
    n_removed: int = 20,
    n_random: int = 99,
    budget: Budget | None = None,
    seed: int = 0,
    saved: StudyRow | None = None,
    progress: Progress | None = None,
) -> AblationResult:
    """Remove the top features and see what remains, by the study's way and inside the folds.

    Parameters
    ----------
    data : StudyData
    design : str
        Name of the design.
    family : Family
    n_removed : int
        20 in the study.
    n_random : int
        Random removals for the null; p cannot be smaller than 1/(1 + n_random).
    budget : Budget, optional
        Its outer and inner folds are used.
    seed : int
    saved : StudyRow, optional
        This design and family in a study of the same data, budget and seed. Its best configurations are retrained;
        without it the sweep that finds them is run again.
    progress : callable, optional

    Raises
    ------
    AblationError
        The design has no more than `n_removed` features, or the saved study is not of these data.
    """
    table = data.design(design)
    if not 0 < n_removed < len(table.features):
        raise AblationError(
            f"{n_removed} of {len(table.features)} features of {design!r} cannot be removed",
            cure="remove fewer, and at least one",
        )
    if n_random < 1:
        raise AblationError("the null needs at least one random removal", cure="raise n_random")
    if saved is not None and (saved.design, saved.family) != (design, family.name):
        raise AblationError(
            f"the saved row is of {saved.design!r} and {saved.family!r}, not of {design!r} and {family.name!r}",
            cure="give the row of this design and family",
        )
    before = study_protocol(table, data.y, family, seed=seed) if saved is None else saved.study
    study = _study(table, data.y, family, n_removed, seed, before)
    chosen = None if saved is None else saved.honest.chosen
    honest = _honest(table, data.y, family, n_removed, n_random, budget or Budget(), seed, chosen, progress)
    if saved is not None and not np.array_equal(saved.honest.called, honest.full.called):
        raise AblationError(
            "the saved configurations do not give the saved calls: the study is of other data, budget or seed",
            cure="run the study again",
        )
    conclusion, verdict = conclude(honest, n_removed, data)
    return AblationResult(
        design, family.name, n_removed, study, honest, conclusion, verdict, data.y.size, data.synthetic
    )


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
    train: Positions,
    test: Positions,
    seed: int,
) -> NDArray[np.bool_]:
    """Fit on the training subjects and call the others."""
    return np.asarray(family.predict_one(configuration, table.x[train], y[train], table.x[test], seed=seed) > 0.5)


def _study(table: Design, y: Labels, family: Family, n: int, seed: int, before: StudyProtocol) -> StudyAblation:
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


def _honest(
    table: Design,
    y: Labels,
    family: Family,
    n: int,
    n_random: int,
    plan: Budget,
    seed: int,
    saved: tuple[Configuration, ...] | None,
    progress: Progress | None,
) -> HonestAblation:
    rng = np.random.default_rng(seed)
    splits = list(outer_splits(y, outer=plan.outer, n_folds=plan.n_folds, repeats=plan.repeats, seed=seed))
    if saved is not None and len(saved) != len(splits):
        raise AblationError(
            f"the saved study has {len(saved)} outer folds, this budget {len(splits)}", cure="give the study's budget"
        )
    seen = np.zeros(y.size)
    full, same, anew = np.zeros(y.size), np.zeros(y.size), np.zeros(y.size)
    random = np.zeros((n_random, y.size))
    removed = np.zeros(len(table.features))
    chosen: list[Configuration] = []
    used: list[int] = []
    for number, (_, (train, test)) in enumerate(splits):
        if progress is not None:
            progress("ablation inside folds", number, len(splits))
        # Same seeds as `honest_protocol`, so that nothing but the removal differs.
        at = seed + number
        best = (
            saved[number]
            if saved is not None
            else best_of_sweep(table.rows(train), y[train], family, n_folds=plan.inner_folds, seed=at)[0]
        )
        chosen.append(best)
        top, n_used = _top(best, family, table.rows(train), y[train], n, at)
        used.append(n_used)
        rest = table.without(top)
        again, _ = best_of_sweep(rest.rows(train), y[train], family, n_folds=plan.inner_folds, seed=at)
        seen[test] += 1
        removed[top] += 1
        full[test] += _called(family, best, table, y, train, test, at)
        same[test] += _called(family, best, rest, y, train, test, at)
        anew[test] += _called(family, again, rest, y, train, test, at)
        for b in range(n_random):
            fewer = table.without(rng.choice(len(table.features), n, replace=False))
            random[b, test] += _called(family, best, fewer, y, train, test, at)
    if progress is not None:
        progress("ablation inside folds", len(splits), len(splits))
    after = performance(y, same / seen)
    null = np.array([performance(y, calls / seen).balanced_accuracy.value for calls in random])
    reached = int((null <= after.balanced_accuracy.value + 1e-12).sum())
    often = np.argsort(-removed, kind="stable")[:n]
    return HonestAblation(
        full=HonestProtocol(performance(y, full / seen), full / seen, tuple(chosen)),
        same_configuration=after,
        new_sweep=performance(y, anew / seen),
        random_removal=null,
        p_value=(1 + reached) / (1 + n_random),
        often_removed=tuple((table.features[i], float(removed[i]) / len(splits)) for i in often),
        n_used=float(np.median(used)),
    )
