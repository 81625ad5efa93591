"""The study of a micro-cohort: designs and families side by side, by the study's protocol and by the honest one.

What belongs here: what is run, with which budget, and the headline. What does not: how a protocol works
(``protocols``), what the features carry (``ablation``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.designs import PATHWAYS, StudyData
from clinical_assets.pathways.protocols import (
    HonestProtocol,
    Outer,
    PermutationNull,
    Progress,
    StudyProtocol,
    honest_protocol,
    permutation_null,
    study_protocol,
)
from clinical_assets.pathways.sweep import Family, Labels, families, full_families


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
        Of the null; 0 runs none. p cannot be smaller than 1/(1 + permutations).
    permuted : tuple of (str, str)
        Design and family for which the null is run, once for each protocol. It costs `permutations` times a whole
        study of that pair.

    The default takes about two minutes of one core for 20 subjects and 2,000 genes; `full_budget` hours.
    """

    families: tuple[Family, ...] = field(default_factory=families)
    outer: Outer = "folds"
    n_folds: int = 5
    repeats: int = 1
    inner_folds: int = 3
    permutations: int = 19
    permuted: tuple[tuple[str, str], ...] = ((PATHWAYS, "random forest"), (PATHWAYS, "logistic regression"))


def full_budget() -> Budget:
    """The study's sweep of 324 forests, ten repeats of the folds, 199 permutations."""
    return Budget(families=full_families(), repeats=10, inner_folds=5, permutations=199)


@dataclass(frozen=True)
class StudyRow:
    """One design with one family, judged both ways.

    Attributes
    ----------
    design, family : str
    study : StudyProtocol
    honest : HonestProtocol
    optimism : float
        Balanced accuracy the study's protocol reports, minus the honest one.
    optimism_precision, optimism_recall : float or None
        The same for precision (None if either is not estimable) and recall.
    """

    design: str
    family: str
    study: StudyProtocol
    honest: HonestProtocol
    optimism: float
    optimism_precision: float | None
    optimism_recall: float


@dataclass(frozen=True)
class NullRow:
    """A design and family with meaningless labels, through the whole of each protocol."""

    design: str
    family: str
    study: PermutationNull
    honest: PermutationNull


@dataclass(frozen=True)
class StudyResult:
    """A study of a micro-cohort.

    Attributes
    ----------
    rows : tuple of StudyRow
        Every design with every family.
    nulls : tuple of NullRow
    n, events : int
        Subjects, and those with the positive label.
    positive, negative : str
    seed : int
    n_features : dict of str to int
        Features of each design.
    synthetic : bool
    """

    rows: tuple[StudyRow, ...]
    nulls: tuple[NullRow, ...]
    n: int
    events: int
    positive: str
    negative: str
    seed: int
    n_features: dict[str, int]
    synthetic: bool

    def headline(self) -> str:
        """What the study says, in words, with how little it rests on."""
        best = max(self.rows, key=lambda r: r.honest.performance.balanced_accuracy.value)
        told = max(self.rows, key=lambda r: r.study.cross_validated.balanced_accuracy.value)
        honest, reported = best.honest.performance.balanced_accuracy, told.study.cross_validated.balanced_accuracy
        mean = sum(r.optimism for r in self.rows) / len(self.rows)
        lines = [
            ("SYNTHETIC data. " if self.synthetic else "")
            + f"{self.n} subjects, {self.events} {self.positive}: a small cohort, every number here is uncertain.",
            f"The best of the sweep reports a balanced accuracy of {reported.value:.2f} "
            f"({told.design}, {told.family}).",
            f"Left-out subjects are classified with {honest.value:.2f} (95% interval {honest.ci_low:.2f} to "
            f"{honest.ci_high:.2f}) at best ({best.design}, {best.family}; itself the best of {len(self.rows)} rows).",
            f"Mean optimism of the study's protocol over {len(self.rows)} rows: {mean:+.2f}.",
        ]
        for null in self.nulls:
            lines.append(
                f"With permuted labels ({null.design}, {null.family}, {null.study.permuted.size} permutations) the "
                f"study's protocol still reports {null.study.permuted.mean():.2f} on average (largest "
                f"{null.study.permuted.max():.2f}; p = {null.study.p_value:.3f}), the honest one "
                f"{null.honest.permuted.mean():.2f} (p = {null.honest.p_value:.3f})."
            )
        return "\n".join(lines)


def micro_cohort_study(
    data: StudyData, *, budget: Budget | None = None, seed: int = 0, progress: Progress | None = None
) -> StudyResult:
    """Run every design with every family by both protocols, and the permutation null.

    Parameters
    ----------
    data : StudyData
    budget : Budget, optional
    seed : int
        Everything random follows from it; estimators run on one thread.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    StudyError
        The budget's null names a design or family that is not there.
    """
    plan = budget or Budget()
    by_name = {family.name: family for family in plan.families}
    for design_name, family_name in plan.permuted if plan.permutations else ():
        data.design(design_name)
        if family_name not in by_name:
            raise StudyError(f"no family {family_name!r} in the budget", cure=f"choose from {sorted(by_name)}")
    report = progress or _silent
    total = len(data.designs) * len(plan.families)
    rows: list[StudyRow] = []
    for design in data.designs:
        for family in plan.families:
            report(f"{design.name}, {family.name}", len(rows), total)
            study = study_protocol(design, data.y, family, seed=seed)
            rows.append(_row(design.name, family.name, study, _honest(data, design.name, family, plan, seed, data.y)))
    report("designs", total, total)
    nulls = tuple(
        _null(data, design_name, by_name[family_name], plan, seed, report)
        for design_name, family_name in (plan.permuted if plan.permutations else ())
    )
    return StudyResult(
        rows=tuple(rows),
        nulls=nulls,
        n=data.y.size,
        events=int(data.y.sum()),
        positive=data.positive,
        negative=data.negative,
        seed=seed,
        n_features={d.name: len(d.features) for d in data.designs},
        synthetic=data.synthetic,
    )


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


def _null(data: StudyData, design: str, family: Family, plan: Budget, seed: int, report: Progress) -> NullRow:
    def by_study(y: Labels) -> float:
        result = study_protocol(data.design(design), y, family, seed=seed)
        return result.cross_validated.balanced_accuracy.value

    def by_honest(y: Labels) -> float:
        return _honest(data, design, family, plan, seed, y).performance.balanced_accuracy.value

    def run(what: str, procedure: Callable[[Labels], float]) -> PermutationNull:
        return permutation_null(
            procedure,
            data.y,
            permutations=plan.permutations,
            seed=seed + 1,
            progress=lambda done: report(f"permuted labels, {what}: {design}, {family.name}", done, plan.permutations),
        )

    study, honest = run("study's protocol", by_study), run("honest protocol", by_honest)
    return NullRow(design, family.name, study, honest)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Nobody asked."""
