"""Panels on a page: axes, legends and the room that they need, in one pass.

What belongs here: layout. What does not: what is drawn (``panel``), and with what (``page``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clinical_assets.reporting.charts.page import ChartPage, Pen
from clinical_assets.reporting.charts.panel import LegendEntry, Panel
from clinical_assets.reporting.figures import ACCENT, USUAL_SIZE

_AXIS = "#000000"
#: Pixels between parts, of a tick, of the sample in a legend.
_GAP, _TICK, _SAMPLE = 5.0, 4.0, 20.0


def draw(
    panels: Sequence[Panel],
    *,
    synthetic: bool,
    width: float = USUAL_SIZE["width"],
    height: float = USUAL_SIZE["height"],
    across: int = 1,
    heights: Sequence[float] | None = None,
) -> bytes:
    """The picture as PNG; the same panels give the same bytes.

    Parameters
    ----------
    panels : sequence of Panel
        Row by row.
    synthetic : bool
        Whether the picture says that its records are synthetic.
    width, height : float
        Inches.
    across : int
        Panels side by side.
    heights : sequence of float, optional
        Shares of the height of the rows.
    """
    page = ChartPage(width, height)
    top = page.height - _GAP
    if synthetic:
        top -= page.text(page.width / 2, top, "SYNTHETIC RECORDS", 8, "center top", ACCENT, bold=True) + _GAP
    bottom = _GAP
    shared = [panel for panel in panels if panel.legend == "picture"]
    if shared:
        entries = [entry for panel in shared for entry in panel.entries]
        bottom += _legend(page, entries, page.width / 2, bottom, shared[0].columns, above=True) + _GAP
    down = math.ceil(len(panels) / across)
    shares = np.array(heights or [1.0] * down) / sum(heights or [1.0] * down)
    framed = [_Framed(page, panel) for panel in panels]
    left, right = max(each.left for each in framed), max(each.right for each in framed)
    edges = top - np.concatenate([[0.0], np.cumsum(shares)]) * (top - bottom)
    for place, each in enumerate(framed):
        row, column = divmod(place, across)
        start = page.width / across * column
        end = start + page.width / across - right
        each.draw(start + left, end, edges[row + 1], edges[row])
    return page.png()


class _Framed:
    """A panel with its axes, once the room beside them is known."""

    def __init__(self, page: ChartPage, panel: Panel) -> None:
        self.page, self.panel = page, panel
        self.xlim = panel.xlim or _around(panel.xs)
        self.ylim = panel.ylim or _around(panel.ys)
        self.size = panel.text_size - 1
        self.xticks = _log_ticks(*self.xlim) if panel.log else _ticks(*self.xlim)
        self.yticks = list(panel.ticks or _ticks(*self.ylim))
        self.names = list(panel.ticks.values()) if panel.ticks else _named(self.yticks, "y" in panel.percent)
        widest = max((page.extent(name, self.size)[0] for name in self.names), default=0.0)
        beside = page.extent(panel.ylabel, panel.text_size)[1] + _GAP if panel.ylabel else 0.0
        self.left = _GAP + beside + widest + _TICK + _GAP
        last = _named(self.xticks, "x" in panel.percent)[-1:]
        # Half of the last number may stand beyond the axis.
        self.right = _GAP + max((page.extent(name, self.size)[0] / 2 for name in last), default=0.0)

    def draw(self, left: float, right: float, bottom: float, top: float) -> None:
        """Draw axes and content between these edges."""
        page, panel = self.page, self.panel
        above = _GAP
        if panel.title or panel.note:
            above = (
                max(
                    page.text(left, top - 2, panel.title, panel.text_size - 0.5, "left top") if panel.title else 0.0,
                    page.text(right, top - 2, panel.note, panel.text_size - 1.5, "right top") if panel.note else 0.0,
                )
                + _GAP
            )
        top -= above
        if panel.legend == "below":
            bottom += _legend(page, panel.entries, (left + right) / 2, bottom, panel.columns, above=True) + _GAP
        if panel.xlabel:
            bottom += page.text((left + right) / 2, bottom, panel.xlabel, panel.text_size, "center bottom") + _GAP
        tick_height = page.extent("0", self.size)[1]
        bottom += 6.0 if panel.hide_x else tick_height + _TICK + 3
        if panel.square:
            side = min(right - left, top - bottom)
            left, right = (left + right - side) / 2, (left + right + side) / 2
        pen = Pen(page, (left, right, bottom, top), self.xlim, self.ylim, panel.log)
        for _, content in sorted(panel.drawn, key=lambda one: one[0]):
            content(pen)
        page.line([left, left, right], [top, bottom, bottom], _AXIS, 0.8)
        for place, name in zip(pen.x(self.xticks), _named(self.xticks, "x" in panel.percent), strict=True):
            page.line([place, place], [bottom, bottom - _TICK], _AXIS, 0.8)
            if not panel.hide_x:
                page.text(place, bottom - _TICK - 2, name, self.size, "center top")
        for place, name in zip(pen.y(self.yticks), self.names, strict=True):
            page.line([left - _TICK, left], [place, place], _AXIS, 0.8)
            page.text(left - _TICK - 2, place, name, self.size, "right middle")
        if panel.ylabel:
            at = left - self.left + _GAP
            page.text(at, (bottom + top) / 2, panel.ylabel, panel.text_size, "left middle", upright=True)
        if panel.legend == "upper left":
            _legend(page, panel.entries, left + _GAP, top, 1, at="left")
        elif panel.legend == "lower right":
            _legend(page, panel.entries, right, bottom + _GAP, 1, at="right", above=True)


def _legend(
    page: ChartPage,
    entries: Sequence[LegendEntry],
    x: float,
    y: float,
    columns: int,
    *,
    at: str = "center",
    above: bool = False,
) -> float:
    """Draw a legend at a point, hanging from it or standing on it; its height."""
    if not entries:
        return 0.0
    size = 6.8
    columns = min(columns, len(entries))
    down = math.ceil(len(entries) / columns)
    line = page.extent("Ag", size)[1] + 4
    widths = [
        max(page.extent(entry.text, size)[0] for entry in entries[column * down : (column + 1) * down] or entries)
        + _SAMPLE
        + 3 * _GAP
        for column in range(columns)
    ]
    start = x - {"left": 0.0, "center": sum(widths) / 2, "right": sum(widths)}[at]
    top = y + down * line if above else y
    for number, entry in enumerate(entries):
        column, row = divmod(number, down)
        left, middle = start + sum(widths[:column]), top - (row + 0.5) * line
        if entry.fill is not None:
            side = [left, left + _SAMPLE, left + _SAMPLE, left]
            page.area(side, [middle - 3, middle - 3, middle + 3, middle + 3], entry.colour, entry.fill)
        if entry.style is not None:
            page.line([left, left + _SAMPLE], [middle, middle], entry.colour, entry.width, entry.style)
        if entry.mark is not None:
            page.marks(np.array([left + _SAMPLE / 2]), np.array([middle]), entry.colour, 3.6, entry.mark)
        page.text(left + _SAMPLE + _GAP, middle, entry.text, size, "left middle")
    return down * line


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(each) for each in found if low - slack <= each <= high + slack]


def _log_ticks(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def _named(ticks: Sequence[float], percent: bool) -> list[str]:
    return [
        f"{100 * each:.6g} %" if percent else f"{each:.6g}" for each in (0.0 if abs(t) < 1e-12 else t for t in ticks)
    ]
