"""Pictures of a micro-cohort: precision and recall with their intervals, and the pathway heat map.

What belongs here: functions from results to PNG bytes. What does not: any computing of results.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.pathways.ablation import AblationResult
from clinical_assets.pathways.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.protocols import Performance
from clinical_assets.pathways.scores import PathwayScores
from clinical_assets.pathways.study import StudyResult
from clinical_assets.statistics.intervals import Estimate

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


def pathway_heat_map(
    scores: PathwayScores,
    sets: MeasuredGeneSets,
    labels: Sequence[str | None],
    *,
    n_sets: int = 30,
    names: Sequence[str] | None = None,
) -> bytes:
    """Statistic of the most telling pathways in every subject, subjects ordered by label; a dot marks score +1 or -1.

    Parameters
    ----------
    scores : PathwayScores
    sets : MeasuredGeneSets
        For the sizes beside the names.
    labels : sequence of str or None
        Clinical label of each subject.
    n_sets : int
        Sets shown: those whose statistic varies most between subjects (labels are not looked at).
    names : sequence of str, optional
        Sets to show instead, in this order.

    Returns
    -------
    bytes
        PNG.
    """
    column = {name: i for i, name in enumerate(scores.names)}
    spread = np.nanstd(np.where(np.isfinite(scores.statistic), scores.statistic, np.nan), axis=0)
    chosen = (
        np.array([column[name] for name in names])
        if names is not None
        else np.argsort(-np.nan_to_num(spread), kind="stable")[:n_sets]
    )
    order = np.array(sorted(range(len(labels)), key=lambda i: (labels[i] is None, str(labels[i]))), dtype=np.int64)
    values = scores.statistic[np.ix_(order, chosen)].T
    if names is None and chosen.size > 2:
        by_direction = np.argsort(-np.nan_to_num(values).mean(axis=1), kind="stable")
        chosen, values = chosen[by_direction], values[by_direction]
    called = scores.score[np.ix_(order, chosen)].T
    width, height = 4.9 + 0.24 * len(order), 1.5 + 0.19 * chosen.size
    figure, (axis,) = _subplots(1, 1, width=width, height=height)
    limit = max(2.0, float(np.nanquantile(np.abs(values), 0.98)))
    image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    rows, columns = np.nonzero(called)
    axis.plot(columns, rows, ".", color="black", markersize=3)
    axis.set_xticks(range(len(order)), [scores.subjects[i] for i in order], rotation=90, fontsize=6)
    shown = [f"{_short(scores.names[c])} ({sets.sizes[c]})" for c in chosen]
    axis.set_yticks(range(chosen.size), shown, fontsize=6)
    start = 0
    for label in dict.fromkeys(labels[i] for i in order):
        n = sum(labels[i] == label for i in order)
        axis.text(start + (n - 1) / 2, -0.9, f"{label or 'no label'} ({n})", ha="center", va="bottom", fontsize=8)
        if start:
            axis.axvline(start - 0.5, color="black", linewidth=1.2)
        start += n
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.02)
    bar.set_label("signed-rank z (red: up in the affected sample)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    title = f"dots: {scores.decided_on} < {scores.alpha:g}; in brackets: measured genes"
    figure.suptitle(
        ("SYNTHETIC data; " if scores.synthetic else "") + title,
        fontsize=8,
        color=_UP if scores.synthetic else "black",
    )
    figure.subplots_adjust(left=3.2 / width, right=1 - 0.45 / width, top=1 - 0.62 / height, bottom=0.75 / height)
    return _png(figure)


def optimism_picture(result: StudyResult) -> bytes:
    """Balanced accuracy with permuted labels under both protocols, and with the true labels as a line; PNG.

    Raises ValueError if the study ran no permutations.
    """
    if not result.nulls:
        raise ValueError("this study ran no permutations")
    figure, axes = _subplots(1, len(result.nulls), width=4.4 * len(result.nulls), height=3.3)
    bins = np.linspace(0, 1, 21).tolist()
    for axis, null in zip(axes, result.nulls, strict=True):
        for what, colour, label in ((null.study, _STUDY, "study's protocol"), (null.honest, _HONEST, "nested")):
            axis.hist(what.permuted, bins=bins, color=colour, alpha=0.55, label=f"{label}, permuted labels")
            truth = f"{label}, true labels (p = {what.p_value:.2f})"
            axis.axvline(what.observed, color=colour, linewidth=2, label=truth)
        axis.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
        axis.set_xlabel("balanced accuracy", fontsize=8)
        axis.set_title(f"{null.design}, {null.family}", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    data = "SYNTHETIC data; " if result.synthetic else ""
    figure.suptitle(f"{data}{result.n} subjects, {result.nulls[0].study.permuted.size} permutations", fontsize=9)
    figure.subplots_adjust(left=0.1 / len(result.nulls), right=0.98, top=0.84, bottom=0.28)
    return _png(figure)


def _interval(axis: Axes, x: float, estimate: Estimate | None, colour: str, marker: str) -> None:
    if estimate is None:
        axis.plot([x], [0], "x", color=colour, clip_on=False)
        return
    axis.plot([x, x], [estimate.ci_low, estimate.ci_high], color=colour, linewidth=1.6)
    axis.plot([x], [estimate.value], marker, color=colour, markersize=6)


def _short(name: str, length: int = 46) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


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
