"""What is left without the most important features: the study's ablation, and the one that can be believed.

What belongs here: the study's removal and the one inside the folds, the null of random removal. What does not: how
features are ranked and removed (``removal``), and the verdict (``ablation_results``).

The study ranks features with the model it reports, removes the top 20, retrains the same configuration and measures
again. Three things can make precision fall there without the features carrying anything: the ranking has seen the
subjects it is judged on, the old configuration need not suit the rest, and with 16 subjects any retraining moves
the number. So the honest ablation ranks inside the training folds, compares with the removal of 20 features at random,
and sweeps anew after the removal.
"""

from __future__ import annotations

import numpy as np

from clinical_assets.foundation.canonical import plain
from clinical_assets.pathways.study.ablation_results import AblationResult, HonestAblation, conclude
from clinical_assets.pathways.study.designs import Design, StudyData
from clinical_assets.pathways.study.pieces import Pieces, compute_anew, one_thread_per_fit
from clinical_assets.pathways.study.plain_results import configuration_of
from clinical_assets.pathways.study.protocols import (
    HonestProtocol,
    StudyProgress,
    outer_splits,
    performance,
    study_protocol,
)
from clinical_assets.pathways.study.removal import AblationError, OuterFold, refuse_impossible, removed_as_study
from clinical_assets.pathways.study.search import Configuration
from clinical_assets.pathways.study.study import Budget, refuse_too_few
from clinical_assets.pathways.study.study_results import StudyRow
from clinical_assets.pathways.study.sweep import Family, Labels


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
    progress: StudyProgress | None = None,
    pieces: Pieces = compute_anew,
) -> AblationResult:
    """Remove the top features and see what remains, by the study's way and inside the folds.

    Parameters
    ----------
    data : StudyData
        Designs and labels.
    design : str
        Name of the design.
    family : Family
        Kind of model with its sweep.
    n_removed : int
        20 in the study.
    n_random : int
        Random removals for the null; p cannot be smaller than 1/(1 + n_random).
    budget : Budget, optional
        Its outer and inner folds are used.
    seed : int
        Everything random follows from it.
    saved : StudyRow, optional
        This design and family in a study of the same data, budget and seed. Its best configurations are retrained;
        without it the sweep that finds them is run again.
    progress : callable, optional
        Called with (what, done, total).
    pieces : callable, optional
        As in `study.micro_cohort_study`.

    Raises
    ------
    AblationError
        The design has no more than `n_removed` features, or the saved study is not of these data.
    StudyError
        Too few random removals for the level of the budget.
    """
    table = data.design(design)
    refuse_impossible(table, n_removed)
    if n_random < 1:
        raise AblationError("the null needs at least one random removal", cure="raise n_random")
    if saved is not None and (saved.design, saved.family) != (design, family.name):
        raise AblationError(
            f"the saved row is of {saved.design!r} and {saved.family!r}, not of {design!r} and {family.name!r}",
            cure="give the row of this design and family",
        )
    plan = budget or Budget()
    refuse_too_few(n_random, plan.level, what="random removals")
    with one_thread_per_fit():
        before = study_protocol(table, data.y, family, seed=seed) if saved is None else saved.study
        study = removed_as_study(table, data.y, family, n_removed, seed=seed, before=before)
        chosen = None if saved is None else saved.honest.chosen
        honest = _honest(table, data.y, family, n_removed, n_random, plan, seed, chosen, progress, pieces)
    if saved is not None and not np.array_equal(saved.honest.called, honest.full.called):
        raise AblationError(
            "the saved configurations do not give the saved calls: the study is of other data, budget or seed",
            cure="run the study again",
        )
    conclusion, verdict = conclude(honest, n_removed, data)
    return AblationResult(
        design, family.name, n_removed, study, honest, conclusion, verdict, data.y.size, data.synthetic
    )


def _honest(
    table: Design,
    y: Labels,
    family: Family,
    n: int,
    n_random: int,
    plan: Budget,
    seed: int,
    saved: tuple[Configuration, ...] | None,
    progress: StudyProgress | None,
    pieces: Pieces,
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
    # Drawn before anything is computed: a fold that was done by an earlier run must not change those after it.
    width = len(table.features)
    draws = [[rng.choice(width, n, replace=False) for _ in range(n_random)] for _ in splits]
    for number, (_, (train, test)) in enumerate(splits):
        if progress is not None:
            progress(f"ablation inside folds: {table.name}", number, len(splits))
        # Same seeds as `honest_protocol`, so that nothing but the removal differs.
        fold = OuterFold(table, y, family, train, test, seed + number)
        known = None if saved is None else saved[number]
        found = pieces(
            f"ablation|{table.name}|{family.name}|{number}",
            lambda fold=fold, known=known, drawn=draws[number]: plain(  # type: ignore[misc]
                fold.ablated(n, drawn, inner_folds=plan.inner_folds, known=known), finite=False
            ),
        )
        chosen.append(configuration_of(found["best"]))
        used.append(found["used"])
        seen[test] += 1
        removed[found["top"]] += 1
        full[test] += np.array(found["full"])
        same[test] += np.array(found["same"])
        anew[test] += np.array(found["anew"])
        random[:, test] += np.array(found["random"])
    if progress is not None:
        progress(f"ablation inside folds: {table.name}", len(splits), len(splits))
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
