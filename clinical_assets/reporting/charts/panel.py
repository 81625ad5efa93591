"""One pair of axes with what is drawn on it: lines, bands, bars, points, and their legend.

What belongs here: what a picture says. What does not: where it lies on the page (``drawing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.reporting.charts.page import Mark, Pen, Style, floats
from clinical_assets.reporting.figures import ACCENT, INK, QUIET, in_percent

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend."""

    text: str
    colour: str
    style: Style | None = None
    width: float = 1.5
    mark: Mark | None = None
    fill: float | None = None


@dataclass
class Panel:
    """One pair of axes; what is drawn on it is kept until the picture is made.

    Attributes
    ----------
    xlabel, ylabel, title : str
        Beside the axes, and above them at the left.
    note : str
        Small, above the axes at the right.
    xlim, ylim : pair of float, optional
        Ends of the axes; around what is drawn where not given.
    log : bool
        Whether x is logarithmic.
    percent : bool
        Whether the axes' numbers are shares, shown in percent.
    ticks : mapping of place to text, optional
        In place of numbers on the y axis.
    square : bool
        Whether a unit of x is as long as one of y.
    hide_x : bool
        Whether a panel below names the x axis for this one.
    """

    xlabel: str = ""
    ylabel: str = ""
    title: str = ""
    note: str = ""
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    log: bool = False
    percent: frozenset[str] = frozenset()
    ticks: dict[float, str] | None = None
    square: bool = False
    hide_x: bool = False
    text_size: float = 8.0
    legend: Literal["upper left", "lower right", "below", "picture", None] = None
    columns: int = 3
    drawn: list[tuple[float, Callable[[Pen], None]]] = field(default_factory=list)
    entries: list[LegendEntry] = field(default_factory=list)
    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)

    def line(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        colour: str = INK,
        width: float = 1.5,
        style: Style = "-",
        step: bool = False,
        label: str | None = None,
    ) -> None:
        """A line through points; ``step`` keeps each value up to the next point."""
        xs, ys = _stepped(x, y) if step else (floats(x), floats(y))
        self._seen(xs, ys)
        self._add(lambda pen: pen.line(xs, ys, colour, width, style), 2, label, colour, style=style, width=width)

    def band(
        self,
        x: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        *,
        colour: str = INK,
        alpha: float = 0.15,
        step: bool = False,
        label: str | None = None,
    ) -> None:
        """An area between two lines."""
        make = _stepped if step else (lambda a, b: (floats(a), floats(b)))
        (xs, lows), (_, highs) = make(x, low), make(x, high)
        self._seen(xs, np.concatenate([lows, highs]))
        outline_x, outline_y = np.concatenate([xs, xs[::-1]]), np.concatenate([lows, highs[::-1]])
        self._add(lambda pen: pen.area(outline_x, outline_y, colour, alpha), 1, label, colour, fill=alpha)

    def points(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        colours: str | Sequence[str] = ACCENT,
        size: float = 4.0,
        mark: Mark = "o",
        label: str | None = None,
    ) -> None:
        """Marks of ``size`` points across, in one colour or each in its own."""
        xs, ys = floats(x), floats(y)
        self._seen(xs, ys)
        first = colours if isinstance(colours, str) else (list(colours) or [INK])[0]
        self._add(lambda pen: pen.marks(xs, ys, colours, size, mark), 3, label, first, mark=mark)

    def intervals(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, colour: str, width: float = 0.9) -> None:
        """Vertical lines."""
        for place, down, up in zip(floats(x), floats(low), floats(high), strict=True):
            self.line([place, place], [down, up], colour=colour, width=width)

    def bars(
        self,
        low: ArrayLike,
        high: ArrayLike,
        heights: ArrayLike,
        *,
        colour: str = INK,
        across: bool = False,
        label: str | None = None,
    ) -> None:
        """Bars from zero between the edges ``low`` and ``high``; ``across`` lays them along y."""
        starts, ends, tall = floats(low), floats(high), np.append(floats(heights), 0.0)
        edges = np.concatenate([starts, ends])
        self._seen(tall if across else edges, edges if across else tall)

        def draw(pen: Pen) -> None:
            for start, end, height in zip(starts, ends, tall[:-1], strict=True):
                side, up = [start, end, end, start], [0.0, 0.0, height, height]
                pen.area(*((up, side) if across else (side, up)), colour, 1.0)

        self._add(draw, 1, label, colour, fill=1.0)

    def span(self, low: float, high: float, *, colour: str, alpha: float, label: str | None = None) -> None:
        """A coloured part of the x axis, over the whole height."""
        self._add(lambda pen: pen.upright(low, high, colour, alpha), 0, label, colour, fill=alpha)

    def rule(
        self,
        *,
        x: float | None = None,
        y: float | None = None,
        colour: str = QUIET,
        width: float = 0.9,
        style: Style = "-",
        label: str | None = None,
    ) -> None:
        """A line across the whole panel, upright at ``x`` or level at ``y``."""
        self._seen(floats([] if x is None else [x]), floats([] if y is None else [y]))
        self._add(lambda pen: pen.rule(x, y, colour, width, style), 2, label, colour, style=style, width=width)

    def threshold(self, value: float) -> None:
        """A dotted line at the threshold in use, a risk in (0, 1)."""
        self.rule(x=value, colour=ACCENT, style=":", label=f"threshold {in_percent(value)}")

    def _add(self, draw: Callable[[Pen], None], level: float, label: str | None, colour: str, **how: Any) -> None:
        self.drawn.append((level, draw))
        if label is not None:
            self.entries.append(LegendEntry(label, colour, **how))

    def _seen(self, x: np.ndarray, y: np.ndarray) -> None:
        self.xs += x[np.isfinite(x)].tolist()
        self.ys += y[np.isfinite(y)].tolist()


def _stepped(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(floats(x), 2)[1:], np.repeat(floats(y), 2)[:-1]
