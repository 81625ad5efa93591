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
from clinical_assets.reporting.charts.drawing import draw
from clinical_assets.reporting.charts.panel import Panel
from clinical_assets.reporting.figures import ACCENT, INK, QUIET, USUAL_SIZE, end_of_axis, in_percent
from clinical_assets.reporting.formats import words
from clinical_assets.statistics.calibration.smooth_calibration import CalibrationPlot, smooth_observed_risk
from clinical_assets.statistics.decisions.cost_curve import CostCurve
from clinical_assets.statistics.decisions.net_benefit import DecisionCurve
from clinical_assets.statistics.discrimination.classification import sensitivity_specificity_curve
from clinical_assets.statistics.uncertainty.effective_size import effective_weights
from clinical_assets.statistics.uncertainty.intervals import wilson_interval

if TYPE_CHECKING:
    import polars as pl


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
    top = end_of_axis([*points.bin_predicted, *points.bin_observed, float(np.quantile(risk, 0.995))])
    panel = Panel(ylabel="Observed share", xlim=(0, top), ylim=(0, top), hide_x=True, legend="upper left")
    panel.line([0, top], [0, top], colour=QUIET, width=0.8, style="--", label="perfect")
    panel.band(points.predicted, points.low, points.high)
    panel.line(points.predicted, points.observed, label="smooth, 95 % band")
    panel.intervals(points.bin_predicted, points.bin_low, points.bin_high, colour=ACCENT)
    panel.points(points.bin_predicted, points.bin_observed, size=3.5, label="tenths of risk")
    return draw(
        [panel, _histogram(risk, top, weights)],
        synthetic=synthetic,
        height=USUAL_SIZE["height"] + 0.6,
        heights=(3, 1),
    )


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
    top = end_of_axis([float(np.quantile(risk, 0.99)), float(np.average(event, weights=weights)) * 2])
    panels = []
    for title, groups in attributes.items():
        panel = Panel(
            xlabel="Predicted risk",
            ylabel="Observed share",
            title=title,
            xlim=(0, top),
            ylim=(0, top),
            legend="below",
            columns=1,
        )
        panel.line([0, 1], [0, 1], colour=QUIET, width=0.8, style="--")
        counts = group_counts([(int(mine.sum()), int(event[mine].sum())) for mine in groups.values()])
        for colour, (label, mine), (n, events) in zip(cycle(_COLOURS), groups.items(), counts, strict=False):
            _group_curve(
                panel,
                event[mine],
                risk[mine],
                None if weights is None else weights[mine],
                name=f"{label} ({counted(n, events)})",
                colour=colour,
            )
        panels.append(panel)
    return draw(panels, synthetic=synthetic, height=(USUAL_SIZE["height"] + 0.5) * len(panels))


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
    top = end_of_axis(np.quantile(probabilities, 0.99, axis=0).tolist())
    panel = Panel(
        xlabel="Predicted probability of the class",
        ylabel="Observed share",
        xlim=(0, top),
        ylim=(0, top),
        legend="below",
        columns=1,
    )
    panel.line([0, 1], [0, 1], colour=QUIET, width=0.8, style="--")
    for number, (colour, label) in enumerate(zip(cycle(_COLOURS), classes, strict=False)):
        _group_curve(
            panel,
            (y == number).astype(np.int64),
            probabilities[:, number],
            weights,
            name=f"{label} ({int((y == number).sum()):,} of {y.size:,} rows)",
            colour=colour,
        )
    return draw([panel], synthetic=synthetic, height=4.4)


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
    grid = np.concatenate([[0.0], np.unique(risk), [1.1]])
    sensitivity, specificity = sensitivity_specificity_curve(event, risk, thresholds=grid, weights=weights)
    panel = Panel(xlabel="1 - specificity", ylabel="Sensitivity", square=True, legend="lower right")
    panel.line([0, 1], [0, 1], colour=QUIET, width=0.8, style="--", label="chance")
    panel.line(1 - specificity, sensitivity, label=f"AUROC {auroc}")
    at, of = sensitivity_specificity_curve(event, risk, thresholds=[threshold], weights=weights)
    panel.points(1 - of, at, size=5, label=f"threshold {in_percent(threshold)}")
    return draw([panel], synthetic=synthetic)


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
    order = np.argsort(-risk, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
    counts = np.ones(event.size) if weights is None else weights
    events, share = counts @ event, float(np.average(event, weights=counts))
    alerted, caught = np.cumsum(counts[order])[ends], np.cumsum((counts * event)[order])[ends]
    panel = Panel(
        xlabel="Sensitivity (recall)",
        ylabel="Positive predictive value (precision)",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        # Below the axes: the curve may pass through any corner.
        legend="below",
    )
    panel.rule(y=share, width=0.8, style="--", label=f"event share {in_percent(share)}")
    panel.line(caught / events, caught / alerted, step=True, label=f"AUPRC {auprc}")
    alert = risk >= threshold
    if alert.any():
        panel.points(
            counts[alert] @ event[alert] / events,
            np.average(event[alert], weights=counts[alert]),
            size=5,
            label=f"threshold {in_percent(threshold)}",
        )
    return draw([panel], synthetic=synthetic)


def decision_curve_picture(curve: DecisionCurve, *, threshold: float, synthetic: bool) -> bytes:
    """Net benefit against the threshold, with treating everyone and no one, and the threshold in use."""
    top = float(np.nanmax(curve.model_high))
    panel = Panel(
        xlabel="Threshold probability",
        ylabel="Net benefit",
        # Treating everyone falls without end; what matters happens above and just below zero.
        ylim=(-0.25 * max(top, 0.02), 1.1 * max(top, 0.02)),
        # Below the axes: curves and the threshold may stand in any corner.
        legend="below",
    )
    panel.rule(y=0, label="treat no one")
    panel.line(curve.thresholds, curve.treat_all, colour=QUIET, width=0.9, style="--", label="treat everyone")
    panel.band(curve.thresholds, curve.model_low, curve.model_high, label="model, 95 % band")
    panel.line(curve.thresholds, curve.model, label="model")
    panel.threshold(threshold)
    return draw([panel], synthetic=synthetic)


def cost_curve_picture(curve: CostCurve, *, unit: str, synthetic: bool) -> bytes:
    """Expected cost per patient against the threshold, with its band and the closed-form threshold."""
    panel = Panel(xlabel="Threshold probability", ylabel=f"Cost per patient ({unit})", legend="below")
    panel.band(curve.thresholds, curve.low, curve.high, step=True, label="observed, 95 % band")
    panel.line(curve.thresholds, curve.cost, step=True, label="observed")
    panel.span(curve.optimum_low, curve.optimum_high, colour=QUIET, alpha=0.12, label="cheapest, 95 % interval")
    panel.rule(x=curve.optimum_threshold, label="cheapest")
    panel.threshold(curve.theoretical_threshold)
    return draw([panel], synthetic=synthetic)


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
    panels = risk_distribution_panels(y, risk, classes=classes, tiers=tiers, weights=weights)
    return draw(panels, synthetic=synthetic, height=USUAL_SIZE["height"] + 0.6)


def risk_distribution_panels(
    y: np.ndarray,
    risk: np.ndarray,
    *,
    classes: Sequence[str],
    tiers: Mapping[str, float],
    weights: np.ndarray | None = None,
) -> list[Panel]:
    """The panels of `risk_distribution_picture`: without the outcome, with it."""
    logarithmic = float(np.quantile(risk, 0.9)) < 0.2
    high = end_of_axis([float(risk.max())])
    # Of risks in ten thousandths the axis shows three decades.
    low = max(float(risk.min()), min(1e-4, high / 1000))
    bins = np.geomspace(low, high, 31) if logarithmic else np.linspace(0, high, 31)
    borders = [*tiers.values(), 1.0]
    panels = []
    for index, colour in enumerate((QUIET, ACCENT)):
        mine = np.clip(risk[y == index], bins[0], bins[-1])
        each = np.ones(mine.size) if weights is None else weights[y == index]
        counts, _ = np.histogram(mine, bins=bins, weights=each)
        shares = counts / (each.sum() or 1)
        panel = Panel(
            xlabel="" if index == 0 else "Predicted risk",
            title=f"{classes[index]}, n = {mine.size:,}",
            xlim=(float(bins[0]), float(bins[-1])),
            ylim=(0, 1.05 * (float(shares.max()) or 1.0)),
            log=logarithmic,
            percent=frozenset({"x", "y"}),
            hide_x=index == 0,
            legend="picture",
            columns=min(3, len(tiers)),
        )
        panel.bars(bins[:-1], bins[:-1] + np.diff(bins) * 0.94, shares, colour=colour)
        for place, name in enumerate(tiers):
            start, end = max(borders[place], bins[0]), min(borders[place + 1], bins[-1])
            if start < end:
                label = f"{name}: from {in_percent(borders[place])}" if index == 0 else None
                panel.span(start, end, colour=INK, alpha=0.04 + 0.09 * place, label=label)
                panel.rule(x=start, colour=INK, width=0.6, style=":")
        panels.append(panel)
    return panels


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
    panel = Panel(
        xlabel="Mean absolute contribution (log-odds)",
        xlim=(0, 1.05 * (ranked[-1][1] or 1.0)),
        ylim=(-0.6, len(ranked) - 0.4),
        ticks={place: words(name) for place, (name, _) in enumerate(ranked)},
        legend="lower right",
    )
    seen: set[str] = set()
    for place, (name, value) in enumerate(ranked):
        says = direction_in_words(directions.get(name))
        label = None if says in seen else says
        panel.bars([place - 0.35], [place + 0.35], [value], colour=colours[says], across=True, label=label)
        seen.add(says)
    return draw([panel], synthetic=synthetic, height=1.2 + 0.24 * len(ranked))


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
    last = len(names) - 1
    panel = Panel(xlabel=label, ylim=(-0.6, last + 0.6), ticks={last - place: name for place, name in enumerate(names)})
    for place, (name, value, low, high) in enumerate(zip(names, values, lows, highs, strict=True)):
        colour = ACCENT if name == selected else INK
        panel.line([low, high], [last - place, last - place], colour=colour, width=1.4)
        panel.points(value, last - place, size=4.5, colours=colour)
    return draw([panel], synthetic=synthetic, height=0.9 + 0.3 * len(names))


def trials_picture(trials: pl.DataFrame, *, score: str, synthetic: bool) -> bytes:
    """Every trial of the search: one panel a candidate, score against trial number, outer folds in shades.

    ``trials`` has the columns ``candidate``, ``outer_fold``, ``trial`` and the one named by ``score``.
    """
    names = trials["candidate"].unique(maintain_order=True).to_list()
    scores, folds = trials[score].to_numpy(), trials["outer_fold"].to_numpy()
    room = 0.05 * (float(scores.max()) - float(scores.min())) or 0.5
    shades = [_shade(fold / (folds.max() or 1)) for fold in range(int(folds.max()) + 1)]
    across = min(3, len(names))
    panels = []
    for place, name in enumerate(names):
        mine = (trials["candidate"] == name).to_numpy()
        panel = Panel(
            xlabel="trial",
            ylabel=score.replace("_", " ") if place % across == 0 else "",
            title=name,
            ylim=(float(scores.min()) - room, float(scores.max()) + room),
            text_size=7,
        )
        panel.points(trials["trial"].to_numpy()[mine], scores[mine], colours=[shades[k] for k in folds[mine]], size=2.6)
        panels.append(panel)
    down = math.ceil(len(names) / across)
    return draw(panels, synthetic=synthetic, width=2.4 * across, height=1.9 * down + 0.2, across=across)


def _shade(share: float) -> str:
    """A colour of the scale from dark blue to yellow, by its place in [0, 1]."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](share))


def _histogram(risk: np.ndarray, top: float, weights: np.ndarray | None) -> Panel:
    beyond, inside = float(np.average(risk > top, weights=weights)), risk <= top
    counts, edges = np.histogram(
        risk[inside], bins=np.linspace(0, top, 41), weights=None if weights is None else weights[inside]
    )
    panel = Panel(
        xlabel="Predicted risk",
        ylabel="Patients" if weights is None else "Patients, weighted",
        note=f"{100 * beyond:.1f} % lie beyond the axis" if beyond > 0 else "",
        xlim=(0, top),
        ylim=(0, 1.05 * (float(counts.max()) or 1.0)),
    )
    panel.bars(edges[:-1], edges[1:], counts, colour=QUIET)
    return panel


def _group_curve(
    panel: Panel, event: np.ndarray, risk: np.ndarray, weights: np.ndarray | None, *, name: str, colour: str
) -> None:
    n, events = event.size, int(event.sum())
    if min(events, n - events) < _LEAST_EVENTS:
        each = np.ones(n) if weights is None else effective_weights(weights)
        low, high = wilson_interval(np.array([each @ event]), np.array([each.sum()]))
        share, mean = np.average(event, weights=each), np.average(risk, weights=each)
        panel.intervals([mean], low, high, colour=colour)
        panel.points(mean, share, mark="s", size=4, colours=colour, label=f"{name}, mean")
        return
    low_end, high_end = np.quantile(risk, [0.02, 0.98]).tolist()
    at = np.linspace(low_end, high_end, 60)
    panel.line(at, smooth_observed_risk(event, risk, at=at, weights=weights), colour=colour, width=1.3, label=name)
