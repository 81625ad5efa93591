"""Pictures of reports over time, for pages that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_assets.drawing import ACCENT, INK, QUIET, new_figure, png
from clinical_assets.monitoring.kept_reports import Name

# What is drawn of each report: a metric, its label, and where the eye should rest.
_LINES: dict[Name, tuple[tuple[str, str, float | None], ...]] = {
    "data_quality_report": (("mean missing share", "mean missing share", None), ("alarms", "alarms", 0.0)),
    "drift_report": (("psi_max", "largest PSI of a feature", 0.2), ("prediction_psi", "PSI of the risk", 0.2)),
    "performance_report": (
        ("auroc", "AUROC", None),
        ("calibration_intercept", "calibration intercept", 0.0),
        ("calibration_slope", "calibration slope", 1.0),
        ("net_benefit", "net benefit", 0.0),
    ),
    "fairness_report": (),
    "update_recommendation": (),
}


def pictures_of(name: Name, history: Sequence[Mapping[str, Any]], *, synthetic: bool) -> list[tuple[str, bytes]]:
    """Text and PNG bytes of each picture of a report; none where there is only one point in time."""
    made = []
    drawn = [(key, label, rest) for key, label, rest in _LINES[name] if _points(history, key)]
    if drawn and len(history) > 1:
        made.append((f"{', '.join(label for _, label, _ in drawn)} over time", _over_time(history, drawn, synthetic)))
    if name == "performance_report" and history:
        rolling = history[-1].get("report", {}).get("rolling") or []
        if rolling:
            made.append(("Calibration of consecutive parts of the scored records", _rolling(rolling, synthetic)))
    return made


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    return [(i, float(each["metrics"][key])) for i, each in enumerate(history) if key in each.get("metrics", {})]


def _over_time(
    history: Sequence[Mapping[str, Any]], drawn: Sequence[tuple[str, str, float | None]], synthetic: bool
) -> bytes:
    figure = new_figure(width=3.1 * len(drawn), height=2.4)
    for number, (key, label, rest) in enumerate(drawn, start=1):
        axes = figure.add_subplot(1, len(drawn), number)
        points = _points(history, key)
        if rest is not None:
            axes.axhline(rest, color=QUIET, linewidth=1, linestyle="--")
        axes.plot([i for i, _ in points], [value for _, value in points], color=INK, marker="o", markersize=3)
        axes.set_title(label + (" (SYNTHETIC)" if synthetic else ""), fontsize=9)
        ends = sorted({points[0][0], points[-1][0]})
        axes.set_xticks(ends, [str(history[i]["made_at"])[5:16].replace("T", " ") for i in ends], fontsize=7)
        axes.tick_params(axis="y", labelsize=8)
    return png(figure)


def _rolling(rolling: Sequence[Mapping[str, Any]], synthetic: bool) -> bytes:
    figure = new_figure(width=6.4, height=2.6)
    for number, (name, ideal) in enumerate((("intercept", 0.0), ("slope", 1.0)), start=1):
        axes = figure.add_subplot(1, 2, number)
        known = [(i, each[name]) for i, each in enumerate(rolling) if "value" in each[name]]
        axes.axhline(ideal, color=QUIET, linewidth=1, linestyle="--")
        for i, found in known:
            axes.plot([i, i], [found["ci_low"], found["ci_high"]], color=INK, linewidth=1.5)
            axes.plot([i], [found["value"]], marker="o", color=ACCENT, markersize=4)
        axes.set_title(f"calibration {name}" + (" (SYNTHETIC)" if synthetic else ""), fontsize=9)
        axes.set_xticks(range(len(rolling)), [f"n={each['n']}" for each in rolling], fontsize=7)
        axes.tick_params(axis="y", labelsize=8)
    return png(figure)
