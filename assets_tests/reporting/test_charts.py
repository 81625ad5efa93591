"""What a chart shows lies where its numbers say, and the same numbers give the same picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from clinical_assets.reporting.charts.drawing import draw
from clinical_assets.reporting.charts.panel import Panel

RED, WIDE = "#ff0000", 3.0


def _rows_of_red(picture: bytes) -> list[float]:
    """Heights, in pixels from below, of the level red lines of a picture."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    red = (pixels[:, :, 0] > 200) & (pixels[:, :, 1] < 90) & (pixels[:, :, 2] < 90)
    rows = np.flatnonzero(red.sum(axis=1) > 100)
    return [pixels.shape[0] - float(part.mean()) for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]


def _panel(*, ylim: tuple[float, float] | None = (0.0, 1.0)) -> Panel:
    return Panel(xlabel="Predicted risk", ylabel="Observed share", xlim=(0, 1), ylim=ylim, legend="below")


def test_values_lie_in_proportion_whatever_stands_beside_the_axes() -> None:
    for title in ("", "A title"):
        panel = _panel()
        panel.title = title
        for value in (0.2, 0.4, 0.8):
            panel.line([0, 1], [value, value], colour=RED, width=WIDE, label=f"{value} of all")
        first, second, third = sorted(_rows_of_red(draw([panel], synthetic=bool(title))))[-3:]
        assert abs((third - second) - 2 * (second - first)) <= 2
    assert second - first > 30


def test_what_lies_beyond_the_axes_is_cut_off() -> None:
    panel = _panel(ylim=(0.0, 0.5))
    panel.line([0, 1], [0.9, 0.9], colour=RED, width=WIDE)
    panel.line([0, 1], [0.25, 0.25], colour=RED, width=WIDE)
    assert len(_rows_of_red(draw([panel], synthetic=False))) == 1


def test_axes_without_given_ends_take_in_all_that_is_drawn() -> None:
    panel = _panel(ylim=None)
    for value in (-3.0, 40.0):
        panel.line([0, 1], [value, value], colour=RED, width=WIDE)
    assert len(_rows_of_red(draw([panel], synthetic=False))) == 2


def test_the_same_numbers_give_the_same_bytes_and_synthetic_records_are_told() -> None:
    def picture(*, synthetic: bool, panels: int = 1) -> bytes:
        drawn = []
        for _ in range(panels):
            panel = _panel()
            panel.points([0.1, 0.9], [0.2, 0.3], colours=[RED, "#0000ff"], label="tenths")
            panel.bars([0.2], [0.4], [0.7], colour="#00ff00")
            drawn.append(panel)
        return draw(drawn, synthetic=synthetic, across=panels)

    assert picture(synthetic=True, panels=2) == picture(synthetic=True, panels=2)
    assert picture(synthetic=True) != picture(synthetic=False)
