"""Figures without global state: every picture of the platform begins and ends here."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of a picture in a report.
USUAL_SIZE = {"width": 4.6, "height": 3.6}
DPI = 110
INK = "#27506e"
ACCENT = "#c1553b"
QUIET = "#8a949c"


def new_figure(*, width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches.

    The object interface needs no backend and no global state, so steps in threads cannot disturb each other.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same drawing gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def panel(xlabel: str, ylabel: str, synthetic: bool, *, height: float | None = None) -> tuple[Figure, Axes]:
    """A figure of one panel with named axes; it says so where records are synthetic."""
    figure = new_figure(width=USUAL_SIZE["width"], height=height or USUAL_SIZE["height"])
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel, fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    label_synthetic(figure, synthetic)
    return figure, axes


def stacked_panels(xlabel: str, synthetic: bool, *, heights: tuple[float, float] = (4, 1)) -> tuple[Figure, list[Axes]]:
    """Two panels above one another with one x axis."""
    figure = new_figure(width=USUAL_SIZE["width"], height=USUAL_SIZE["height"] + 0.6)
    panels: list[Axes] = list(figure.subplots(2, 1, sharex=True, height_ratios=heights))
    for axes in panels:
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].set_xlabel(xlabel, fontsize=8)
    label_synthetic(figure, synthetic)
    return figure, panels


def label_synthetic(figure: Figure, synthetic: bool) -> None:
    """Write on the picture itself that its records are synthetic."""
    if synthetic:
        figure.suptitle("SYNTHETIC RECORDS", fontsize=8, color=ACCENT, fontweight="bold")


def mark_threshold(axes: Axes, threshold: float) -> None:
    """A dotted line at the threshold in use, a risk in (0, 1)."""
    axes.axvline(threshold, color=ACCENT, lw=0.9, ls=":", label=f"threshold {in_percent(threshold)}")


def end_of_axis(values: Sequence[float]) -> float:
    """End of an axis of risks: the largest value with a little room, to two digits, at most 1."""
    most = 1.08 * max(values)
    digits = -math.floor(math.log10(most)) + 1
    return min(1.0, float(math.ceil(most * 10.0**digits) / 10.0**digits))


def in_percent(share: float) -> str:
    """A share in [0, 1] as percent with one decimal at most: ``12.5 %``."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
