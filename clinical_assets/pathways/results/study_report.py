"""One page per study for a person: question, design, both results, ablation, what follows and what does not.

What belongs here: what stands on the page. What does not: HTML (``clinical_assets.reporting``), pictures (``figures``).
Subjects are numbers here: the page may be shown and tracked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets, go_term
from clinical_assets.pathways.results.figures import (
    optimism_picture,
    pathway_heat_map,
    precision_recall_panel,
    removal_picture,
    varying_sets,
)
from clinical_assets.pathways.scores.scores import PathwayScores
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.designs import PATHWAYS
from clinical_assets.pathways.study.protocols import Performance
from clinical_assets.pathways.study.study import Budget
from clinical_assets.pathways.study.study_results import StudyResult, StudyRow
from clinical_assets.reporting.micro_cohort_views import AblationView, StudyPage
from clinical_assets.reporting.pages import render_page
from clinical_assets.reporting.views import EmbeddedPicture, TableView
from clinical_assets.statistics.uncertainty.intervals import Estimate

#: What the picture of removed pathways must say.
LABELS_CHOSE = "sets that were most often removed: the labels chose them, so that they differ is no finding"


@dataclass(frozen=True)
class StudyBackground:
    """What the cohort's description says about the study.

    Attributes
    ----------
    title, intended_use, not_for, source, licence : str
    limits : tuple of str
    conditions : (str, str)
        Control and affected.
    statements : tuple of str
        How matrix, sets and scores were made.
    """

    title: str
    intended_use: str
    not_for: str
    source: str
    licence: str
    limits: tuple[str, ...]
    conditions: tuple[str, str]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class DrawnScores:
    """What heat maps are drawn from.

    Attributes
    ----------
    scores : PathwayScores
        With numbers for subjects.
    sets : MeasuredGeneSets
        That the scores are of.
    labels : tuple of str or None
        Of the subjects.
    """

    scores: PathwayScores
    sets: MeasuredGeneSets
    labels: tuple[str | None, ...]


def study_report(
    background: StudyBackground,
    result: StudyResult,
    budget: Budget,
    drawn: DrawnScores | None,
    *,
    ablations: Sequence[AblationResult] = (),
) -> str:
    """A study as an HTML page.

    Parameters
    ----------
    background : StudyBackground
        From the cohort's description.
    result : StudyResult
        Of the study.
    budget : Budget
        That the study was run with.
    drawn : DrawnScores or None
        None where the scores were made elsewhere: no heat map then.
    ablations : sequence of AblationResult
        Of this study; none before they were run.

    Returns
    -------
    str
        A whole document.
    """
    families = tuple(dict.fromkeys(row.family for row in result.rows))
    descriptions = {} if drawn is None else dict(zip(drawn.sets.names, drawn.sets.descriptions, strict=True))
    page = StudyPage(
        title=background.title,
        synthetic=result.synthetic,
        question=f"Can “{result.positive}” be told from “{result.negative}” by two transcriptomes of the same person, "
        f"{background.conditions[0]} and {background.conditions[1]}? {result.n} subjects, {result.events} "
        f"{result.positive}.",
        use=(
            ("Intended use", background.intended_use),
            ("Not for", background.not_for),
            ("Source", background.source),
            ("Licence", background.licence),
            ("Limits", " ".join(background.limits)),
        ),
        headline=tuple(result.headline().splitlines()),
        design=_design(result, budget),
        results=_results(result),
        panels=tuple(
            EmbeddedPicture.of(
                precision_recall_panel(result, family=family),
                title=f"Precision and recall, {family}: as the study reports them, and of left-out subjects.",
                alt=f"Precision and recall of each design with {family}; the numbers are those of the table above.",
            )
            for family in families
        ),
        null=EmbeddedPicture.of(
            optimism_picture(result),
            title="Balanced accuracy with permuted labels (bars) and with the true ones (lines).",
            alt="Histogram of balanced accuracy with permuted labels; mean, largest and p stand above.",
        )
        if result.nulls
        else None,
        ablations=tuple(_ablation(one, descriptions) for one in ablations),
        ablation_pictures=_ablation_pictures(result, drawn, ablations),
        heat_map=None
        if drawn is None
        else EmbeddedPicture.of(
            pathway_heat_map(drawn.scores, drawn.sets, drawn.labels),
            title="Evidence (z) for the pathways that vary most between subjects; the labels were not looked at.",
            alt="Heat map of pathways by subject; the names stand below, the values in pathway_scores.parquet.",
        ),
        sets=() if drawn is None else _shown_sets(drawn),
        follows=_follows(result, budget, ablations),
        follows_not=_follows_not(result, ablations),
        statements=background.statements,
    )
    return render_page(page)


def _shown_sets(drawn: DrawnScores) -> tuple[tuple[str, str, str | None], ...]:
    place = {name: i for i, name in enumerate(drawn.sets.names)}
    return tuple(
        (name, str(int(drawn.sets.sizes[place[name]])), go_term(name, drawn.sets.descriptions[place[name]]))
        for name in varying_sets(drawn.scores)
    )


def _design(result: StudyResult, budget: Budget) -> tuple[str, ...]:
    features = ", ".join(f"{name} ({n:,} features)" for name, n in result.n_features.items())
    sweeps = {row.family: row.study.n_configurations for row in result.rows}
    swept = ", ".join(f"{name} ({n} configuration{'s' if n > 1 else ''})" for name, n in sweeps.items())
    chosen = sorted({family.selection.criterion.replace("_", " ") for family in budget.families})
    outer = (
        "each subject left out once"
        if budget.outer == "leave_one_out"
        else f"{budget.n_folds} outer folds, {budget.repeats} time{'s' if budget.repeats > 1 else ''}"
    )
    lines = [
        f"Designs: {features}.",
        f"Models: {swept}; the best of a sweep is chosen by {', '.join(chosen)}.",
        "The study's protocol: 80 % of the subjects, five folds, the best of the sweep reported with the number "
        "by which it was chosen; the other 20 % set aside.",
        f"The honest protocol: {outer}; the whole sweep inside each training part, in {budget.inner_folds} folds.",
    ]
    if not budget.permutations:
        return (*lines, "No labels were permuted.")
    what = (
        f"of {result.primary[0]} with {result.primary[1]}, named beforehand"
        if result.primary
        else f"of the whole study, its best of {result.choices} taken each time"
    )
    return (
        *lines,
        f"{budget.permutations} permutations {what}; p is compared with {budget.level:g}. Seed {result.seed}.",
    )


def _results(result: StudyResult) -> TableView:
    rows = tuple(
        (
            row.design,
            row.family,
            _said(row.study.cross_validated.precision),
            _said(row.study.cross_validated.recall),
            f"{row.study.cross_validated.balanced_accuracy.value:.2f}{_chosen(row)}",
            _said(row.honest.performance.precision),
            _said(row.honest.performance.recall),
            _said(row.honest.performance.balanced_accuracy),
            f"{row.optimism:+.2f}",
        )
        for row in result.rows
    )
    columns = (
        *("design", "model", "study: precision", "study: recall", "study: balanced accuracy"),
        *("left out: precision", "left out: recall", "left out: balanced accuracy", "optimism"),
    )
    return TableView("Results by design and model", columns, (False, False, *[False] * 6, True), rows, len(rows))


def _chosen(row: StudyRow) -> str:
    by = row.study.chosen_by
    return "" if by is None else f" ({by.criterion.replace('_', ' ')}, mean of the folds: {by.value:.2f})"


def _ablation(one: AblationResult, descriptions: Mapping[str, str]) -> AblationView:
    before, after, honest = one.study.before.cross_validated, one.study.cross_validated, one.honest
    low, high = np.quantile(honest.random_removal, [0.025, 0.975])
    rows = (
        ("the study's, all features", *_three(before)),
        (f"the study's, without its top {one.n_removed}", *_three(after)),
        ("left out, all features", *_three(honest.full.performance)),
        (f"left out, without the top {one.n_removed}", *_three(honest.same_configuration)),
        ("left out, after a new sweep", *_three(honest.new_sweep)),
        (
            f"left out, {one.n_removed} random features removed",
            "",
            "",
            f"{honest.random_removal.mean():.2f} ({low:.2f} to {high:.2f} over {honest.random_removal.size})",
        ),
    )
    columns = ("protocol", "precision", "recall", "balanced accuracy")
    removed = tuple(
        (name, f"{share:.0%}", go_term(name, descriptions.get(name, ""))) for name, share in honest.often_removed
    )
    table = TableView(f"Ablation of {one.design}", columns, (False,) * 4, rows, len(rows))
    return AblationView(f"{one.design}, {one.family}", one.conclusion, one.verdict, table, removed)


def _three(found: Performance) -> tuple[str, str, str]:
    return _said(found.precision), _said(found.recall), _said(found.balanced_accuracy)


def _ablation_pictures(
    result: StudyResult, drawn: DrawnScores | None, ablations: Sequence[AblationResult]
) -> tuple[EmbeddedPicture, ...]:
    if not ablations:
        return ()
    pictures = [
        EmbeddedPicture.of(
            removal_picture(ablations),
            title="Left-out subjects without the top features against random removal, and the study's own number.",
            alt="Balanced accuracy with and without the top features; the numbers are those of the tables above.",
        )
    ]
    pictures += [
        EmbeddedPicture.of(
            precision_recall_panel(result, family=family, ablations=ablations),
            title=f"With and without the top features, {family}; the study's own point stands first.",
            alt="Precision and recall with and without the top features; the numbers are those of the tables above.",
        )
        for family in dict.fromkeys(one.family for one in ablations)
    ]
    for one in ablations:
        if one.design == PATHWAYS and drawn is not None:
            names = [name for name, _ in one.honest.often_removed]
            pictures.append(
                EmbeddedPicture.of(
                    removed_heat_map(drawn.scores, drawn.sets, drawn.labels, names),
                    title="The pathways that were most often removed. The labels chose them.",
                    alt="Heat map of the removed pathways by subject; their names stand in the folded table above.",
                )
            )
    return tuple(pictures)


def removed_heat_map(
    scores: PathwayScores, sets: MeasuredGeneSets, labels: Sequence[str | None], names: Sequence[str]
) -> bytes:
    """The heat map of removed pathways, which says that the labels chose them; PNG."""
    return pathway_heat_map(scores, sets, labels, names=names, chosen_by=LABELS_CHOSE, title="Removed pathways")


def _follows(result: StudyResult, budget: Budget, ablations: Sequence[AblationResult]) -> tuple[str, ...]:
    lines = []
    null = result.choice.honest if result.choice else result.nulls[0].honest if result.nulls else None
    if null is None:
        lines.append("Nothing about chance: no labels were permuted.")
    elif null.p_value <= budget.level:
        lines.append(
            f"Left-out subjects are told apart better than chance and choice explain (p = {null.p_value:.3f}): in this "
            f"cohort the pairs say something about “{result.positive}”."
        )
    else:
        lines.append(
            f"It is not shown that “{result.positive}” can be told from these pairs: with meaningless labels the same "
            f"procedure gives {null.permuted.mean():.2f} on average and reached {null.observed:.2f} often enough "
            f"(p = {null.p_value:.3f})."
        )
    mean = sum(row.optimism for row in result.rows) / len(result.rows)
    lines.append(f"The number that such studies report, minus what holds on left-out subjects: {mean:+.2f} on average.")
    lines += [f"{one.design}, {one.family}, without its top features: {one.conclusion}." for one in ablations]
    return tuple(lines)


def _follows_not(result: StudyResult, ablations: Sequence[AblationResult]) -> tuple[str, ...]:
    values = [row.honest.performance.balanced_accuracy for row in result.rows]
    best = max(values, key=lambda value: value.value)
    overlapping = sum(value.ci_high >= best.ci_low for value in values) - 1
    lines = [
        f"Which design or model is best: the intervals of {overlapping} of the other {len(values) - 1} rows overlap "
        "that of the best.",
        "Anything about other people: every subject is of this cohort, nobody else was looked at.",
        "Anything about the care of one person: for research, no diagnosis and no treatment.",
    ]
    if ablations:
        lines.append(
            "That the removed features cause the label, or that a fall of the study's own number shows that they do."
        )
    return tuple(lines)


def _said(estimate: Estimate | None) -> str:
    if estimate is None:
        return "nobody called"
    return f"{estimate.value:.2f} [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"
