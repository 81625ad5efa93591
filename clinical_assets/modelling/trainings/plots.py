"""Pictures of a model's evaluation: calibration, decision curve, costs, risk distribution, reasons, search.

Each function draws what it is given and computes nothing that a report would quote. Pictures are PNG bytes; those of
synthetic records carry the word on the picture itself, because pictures travel without their page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.modelling.description.group_counts import counted, group_counts
from clinical_assets.modelling.description.model_terms import direction_in_words
from clinical_assets.reporting.figures import (
    ACCENT,
    INK,
    QUIET,
    USUAL_SIZE,
    end_of_axis,
    in_percent,
    label_synthetic,
    mark_threshold,
    new_figure,
    panel,
    png,
    stacked_panels,
)
from clinical_assets.reporting.formats import words
from clinical_assets.statistics.calibration.smooth_calibration import CalibrationPlot, smooth_observed_risk
from clinical_assets.statistics.decisions.cost_curve import CostCurve
from clinical_assets.statistics.decisions.net_benefit import DecisionCurve
from clinical_assets.statistics.discrimination.classification import sensitivity_specificity_curve
from clinical_assets.statistics.uncertainty.effective_size import effective_weights
from clinical_assets.statistics.uncertainty.intervals import wilson_interval

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Told apart also by readers who see no red or green (Okabe and Ito), and in print by their order in the legend.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
# Fewer events make no curve.
_LEAST_EVENTS = 20


def calibration_picture(
    points: CalibrationPlot, risk: np.ndarray, *, weights: np.ndarray | None = None, synthetic: bool
) -> bytes:
    """Observed against predicted risk: smooth curve with its band, tenths with Wilson intervals, and where risks lie.

    Both axes end where the risks do, so that a rare outcome can be read; ``risk`` has shape (n,).
    """
    figure, (axes, below) = stacked_panels("Predicted risk", synthetic)
    top = end_of_axis([*points.bin_predicted, *points.bin_observed, float(np.quantile(risk, 0.995))])
    axes.plot([0, top], [0, top], color=QUIET, lw=0.8, ls="--", label="perfect")
    axes.fill_between(points.predicted, points.low, points.high, color=INK, alpha=0.15, lw=0)
    axes.plot(points.predicted, points.observed, color=INK, label="smooth, 95 % band")
    down, up = points.bin_observed - points.bin_low, points.bin_high - points.bin_observed
    axes.errorbar(
        points.bin_predicted,
        points.bin_observed,
        yerr=np.clip([down, up], 0, None),
        fmt="o",
        ms=3.5,
        lw=0.9,
        color=ACCENT,
        label="tenths of risk",
    )
    axes.set_ylim(0, top)
    axes.set_ylabel("Observed share", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    _histogram(below, risk, top, weights)
    return png(figure)


def group_calibration_picture(
    event: np.ndarray,
    risk: np.ndarray,
    attributes: Mapping[str, Mapping[str, np.ndarray]],
    *,
    weights: np.ndarray | None = None,
    synthetic: bool,
) -> bytes:
    """Observed against predicted risk of each group, one panel per attribute.

    ``event`` and ``risk`` have shape (n,); ``attributes`` maps a title to its groups, each with which of the rows are
    its own (n,). A group with fewer than 20 events or non-events has no curve, only its mean with a Wilson interval,
    and says so.
    """
    figure = new_figure(width=USUAL_SIZE["width"], height=(USUAL_SIZE["height"] + 0.5) * len(attributes))
    top = end_of_axis([float(np.quantile(risk, 0.99)), float(np.average(event, weights=weights)) * 2])
    for place, (title, groups) in enumerate(attributes.items(), start=1):
        axes = figure.add_subplot(len(attributes), 1, place)
        axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls="--")
        counts = group_counts([(int(mine.sum()), int(event[mine].sum())) for mine in groups.values()])
        drawn = [
            _group_curve(
                axes,
                event[mine],
                risk[mine],
                None if weights is None else weights[mine],
                name=f"{label} ({counted(n, events)})",
                colour=colour,
            )
            for colour, (label, mine), (n, events) in zip(cycle(_COLOURS), groups.items(), counts, strict=False)
        ]
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("Predicted risk", fontsize=8)
        axes.set_ylabel("Observed share", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            handles=drawn, fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1
        )
    label_synthetic(figure, synthetic)
    return png(figure)


def class_calibration_picture(
    y: np.ndarray,
    probabilities: np.ndarray,
    *,
    classes: Sequence[str],
    weights: np.ndarray | None = None,
    synthetic: bool,
) -> bytes:
    """Observed against predicted probability of each class against the rest; classes (n,), probabilities (n, k).

    A class with fewer than 20 rows has no curve, only its mean.
    """
    figure, axes = panel("Predicted probability of the class", "Observed share", synthetic, height=4.4)
    top = end_of_axis(np.quantile(probabilities, 0.99, axis=0).tolist())
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls="--")
    drawn = [
        _group_curve(
            axes,
            (y == number).astype(np.int64),
            probabilities[:, number],
            weights,
            name=f"{label} ({int((y == number).sum()):,} of {y.size:,} rows)",
            colour=colour,
        )
        for number, (colour, label) in enumerate(zip(cycle(_COLOURS), classes, strict=False))
    ]
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.legend(handles=drawn, fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1)
    return png(figure)


def roc_picture(
    event: np.ndarray,
    risk: np.ndarray,
    *,
    threshold: float,
    auroc: str,
    weights: np.ndarray | None = None,
    synthetic: bool,
) -> bytes:
    """Sensitivity against the false-positive rate, with the threshold in use; ``event`` and ``risk`` are (n,)."""
    figure, axes = panel("1 - specificity", "Sensitivity", synthetic)
    grid = np.concatenate([[0.0], np.unique(risk), [1.1]])
    sensitivity, specificity = sensitivity_specificity_curve(event, risk, thresholds=grid, weights=weights)
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls="--", label="chance")
    axes.plot(1 - specificity, sensitivity, color=INK, label=f"AUROC {auroc}")
    at, of = sensitivity_specificity_curve(event, risk, thresholds=[threshold], weights=weights)
    axes.plot(1 - of, at, "o", ms=5, color=ACCENT, label=f"threshold {in_percent(threshold)}")
    axes.set_aspect("equal")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return png(figure)


def precision_recall_picture(
    event: np.ndarray,
    risk: np.ndarray,
    *,
    threshold: float,
    auprc: str,
    weights: np.ndarray | None = None,
    synthetic: bool,
) -> bytes:
    """Positive predictive value against sensitivity, with the event share and the threshold in use; (n,) arrays."""
    figure, axes = panel("Sensitivity (recall)", "Positive predictive value (precision)", synthetic)
    order = np.argsort(-risk, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
    counts = np.ones(event.size) if weights is None else weights
    events, share = counts @ event, float(np.average(event, weights=counts))
    alerted, caught = np.cumsum(counts[order])[ends], np.cumsum((counts * event)[order])[ends]
    axes.axhline(share, color=QUIET, lw=0.8, ls="--", label=f"event share {in_percent(share)}")
    axes.step(caught / events, caught / alerted, color=INK, where="post", label=f"AUPRC {auprc}")
    alert = risk >= threshold
    if alert.any():
        axes.plot(
            counts[alert] @ event[alert] / events,
            np.average(event[alert], weights=counts[alert]),
            "o",
            ms=5,
            color=ACCENT,
            label=f"threshold {in_percent(threshold)}",
        )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    # Below the axes: the curve may pass through any corner.
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return png(figure)


def decision_curve_picture(curve: DecisionCurve, *, threshold: float, synthetic: bool) -> bytes:
    """Net benefit against the threshold, with treating everyone and no one, and the threshold in use."""
    figure, axes = panel("Threshold probability", "Net benefit", synthetic)
    axes.axhline(0, color=QUIET, lw=0.9, label="treat no one")
    axes.plot(curve.thresholds, curve.treat_all, color=QUIET, lw=0.9, ls="--", label="treat everyone")
    axes.fill_between(
        curve.thresholds, curve.model_low, curve.model_high, color=INK, alpha=0.15, lw=0, label="model, 95 % band"
    )
    axes.plot(curve.thresholds, curve.model, color=INK, label="model")
    mark_threshold(axes, threshold)
    top = float(np.nanmax(curve.model_high))
    # Treating everyone falls without end; what matters happens above and just below zero.
    axes.set_ylim(-0.25 * max(top, 0.02), 1.1 * max(top, 0.02))
    # Below the axes: curves and the threshold may stand in any corner.
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return png(figure)


def cost_curve_picture(curve: CostCurve, *, unit: str, synthetic: bool) -> bytes:
    """Expected cost per patient against the threshold, with its band and the closed-form threshold."""
    figure, axes = panel("Threshold probability", f"Cost per patient ({unit})", synthetic)
    axes.fill_between(
        curve.thresholds, curve.low, curve.high, color=INK, alpha=0.15, lw=0, step="post", label="observed, 95 % band"
    )
    axes.step(curve.thresholds, curve.cost, color=INK, where="post", label="observed")
    axes.axvspan(curve.optimum_low, curve.optimum_high, color=QUIET, alpha=0.12, lw=0, label="cheapest, 95 % interval")
    axes.axvline(curve.optimum_threshold, color=QUIET, lw=0.9, label="cheapest")
    mark_threshold(axes, curve.theoretical_threshold)
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return png(figure)


def risk_distribution_picture(
    y: np.ndarray,
    risk: np.ndarray,
    *,
    classes: Sequence[str],
    tiers: Mapping[str, float],
    weights: np.ndarray | None = None,
    synthetic: bool,
) -> bytes:
    """How predicted risk is spread among those with and without the outcome, over the tiers.

    ``y`` and ``risk`` have shape (n,); ``tiers`` maps tier names to their lower borders, rising. Each panel shows
    shares of its own patients, so that a rare outcome is not flat beside a common one; where nine in ten risks lie in
    the lowest fifth, the axis is logarithmic.
    """
    return png(risk_distribution_figure(y, risk, classes=classes, tiers=tiers, weights=weights, synthetic=synthetic))


def risk_distribution_figure(
    y: np.ndarray,
    risk: np.ndarray,
    *,
    classes: Sequence[str],
    tiers: Mapping[str, float],
    weights: np.ndarray | None = None,
    synthetic: bool = False,
) -> Figure:
    """The figure of `risk_distribution_picture`."""
    figure, panels = stacked_panels("Predicted risk", synthetic, heights=(1, 1))
    logarithmic = float(np.quantile(risk, 0.9)) < 0.2
    high = end_of_axis([float(risk.max())])
    # Of risks in ten thousandths the axis shows three decades.
    low = max(float(risk.min()), min(1e-4, high / 1000))
    bins = np.geomspace(low, high, 31) if logarithmic else np.linspace(0, high, 31)
    if logarithmic:
        panels[1].set_xscale("log")
    borders = [*tiers.values(), 1.0]
    for index, (axes, colour) in enumerate(zip(panels, (QUIET, ACCENT), strict=True)):
        mine = np.clip(risk[y == index], bins[0], bins[-1])
        each = np.ones(mine.size) if weights is None else weights[y == index]
        counts, _ = np.histogram(mine, bins=bins, weights=each)
        axes.bar(bins[:-1], counts / (each.sum() or 1), width=np.diff(bins) * 0.94, align="edge", color=colour)
        axes.set_title(f"{classes[index]}, n = {mine.size:,}", fontsize=7.5, loc="left", pad=3)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.tick_params(labelsize=7)
        for place, name in enumerate(tiers):
            start, end = max(borders[place], bins[0]), min(borders[place + 1], bins[-1])
            if start < end:
                label = f"{name}: from {in_percent(borders[place])}" if index == 0 else None
                axes.axvspan(start, end, color=INK, alpha=0.04 + 0.09 * place, lw=0, zorder=0, label=label)
                axes.axvline(start, color=INK, lw=0.6, ls=":")
        axes.set_xlim(bins[0], bins[-1])
    panels[1].xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    panels[1].xaxis.set_minor_formatter("")
    figure.legend(fontsize=6.5, frameon=False, loc="outside lower center", ncols=min(3, len(tiers)))
    return figure


def contributions_picture(
    mean_absolute: Mapping[str, float],
    directions: Mapping[str, float | None],
    *,
    synthetic: bool,
    most: int = 15,
) -> bytes:
    """Mean absolute contribution of each feature to the score, in log-odds, the largest first, coloured by direction.

    ``directions`` holds rank correlations as ``description.model_terms.directions`` gives them.
    """
    ranked = sorted(mean_absolute.items(), key=lambda item: item[1], reverse=True)[:most][::-1]
    colours = {"higher value, higher risk": ACCENT, "higher value, lower risk": INK, "no single direction": QUIET}
    figure, axes = panel("Mean absolute contribution (log-odds)", "", synthetic, height=1.2 + 0.24 * len(ranked))
    seen: set[str] = set()
    for name, value in ranked:
        says = direction_in_words(directions.get(name))
        axes.barh([words(name)], [value], color=colours[says], height=0.7, label=None if says in seen else says)
        seen.add(says)
    axes.legend(fontsize=6.5, frameon=False, loc="lower right")
    return png(figure)


def candidates_picture(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    selected: str,
    label: str,
    synthetic: bool,
) -> bytes:
    """The candidates' nested estimates with intervals; the selected one in colour."""
    figure, axes = panel(label, "", synthetic, height=0.9 + 0.3 * len(names))
    for place, (name, value, low, high) in enumerate(zip(names, values, lows, highs, strict=True)):
        colour = ACCENT if name == selected else INK
        axes.plot([low, high], [place, place], color=colour, lw=1.4)
        axes.plot(value, place, "o", ms=4.5, color=colour)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.invert_yaxis()
    return png(figure)


def trials_picture(trials: pl.DataFrame, *, score: str, synthetic: bool) -> bytes:
    """Every trial of the search: one panel a candidate, score against trial number, outer folds in shades.

    ``trials`` has the columns ``candidate``, ``outer_fold``, ``trial`` and the one named by ``score``.
    """
    names = trials["candidate"].unique(maintain_order=True).to_list()
    across = min(3, len(names))
    down = math.ceil(len(names) / across)
    figure = new_figure(width=2.4 * across, height=1.9 * down)
    shared: Axes | None = None
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(down, across, place, sharey=shared)
        shared = shared or axes
        rows = trials.filter(trials["candidate"] == name)
        axes.scatter(rows["trial"], rows[score], s=7, c=rows["outer_fold"], cmap="viridis", alpha=0.8, lw=0)
        axes.set_title(name, fontsize=7, pad=2)
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("trial", fontsize=7)
    figure.supylabel(score.replace("_", " "), fontsize=7)
    label_synthetic(figure, synthetic)
    return png(figure)


def _histogram(axes: Axes, risk: np.ndarray, top: float, weights: np.ndarray | None) -> None:
    beyond, inside = float(np.average(risk > top, weights=weights)), risk <= top
    bins = np.linspace(0, top, 41).tolist()
    axes.hist(risk[inside], bins=bins, color=QUIET, weights=None if weights is None else weights[inside])
    axes.set_xlim(0, top)
    axes.set_ylabel("Patients" if weights is None else "Patients, weighted", fontsize=7)
    if beyond > 0:
        axes.set_title(f"{100 * beyond:.1f} % lie beyond the axis", fontsize=6.5, loc="right", pad=1)


def _group_curve(
    axes: Axes, event: np.ndarray, risk: np.ndarray, weights: np.ndarray | None, *, name: str, colour: str
) -> Artist:
    n, events = event.size, int(event.sum())
    if min(events, n - events) < _LEAST_EVENTS:
        each = np.ones(n) if weights is None else effective_weights(weights)
        low, high = wilson_interval(np.array([each @ event]), np.array([each.sum()]))
        share, mean = np.average(event, weights=each), np.average(risk, weights=each)
        axes.plot([mean] * 2, [low[0], high[0]], color=colour, lw=0.9)
        return axes.plot([mean], [share], "s", ms=4, color=colour, label=f"{name}, mean")[0]
    low_end, high_end = np.quantile(risk, [0.02, 0.98]).tolist()
    at = np.linspace(low_end, high_end, 60)
    return axes.plot(at, smooth_observed_risk(event, risk, at=at, weights=weights), color=colour, lw=1.3, label=name)[0]
