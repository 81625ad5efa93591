"""Pictures of reports over time, for pages that people read.

An axis spans at least the differences that matter, so that the noise of a quiet year does not look like an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinical_assets.monitoring.report_store import ReportName
from clinical_assets.monitoring.report_type import ReportLine, StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.reporting.figures import ACCENT, INK, QUIET, new_figure, png
from clinical_assets.reporting.views import EmbeddedPicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def pictures_of(name: ReportName, history: Sequence[StoredReport], *, synthetic: bool) -> tuple[EmbeddedPicture, ...]:
    """Pictures of a report, one per number; none over time where there is only one point in time."""
    made = []
    where = " Synthetic records." if synthetic else ""
    for line in BY_NAME[name].lines if len(history) > 1 else ():
        points = _points(history, line.metric)
        if points:
            title = f"{line.label[0].upper()}{line.label[1:]} over time"
            alt = f"{title}: from {points[0][1]:.3g} to {points[-1][1]:.3g}.{where}"
            made.append(EmbeddedPicture.of(_over_time(history, line, points, synthetic), title=title, alt=alt))
    rolling = (history[-1].report.get("rolling") or []) if name == "performance_report" and history else []
    for measure, ideal in (("intercept", 0.0), ("slope", 1.0)) if rolling else ():
        title = f"Calibration {measure} of consecutive parts of the scored records"
        made.append(
            EmbeddedPicture.of(
                _rolling(rolling, measure, ideal, synthetic), title=title, alt=f"{title}; {ideal:g} is ideal.{where}"
            )
        )
    return tuple(made)


def _points(history: Sequence[StoredReport], key: str) -> list[tuple[int, float]]:
    return [(i, float(found)) for i, each in enumerate(history) if (found := each.metrics.get(key)) is not None]


def _over_time(
    history: Sequence[StoredReport], line: ReportLine, points: Sequence[tuple[int, float]], synthetic: bool
) -> bytes:
    figure, axes = _axes(line.rest, synthetic)
    values = [value for _, value in points]
    axes.plot([i for i, _ in points], values, color=INK, marker="o", markersize=3)
    _frame(axes, line.label, values, low=line.low, high=line.high)
    ends = sorted({points[0][0], points[-1][0]})
    axes.set_xticks(ends, [history[i].made_at[:10] for i in ends], color=QUIET)
    if len(ends) > 1:
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    return png(figure)


def _rolling(rolling: Sequence[Mapping[str, Any]], measure: str, ideal: float, synthetic: bool) -> bytes:
    figure, axes = _axes(ideal, synthetic)
    known = [(i, each[measure]) for i, each in enumerate(rolling) if "value" in each[measure]]
    for i, found in known:
        axes.plot([i, i], [found["ci_low"], found["ci_high"]], color=INK, linewidth=1.5)
        axes.plot([i], [found["value"]], marker="o", color=ACCENT, markersize=4)
    ends = [found[each] for _, found in known for each in ("ci_low", "ci_high") if found[each] is not None]
    _frame(axes, f"calibration {measure}", ends, low=ideal - 1, high=ideal + 1)
    axes.set_xticks(range(len(rolling)), [f"n={each['n']}" for each in rolling], color=QUIET)
    return png(figure)


def _axes(rest: float | None, synthetic: bool) -> tuple[Figure, Axes]:
    figure = new_figure(width=3.6, height=2.3)
    axes = figure.add_subplot()
    if rest is not None:
        axes.axhline(rest, color=QUIET, linewidth=1, linestyle="--")
    if synthetic:
        figure.supxlabel("synthetic records", fontsize=7, color=QUIET, x=0.99, ha="right")
    return figure, axes


def _frame(axes: Axes, label: str, values: Sequence[float], *, low: float, high: float) -> None:
    """Quiet axes from `low` to `high`, or to what lies beyond, with a margin."""
    margin = 0.05 * (high - low)
    axes.set_ylim(min([low, *values]) - margin, max([high, *values]) + margin)
    axes.set_title(label, fontsize=9, loc="left", color=INK)
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(labelsize=7.5, color=QUIET, labelcolor=QUIET, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
