"""Pictures of a model's evaluation: calibration, decision curve, costs, risk distribution, reasons, search.

Each function draws what it is given and computes nothing that a report would quote. Pictures are PNG bytes; those of
synthetic records carry the word on the picture itself, because pictures travel without their page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.drawing import ACCENT, INK, QUIET, new_figure, png

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from clinical_assets.statistics.cost_curve import CostCurve
    from clinical_assets.statistics.net_benefit import DecisionCurve
    from clinical_assets.statistics.smooth_calibration import CalibrationPlot

_SIZE = {"width": 4.6, "height": 3.6}


def calibration_picture(points: CalibrationPlot, *, synthetic: bool) -> bytes:
    """Observed against predicted risk: smooth curve with its band, and bins with Wilson intervals."""
    figure, axes = _start("Predicted risk", "Observed share", synthetic)
    axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls="--", label="perfect")
    axes.fill_between(points.predicted, points.low, points.high, color=INK, alpha=0.15, lw=0)
    axes.plot(points.predicted, points.observed, color=INK, label="smooth")
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
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    return png(figure)


def decision_curve_picture(curve: DecisionCurve, *, threshold: float, synthetic: bool) -> bytes:
    """Net benefit against the threshold, with treating everyone and no one, and the threshold in use."""
    figure, axes = _start("Threshold probability", "Net benefit", synthetic)
    axes.axhline(0, color=QUIET, lw=0.9, label="treat no one")
    axes.plot(curve.thresholds, curve.treat_all, color=QUIET, lw=0.9, ls="--", label="treat everyone")
    axes.fill_between(curve.thresholds, curve.model_low, curve.model_high, color=INK, alpha=0.15, lw=0)
    axes.plot(curve.thresholds, curve.model, color=INK, label="model")
    _mark(axes, threshold)
    top = float(np.nanmax(curve.model_high))
    # Treating everyone falls without end; what matters happens above and just below zero.
    axes.set_ylim(-0.25 * max(top, 0.02), 1.1 * max(top, 0.02))
    axes.legend(fontsize=7, frameon=False)
    return png(figure)


def cost_curve_picture(curve: CostCurve, *, unit: str, synthetic: bool) -> bytes:
    """Expected cost per patient against the threshold, with its band and the closed-form threshold."""
    figure, axes = _start("Threshold probability", f"Cost per patient ({unit})", synthetic)
    axes.fill_between(curve.thresholds, curve.low, curve.high, color=INK, alpha=0.15, lw=0, step="post")
    axes.step(curve.thresholds, curve.cost, color=INK, where="post", label="observed")
    axes.axvspan(curve.optimum_low, curve.optimum_high, color=QUIET, alpha=0.12, lw=0, label="cheapest, 95 %")
    axes.axvline(curve.optimum_threshold, color=QUIET, lw=0.9)
    _mark(axes, curve.theoretical_threshold)
    axes.legend(fontsize=7, frameon=False)
    return png(figure)


def risk_distribution_picture(
    y: np.ndarray, risk: np.ndarray, *, classes: Sequence[str], thresholds: Mapping[str, float], synthetic: bool
) -> bytes:
    """How predicted risk is spread among those with and without the outcome, with the tiers' borders.

    ``y`` and ``risk`` have shape (n,); ``thresholds`` maps tier names to their lower borders.
    """
    figure, axes = _start("Predicted risk", "Patients", synthetic)
    bins = np.linspace(0, 1, 26)
    for index, (label, colour, sign) in enumerate([(classes[0], QUIET, -1), (classes[1], ACCENT, 1)]):
        counts, _ = np.histogram(risk[y == index], bins=bins)
        axes.bar(bins[:-1], sign * counts, width=0.038, align="edge", color=colour, label=label)
    axes.axhline(0, color="black", lw=0.6)
    for name, border in thresholds.items():
        if border > 0:
            axes.axvline(border, color=INK, lw=0.7, ls=":")
        axes.text(border + 0.005, axes.get_ylim()[1], name, fontsize=6, va="top", color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return png(figure)


def contributions_picture(mean_absolute: Mapping[str, float], *, synthetic: bool, most: int = 15) -> bytes:
    """Mean absolute contribution of each feature to the score, in log-odds, the largest first."""
    ranked = sorted(mean_absolute.items(), key=lambda item: item[1], reverse=True)[:most][::-1]
    figure, axes = _start("Mean absolute contribution (log-odds)", "", synthetic, height=0.8 + 0.24 * len(ranked))
    axes.barh([name for name, _ in ranked], [value for _, value in ranked], color=INK, height=0.7)
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
    figure, axes = _start(label, "", synthetic, height=0.9 + 0.3 * len(names))
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
    _label_synthetic(figure, synthetic)
    return png(figure)


def _start(xlabel: str, ylabel: str, synthetic: bool, *, height: float | None = None) -> tuple[Figure, Axes]:
    figure = new_figure(width=_SIZE["width"], height=height or _SIZE["height"])
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel, fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    _label_synthetic(figure, synthetic)
    return figure, axes


def _label_synthetic(figure: Figure, synthetic: bool) -> None:
    if synthetic:
        figure.suptitle("SYNTHETIC RECORDS", fontsize=8, color=ACCENT, fontweight="bold")


def _mark(axes: Axes, threshold: float) -> None:
    axes.axvline(threshold, color=ACCENT, lw=0.9, ls=":", label=f"threshold {threshold:.2f}")
