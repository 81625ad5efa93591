"""A picture made of paths and texts, by Matplotlib's anti-aliased renderer (Agg) without its figures.

A figure of Matplotlib costs a tenth of a second, most of it for objects (ticks, spines, layouts) that a picture of
fixed style does not need; a training draws fourteen. What belongs here: the page in pixels, and a pen that draws on it
in the numbers of a panel's axes. What does not: axes and legends (``drawing``).
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.reporting.figures import DPI

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Style = Literal["-", "--", ":"]
Mark = Literal["o", "s"]
_DASHES: dict[Style, tuple[float, ...]] = {"-": (), "--": (3.7, 1.6), ":": (1.0, 1.65)}
_TEXT = "#000000"
_EXTENTS: dict[tuple[str, float, bool], tuple[float, float, float]] = {}
_MOST_EXTENTS = 5000


class ChartPage:
    """An empty picture of ``width`` x ``height`` inches; what is drawn has its place in pixels from the lower left."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.transforms import IdentityTransform

        self._renderer: Any = RendererAgg(width * DPI, height * DPI, DPI)  # type: ignore[no-untyped-call]
        self.width, self.height = float(self._renderer.width), float(self._renderer.height)
        self._same = IdentityTransform()
        self.area([0, self.width, self.width, 0], [0, 0, self.height, self.height], "#ffffff", 1.0)

    def line(
        self, x: ArrayLike, y: ArrayLike, colour: str, width: float, style: Style = "-", inside: Any = None
    ) -> None:
        """A line ``width`` points wide."""
        from matplotlib.path import Path

        pen = self._renderer.new_gc()
        pen.set_foreground(colour)
        pen.set_linewidth(pixels := width * DPI / 72)
        if dashes := _DASHES[style]:
            pen.set_dashes(0, [part * pixels for part in dashes])
        if inside is not None:
            pen.set_clip_rectangle(inside)
        self._renderer.draw_path(pen, Path(np.column_stack([x, y])), self._same, None)
        pen.restore()

    def area(self, x: ArrayLike, y: ArrayLike, colour: str, alpha: float, inside: Any = None) -> None:
        """A filled outline."""
        from matplotlib.colors import to_rgba
        from matplotlib.path import Path

        pen = self._renderer.new_gc()
        pen.set_linewidth(0)
        if inside is not None:
            pen.set_clip_rectangle(inside)
        self._renderer.draw_path(pen, Path(np.column_stack([x, y])), self._same, to_rgba(colour, alpha))
        pen.restore()

    def extent(self, text: str, size: float, *, bold: bool = False) -> tuple[float, float]:
        """Width and height of a line of text."""
        return self._extent(text, size, bold)[:2]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        place: str,
        colour: str = _TEXT,
        *,
        bold: bool = False,
        upright: bool = False,
    ) -> float:
        """Write a line; ``place`` says which part of it lies at (x, y); its height."""
        font = _font(size, bold=bold)
        width, height, descent = self._extent(text, size, bold)
        if upright:
            width, height = height, width
        x -= {"left": 0.0, "center": width / 2, "right": width}[place.split()[0]]
        y -= {"bottom": 0.0, "middle": height / 2, "top": height}[place.split()[1]]
        pen = self._renderer.new_gc()
        pen.set_foreground(colour)
        base_x, base_y = (x + width - descent, y) if upright else (x, y + descent)
        self._renderer.draw_text(pen, base_x, self.height - base_y, text, font, 90 if upright else 0, ismath=False)
        pen.restore()
        return float(height)

    def marks(self, x: np.ndarray, y: np.ndarray, colour: str, size: float, mark: Mark, inside: Any = None) -> None:
        """Circles or squares of one colour, ``size`` points across."""
        from matplotlib.colors import to_rgba
        from matplotlib.path import Path

        pen = self._renderer.new_gc()
        pen.set_linewidth(0)
        if inside is not None:
            pen.set_clip_rectangle(inside)
        outline = Path(np.column_stack(_outline(size * DPI / 72, mark)))
        places = Path(np.column_stack([x, y]))
        self._renderer.draw_markers(pen, outline, self._same, places, self._same, to_rgba(colour))
        pen.restore()

    def png(self) -> bytes:
        """What was drawn, without transparency; the same drawing gives the same bytes."""
        from PIL import Image

        buffer = io.BytesIO()
        pixels = np.asarray(self._renderer.buffer_rgba())[:, :, :3]
        Image.fromarray(pixels).save(buffer, format="png", dpi=(DPI, DPI))
        return buffer.getvalue()

    def _extent(self, text: str, size: float, bold: bool) -> tuple[float, float, float]:
        """Width, height and descent of a line of text, measured once."""
        asked = (text, size, bold)
        if asked not in _EXTENTS:
            if len(_EXTENTS) > _MOST_EXTENTS:
                _EXTENTS.clear()
            font = _font(size, bold=bold)
            _EXTENTS[asked] = self._renderer.get_text_width_height_descent(text, font, ismath=False)
        return _EXTENTS[asked]


@dataclass
class Pen:
    """Draws on a page in the numbers of one panel's axes."""

    page: ChartPage
    box: tuple[float, float, float, float]
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    log: bool

    def x(self, values: ArrayLike) -> np.ndarray:
        """Pixels of x values."""
        low, high, found = *self.xlim, floats(values)
        if self.log:
            low, high, found = math.log(low), math.log(high), np.log(np.maximum(found, 1e-300))
        return np.asarray(self.box[0] + (found - low) / (high - low) * (self.box[1] - self.box[0]))

    def y(self, values: ArrayLike) -> np.ndarray:
        """Pixels of y values."""
        low, high = self.ylim
        return np.asarray(self.box[2] + (floats(values) - low) / (high - low) * (self.box[3] - self.box[2]))

    @property
    def inside(self) -> Any:
        """The panel as what is drawn is cut off at."""
        from matplotlib.transforms import Bbox

        left, right, bottom, top = self.box
        return Bbox([[left - 1, bottom - 1], [right + 1, top + 1]])

    def line(self, x: ArrayLike, y: ArrayLike, colour: str, width: float, style: Style) -> None:
        """A line through points."""
        self.page.line(self.x(x), self.y(y), colour, width, style, self.inside)

    def area(self, x: ArrayLike, y: ArrayLike, colour: str, alpha: float) -> None:
        """A filled outline."""
        self.page.area(self.x(x), self.y(y), colour, alpha, self.inside)

    def upright(self, low: float, high: float, colour: str, alpha: float) -> None:
        """A part of the x axis, over the whole height."""
        left, right = self.x([low, high])
        self.page.area([left, right, right, left], np.repeat(self.box[2:], 2), colour, alpha, self.inside)

    def rule(self, x: float | None, y: float | None, colour: str, width: float, style: Style) -> None:
        """A line across the whole panel, upright or level."""
        xs = self.box[:2] if x is None else self.x([x, x])
        ys = self.box[2:] if y is None else self.y([y, y])
        self.page.line(xs, ys, colour, width, style, self.inside)

    def marks(self, x: ArrayLike, y: ArrayLike, colours: str | Sequence[str], size: float, mark: Mark) -> None:
        """A line across the whole panel."""
        """A part of the x axis over the whole height."""
        """A filled outline."""
        """A line through points."""
        """Marks in one colour, or each in its own."""
        xs, ys = self.x(x), self.y(y)
        if isinstance(colours, str):
            self.page.marks(xs, ys, colours, size, mark, self.inside)
            return
        each = np.asarray(colours)
        for colour in dict.fromkeys(colours):
            self.page.marks(xs[each == colour], ys[each == colour], colour, size, mark, self.inside)


def floats(values: ArrayLike) -> np.ndarray:
    """Numbers as an array of shape (n,)."""
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _outline(size: float, mark: Mark) -> tuple[np.ndarray, np.ndarray]:
    turn = np.linspace(0, 2 * np.pi, 17) if mark == "o" else np.pi / 4 + np.arange(5) * np.pi / 2
    radius = size / 2 if mark == "o" else size / math.sqrt(2)
    return radius * np.cos(turn), radius * np.sin(turn)


@cache
def _font(size: float, *, bold: bool = False) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(size=size, weight="bold" if bold else "normal")
