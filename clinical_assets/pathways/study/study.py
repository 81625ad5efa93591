"""The study of a micro-cohort: designs and families side by side, by the study's protocol and by the honest one.

What belongs here: what is run, with which budget, and the headline. What does not: how a protocol works
(``protocols``), what the features carry (``ablation``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.pathways.study.designs import Design, StudyData
from clinical_assets.pathways.study.pieces import Pieces, compute_anew, one_thread_per_fit
from clinical_assets.pathways.study.plain_results import honest_protocol_of, study_protocol_of
from clinical_assets.pathways.study.protocols import (
    HonestProtocol,
    Outer,
    StudyProgress,
    StudyProtocol,
    honest_protocol,
    needed_for,
    study_protocol,
)
from clinical_assets.pathways.study.removal import refuse_impossible
from clinical_assets.pathways.study.study_results import (
    AblatedRow,
    Removal,
    StudyResult,
    StudyRow,
    ablated_of,
    ablated_row,
    best_of_all,
    row_nulls,
)
from clinical_assets.pathways.study.sweep import Family, Labels, families, full_families

#: A row judged both ways.
Judged = tuple[StudyProtocol, HonestProtocol]


class StudyError(ClinicalAssetsError):
    """A study that asks for a design or family it does not have."""


@dataclass(frozen=True)
class Budget:
    """How much computing a study may cost.

    Attributes
    ----------
    families : tuple of Family
    outer, n_folds, repeats, inner_folds
        Of the honest protocol, as in `protocols.honest_protocol`.
    permutations : int
        Of the null; 0 runs none. p cannot be smaller than 1/(1 + permutations). It costs `permutations` times the
        whole study.
    primary : (str, str) or None
        Design and family named before anyone looked. The null is then of this row alone; without it, of the best of
        all rows, since the best is what a reader takes home.
    level : float
        Level that p is compared with; fewer permutations than 1/level - 1 could never reach it and are refused.
    removals : tuple of Removal
        Ablations that are results to choose from: with permuted labels they are run too, unless a row is primary.
    """

    families: tuple[Family, ...] = field(default_factory=families)
    outer: Outer = "folds"
    n_folds: int = 5
    repeats: int = 1
    inner_folds: int = 3
    permutations: int = 19
    primary: tuple[str, str] | None = None
    level: float = 0.05
    removals: tuple[Removal, ...] = ()


def full_budget() -> Budget:
    """The study's sweep of 324 forests, ten repeats of the folds, 199 permutations."""
    return Budget(families=full_families(), repeats=10, inner_folds=5, permutations=199)


def micro_cohort_study(
    data: StudyData,
    *,
    budget: Budget | None = None,
    seed: int = 0,
    progress: StudyProgress | None = None,
    pieces: Pieces = compute_anew,
) -> StudyResult:
    """Run every design with every family by both protocols, and the permutation null.

    Parameters
    ----------
    data : StudyData
        Designs and labels.
    budget : Budget, optional
        Families, folds, repeats and permutations; by default those of `Budget`.
    seed : int
        Everything random follows from it; every fit runs on one thread.
    progress : callable, optional
        Called with (what, done, total).
    pieces : callable, optional
        Given a key and how to compute its plain value, returns the value; lets a run that was stopped go on.

    Raises
    ------
    StudyError
        The primary row is not there, or there are too few permutations for the level.
    """
    plan = budget or Budget()
    by_name = {family.name: family for family in plan.families}
    if plan.primary is not None:
        data.design(plan.primary[0])
        if plan.primary[1] not in by_name:
            raise StudyError(f"no family {plan.primary[1]!r} in the budget", cure=f"choose from {sorted(by_name)}")
    for removal in plan.removals:
        refuse_impossible(data.design(removal.design), removal.n_removed)
        if removal.family not in by_name:
            raise StudyError(f"no family {removal.family!r} to remove from", cure=f"choose from {sorted(by_name)}")
    if plan.permutations:
        refuse_too_few(plan.permutations, plan.level, what="permutations")
    report = progress or _silent
    pairs = [(design, family) for design in data.designs for family in plan.families]
    with one_thread_per_fit():
        rows = tuple(
            _both_ways(data, design, family, plan, seed, pieces, report, (2 * number, 2 * len(pairs)))
            for number, (design, family) in enumerate(pairs)
        )
        report("protocols", 2 * len(pairs), 2 * len(pairs))
        permuted = [
            (design, family)
            for design, family in pairs
            if plan.permutations and plan.primary in (None, (design.name, family.name))
        ]
        nulls = _nulls(data, permuted, rows, plan, seed, pieces, report)
    return StudyResult(
        rows=rows,
        **nulls,
        n=data.y.size,
        events=int(data.y.sum()),
        positive=data.positive,
        negative=data.negative,
        seed=seed,
        n_features={d.name: len(d.features) for d in data.designs},
        synthetic=data.synthetic,
        primary=plan.primary,
    )


def refuse_too_few(number: int, level: float, *, what: str) -> None:
    """Refuse a null that could not reach the level whatever the data.

    Raises
    ------
    StudyError
        Naming how many are needed: p is at least 1/(1 + number).
    """
    needed = needed_for(level)
    if number < needed:
        raise StudyError(
            f"{number} {what} can give no p below {1 / (1 + number):.3g}, the level is {level:g}",
            cure=f"ask for at least {needed}",
        )


def _both_ways(
    data: StudyData,
    design: Design,
    family: Family,
    plan: Budget,
    seed: int,
    pieces: Pieces,
    report: StudyProgress,
    at: tuple[int, int],
) -> StudyRow:
    what = f"{design.name}, {family.name}"
    report(f"study's protocol: {what}", *at)
    study = pieces(f"study|{what}", lambda: plain(study_protocol(design, data.y, family, seed=seed), finite=False))
    report(f"honest protocol: {what}", at[0] + 1, at[1])
    honest = pieces(
        f"honest|{what}", lambda: plain(_honest(data, design.name, family, plan, seed, data.y), finite=False)
    )
    return _row(design.name, family.name, study_protocol_of(study), honest_protocol_of(honest))


def _honest(data: StudyData, design: str, family: Family, plan: Budget, seed: int, y: Labels) -> HonestProtocol:
    return honest_protocol(
        data.design(design),
        y,
        family,
        seed=seed,
        outer=plan.outer,
        n_folds=plan.n_folds,
        repeats=plan.repeats,
        inner_folds=plan.inner_folds,
    )


def _row(design: str, family: str, study: StudyProtocol, honest: HonestProtocol) -> StudyRow:
    told, true = study.cross_validated, honest.performance
    precision = None
    if told.precision is not None and true.precision is not None:
        precision = told.precision.value - true.precision.value
    return StudyRow(
        design,
        family,
        study,
        honest,
        optimism=told.balanced_accuracy.value - true.balanced_accuracy.value,
        optimism_precision=precision,
        optimism_recall=told.recall.value - true.recall.value,
    )


def _nulls(
    data: StudyData,
    pairs: Sequence[tuple[Design, Family]],
    rows: Sequence[StudyRow],
    plan: Budget,
    seed: int,
    pieces: Pieces,
    report: StudyProgress,
) -> dict[str, Any]:
    """Every row with the same permuted labels, so that the best of all can be taken permutation by permutation."""
    if not pairs:
        return {"nulls": ()}
    rng = np.random.default_rng(seed + 1)
    labels = [rng.permutation(data.y) for _ in range(plan.permutations)]
    removals = plan.removals if plan.primary is None else ()

    def without_top(y: Labels, judged: Mapping[tuple[str, str], Judged]) -> list[Any]:
        return [
            plain(
                ablated_row(
                    data.design(one.design),
                    y,
                    next(family for family in plan.families if family.name == one.family),
                    one,
                    study=judged[one.design, one.family][0],
                    honest=judged[one.design, one.family][1],
                    outer=plan.outer,
                    n_folds=plan.n_folds,
                    repeats=plan.repeats,
                    inner_folds=plan.inner_folds,
                    seed=seed,
                ),
                finite=False,
            )
            for one in removals
        ]

    def whole(y: Labels) -> dict[str, Any]:
        judged = {
            (design.name, family.name): (
                study_protocol(design, y, family, seed=seed),
                _honest(data, design.name, family, plan, seed, y),
            )
            for design, family in pairs
        }
        return {"rows": [_values(*both) for both in judged.values()], "ablated": without_top(y, judged)}

    true = {(row.design, row.family): (row.study, row.honest) for row in rows}
    ablated: tuple[AblatedRow, ...] = ()
    if removals:
        report("without the top features", 0, 1)
        ablated = ablated_of(pieces("without the top", lambda: without_top(data.y, true)))
    found = []
    for number, y in enumerate(labels):
        report("permuted labels, whole study", number, plan.permutations)
        found.append(pieces(f"permuted|{number}", lambda y=y: whole(y)))  # type: ignore[misc]
    report("permuted labels, whole study", plan.permutations, plan.permutations)
    names = [(design.name, family.name) for design, family in pairs]
    observed = np.array([_values(*true[name]) for name in names])
    permuted = np.array([one["rows"] for one in found])
    parts = {"nulls": row_nulls(names, observed, permuted)}
    if plan.primary is not None:
        return parts
    choice, falls = best_of_all(observed, permuted, ablated, [ablated_of(one["ablated"]) for one in found])
    return {**parts, "choice": choice, "ablated": ablated, "falls": falls}


def _values(study: StudyProtocol, honest: HonestProtocol) -> list[float]:
    return [study.cross_validated.balanced_accuracy.value, honest.performance.balanced_accuracy.value]


def _silent(_what: str, _done: int, _total: int) -> None:
    """Nobody asked."""
