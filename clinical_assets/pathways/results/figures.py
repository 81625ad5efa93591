"""Pictures of a micro-cohort: precision and recall with their intervals, and the pathway heat map.

What belongs here: functions from results to PNG bytes. What does not: any computing of results.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.expression.pair_checks import sample_plane
from clinical_assets.pathways.expression.pairing import PairedExpression
from clinical_assets.pathways.scores.bidirectional import BidirectionalScoring
from clinical_assets.pathways.scores.scores import PathwayScores
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.protocols import Performance
from clinical_assets.pathways.study.study_results import StudyResult
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Told apart by people with any colour vision (Okabe & Ito), and by shape.
_STUDY, _HONEST, _ABLATED, _RESWEPT = "#D55E00", "#0072B2", "#7F7F7F", "#009E73"
_UP, _DOWN = "#B2182B", "#2166AC"
_DPI = 110


def precision_recall_panel(result: StudyResult, *, family: str, ablations: Sequence[AblationResult] = ()) -> bytes:
    """Precision and recall of each design with 95 % intervals: as the study reports them, left out, and ablated.

    Parameters
    ----------
    result : StudyResult
        Of a whole study: every design of the family is drawn.
    family : str
        One family; the study shows random forests.
    ablations : sequence of AblationResult
        Of the same family; drawn beside their design.

    Returns
    -------
    bytes
        PNG. Where precision is not estimable (nobody called positive) a cross on the axis says so.
    """
    rows = [row for row in result.rows if row.family == family]
    by_design = {a.design: a for a in ablations if a.family == family}
    figure, axes = _subplots(1, 2, width=9.2, height=4.0)
    series: list[tuple[str, str, str, list[Performance | None]]] = [
        ("as the study reports it (best of the sweep)", _STUDY, "s", [r.study.cross_validated for r in rows]),
        ("left-out subjects (nested)", _HONEST, "o", [r.honest.performance for r in rows]),
    ]
    if by_design:
        found = [by_design.get(r.design) for r in rows]
        same = [a.honest.same_configuration if a else None for a in found]
        anew = [a.honest.new_sweep if a else None for a in found]
        series.append(("left out, without top features", _ABLATED, "v", same))
        series.append(("left out, without them, new sweep", _RESWEPT, "^", anew))
    for axis, title in zip(axes, ("precision", "recall"), strict=True):
        for k, (label, colour, marker, values) in enumerate(series):
            at = np.arange(len(rows)) + (k - (len(series) - 1) / 2) * 0.17
            for x, value in zip(at, values, strict=True):
                if value is not None:
                    _interval(axis, float(x), value.precision if title == "precision" else value.recall, colour, marker)
            axis.plot([], [], marker, color=colour, label=label)
        base = result.events / result.n if title == "precision" else 0.5
        axis.axhline(base, color="#999999", linewidth=0.8, linestyle=":")
        axis.set_xticks(range(len(rows)), [r.design.replace(" ", "\n", 1) for r in rows], fontsize=8)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xlim(-0.6, len(rows) - 0.4)
        axis.set_title(f"{title} of “{result.positive}”", fontsize=10)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="y", color="#E5E5E5", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, fontsize=8, frameon=False)
    data = "SYNTHETIC data; " if result.synthetic else ""
    figure.suptitle(
        f"{data}{family}, {result.n} subjects ({result.events} {result.positive}); bars: 95 % intervals, "
        "dotted: chance",
        fontsize=9,
        color=_UP if result.synthetic else "black",
    )
    figure.subplots_adjust(left=0.06, right=0.99, top=0.85, bottom=0.27, wspace=0.15)
    return _png(figure)


def removal_picture(ablations: Sequence[AblationResult]) -> bytes:
    """Balanced accuracy without the top features against random removal, and the study's own fall beside it; PNG."""
    figure, (axis,) = _subplots(1, 1, width=8.6, height=1.7 + 0.75 * len(ablations))
    for y, one in enumerate(ablations):
        honest, chance = one.honest, np.random.default_rng(0).uniform(-0.12, 0.12, one.honest.random_removal.size)
        axis.plot(honest.random_removal, y + chance, ".", color="#BBBBBB", markersize=5, zorder=1)
        for found, colour, marker in (
            (honest.full.performance, _HONEST, "o"),
            (honest.same_configuration, "black", "v"),
            (honest.new_sweep, _RESWEPT, "^"),
        ):
            axis.plot([found.balanced_accuracy.value], [y], marker, color=colour, markersize=8)
        told = [one.study.before.cross_validated.balanced_accuracy, one.study.cross_validated.balanced_accuracy]
        ends = [each.value for each in told]
        axis.plot(ends, [y + 0.3, y + 0.3], "-", color=_STUDY, linewidth=1)
        axis.plot(ends[:1], [y + 0.3], "s", color=_STUDY, markerfacecolor="white")
        axis.plot(ends[1:], [y + 0.3], "s", color=_STUDY)
    for label, colour, marker in (
        ("left out: as many random features removed", "#BBBBBB", "."),
        ("all features", _HONEST, "o"),
        ("without the top features", "black", "v"),
        ("without them, new sweep", _RESWEPT, "^"),
        ("the study's own number, before (open) and after", _STUDY, "s"),
    ):
        axis.plot([], [], marker, color=colour, label=label, linestyle="none")
    axis.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(ablations)), [f"{one.design}, {one.family}" for one in ablations], fontsize=8)
    axis.set_ylim(len(ablations) - 0.4, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("balanced accuracy (dotted: chance)", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="lower center", ncols=3, fontsize=7, frameon=False)
    first = ablations[0]
    data = "SYNTHETIC data; " if first.synthetic else ""
    figure.suptitle(
        f"{data}{first.n} subjects, the top {first.n_removed} features removed",
        fontsize=9,
        color=_UP if first.synthetic else "black",
    )
    height = 1.7 + 0.75 * len(ablations)
    figure.subplots_adjust(left=0.24, right=0.98, top=1 - 0.35 / height, bottom=0.98 / height)
    return _png(figure)


def pathway_heat_map(
    scores: PathwayScores,
    sets: MeasuredGeneSets,
    labels: Sequence[str | None],
    *,
    n_sets: int = 30,
    names: Sequence[str] | None = None,
    chosen_by: str | None = None,
    title: str = "Pathways by subject",
) -> bytes:
    """Statistic of the most telling pathways in every subject, subjects ordered by label; a dot marks score +1 or -1.

    Parameters
    ----------
    scores : PathwayScores
        Of the subjects that are drawn.
    sets : MeasuredGeneSets
        For the sizes beside the names.
    labels : sequence of str or None
        Clinical label of each subject.
    n_sets : int
        Sets shown: those whose statistic varies most between subjects (labels are not looked at).
    names : sequence of str, optional
        Sets to show instead, in this order.
    chosen_by : str, optional
        How `names` were chosen; stands below the title.
    title : str
        Of the picture.

    Returns
    -------
    bytes
        PNG.
    """
    column = {name: i for i, name in enumerate(scores.names)}
    wanted = varying_sets(scores, n_sets) if names is None else names
    chosen = np.array([column[name] for name in wanted], dtype=np.int64)
    how = chosen_by or (
        "sets named by the reader"
        if names is not None
        else "sets that vary most between subjects, labels not looked at"
    )
    order = np.array(sorted(range(len(labels)), key=lambda i: (labels[i] is None, str(labels[i]))), dtype=np.int64)
    values = scores.statistic[np.ix_(order, chosen)].T
    if names is None and chosen.size > 2:
        by_direction = np.argsort(-np.nan_to_num(values).mean(axis=1), kind="stable")
        chosen, values = chosen[by_direction], values[by_direction]
    called = scores.score[np.ix_(order, chosen)].T
    shown = [f"{_lines(scores.names[c])} ({sets.sizes[c]})" for c in chosen]
    lines = sum(1 + text.count("\n") for text in shown)
    width, height = 5.6 + 0.24 * len(order), 2.1 + 0.13 * lines + 0.06 * chosen.size
    figure, (axis,) = _subplots(1, 1, width=width, height=height)
    limit = max(2.0, float(np.nanquantile(np.abs(values), 0.98)))
    image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    rows, columns = np.nonzero(called)
    axis.plot(columns, rows, ".", color="black", markersize=3)
    axis.set_xticks(range(len(order)), [scores.subjects[i] for i in order], rotation=90, fontsize=6)
    axis.set_yticks(range(chosen.size), shown, fontsize=6)
    start = 0
    for label in dict.fromkeys(labels[i] for i in order):
        n = sum(labels[i] == label for i in order)
        axis.text(start + (n - 1) / 2, -0.9, f"{label or 'no label'} ({n})", ha="center", va="bottom", fontsize=8)
        if start:
            axis.axvline(start - 0.5, color="black", linewidth=1.2)
        start += n
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.02)
    beyond = int((np.abs(values) > limit).sum())
    red = "changes more than other genes" if directionless(scores) else "up in the affected sample"
    clipped = f"colours end at ±{limit:.1f}, {beyond} of {values.size} cells lie beyond"
    bar.set_label(f"z; red: {red}\n{clipped}", fontsize=6.5)
    bar.ax.tick_params(labelsize=6)
    figure.suptitle(
        ("SYNTHETIC data; " if scores.synthetic else "") + title,
        fontsize=10,
        y=1 - 0.12 / height,
        va="top",
        color=_UP if scores.synthetic else "black",
    )
    legend = f"{how}\ndots: {scores.decided_on} < {scores.alpha:g}; in brackets: measured genes"
    figure.text(0.5, 1 - 0.36 / height, legend, ha="center", va="top", fontsize=7)
    figure.subplots_adjust(left=3.9 / width, right=1 - 0.6 / width, top=1 - 1.12 / height, bottom=0.75 / height)
    return _png(figure)


def directionless(scores: PathwayScores) -> bool:
    """Whether the method looks at no direction."""
    return scores.method == BidirectionalScoring().name


def varying_sets(scores: PathwayScores, n_sets: int = 30) -> tuple[str, ...]:
    """The sets whose statistic varies most between subjects; labels are not looked at."""
    spread = np.nanstd(np.where(np.isfinite(scores.statistic), scores.statistic, np.nan), axis=0)
    return tuple(scores.names[i] for i in np.argsort(-np.nan_to_num(spread), kind="stable")[:n_sets])


def sample_picture(paired: PairedExpression) -> bytes:
    """All samples on their first two principal components, each pair joined and numbered in the order of the table.

    An exchanged pair points the other way, an outlying sample lies apart; PNG.
    """
    control, affected, shares = sample_plane(paired.control, paired.affected)
    figure, (axis,) = _subplots(1, 1, width=6.4, height=5.2)
    doubtful = {one.subject for one in paired.doubtful}
    for i, subject in enumerate(paired.subjects):
        ends = np.stack([control[i], affected[i]])
        colour = _UP if subject in doubtful else "#BBBBBB"
        axis.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=1.6 if subject in doubtful else 0.7, zorder=1)
        axis.text(float(affected[i, 0]), float(affected[i, 1]), str(i + 1), fontsize=6, color="#444444")
    axis.plot(*control.T, "o", color=_HONEST, markersize=5, label=paired.conditions[0], linestyle="none")
    axis.plot(*affected.T, "^", color=_STUDY, markersize=5, label=paired.conditions[1], linestyle="none")
    axis.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)", fontsize=8)
    axis.set_ylabel(f"component 2 ({shares[1]:.0%})", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    data = "SYNTHETIC data; " if paired.synthetic else ""
    doubt = f", red: {len(doubtful)} doubtful" if doubtful else ""
    title = f"{data}all samples, {len(paired.subjects)} subjects; a line joins the two samples of one subject{doubt}"
    figure.suptitle(title, fontsize=8, color=_UP if paired.synthetic else "black")
    figure.subplots_adjust(left=0.11, right=0.98, top=0.92, bottom=0.1)
    return _png(figure)


def optimism_picture(result: StudyResult) -> bytes:
    """Balanced accuracy with permuted labels under both protocols, and with the true labels as a line; PNG.

    Raises ValueError if the study ran no permutations.
    """
    if not result.nulls:
        raise ValueError("this study ran no permutations")
    first = result.nulls[0]
    shown = (
        [(f"{first.design}, {first.family}", first.study, first.honest)]
        if result.choice is None
        else [(f"the best of {result.choices}", result.choice.study, result.choice.honest)]
    )
    figure, axes = _subplots(1, len(shown), width=6.0, height=3.6)
    bins = np.linspace(0, 1, 21).tolist()
    for axis, (name, by_study, by_honest) in zip(axes, shown, strict=True):
        for what, colour, label in ((by_study, _STUDY, "study's protocol"), (by_honest, _HONEST, "nested")):
            axis.hist(what.permuted, bins=bins, color=colour, alpha=0.55, label=f"{label}, permuted labels")
            truth = f"{label}, true labels (p = {what.p_value:.2f})"
            axis.axvline(what.observed, color=colour, linewidth=2, label=truth)
        axis.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
        axis.set_xlabel("balanced accuracy", fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    data = "SYNTHETIC data; " if result.synthetic else ""
    figure.suptitle(f"{data}{result.n} subjects, {first.study.permuted.size} permutations", fontsize=9)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.84, bottom=0.28)
    return _png(figure)


def _interval(axis: Axes, x: float, estimate: Estimate | None, colour: str, marker: str) -> None:
    if estimate is None:
        axis.plot([x], [0], "x", color=colour, clip_on=False)
        return
    axis.plot([x, x], [estimate.ci_low, estimate.ci_high], color=colour, linewidth=1.6)
    axis.plot([x], [estimate.value], marker, color=colour, markersize=6)


def _lines(name: str, length: int = 62) -> str:
    """The whole name, in as many lines as it needs."""
    return "\n".join(textwrap.wrap(name.replace("_", "_\u200b") if " " not in name else name, length)) or name


def _subplots(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure on the Agg canvas, without pyplot: nothing global is touched, and threads may draw side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(figure.subplots(rows, columns)).ravel())


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without Software and date the same result is the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
