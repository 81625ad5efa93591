"""Figures without global state: every picture of the platform begins and ends here."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#27506e"
ACCENT = "#c1553b"
QUIET = "#8a949c"


def new_figure(*, width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches.

    The object interface needs no backend and no global state, so steps in threads cannot disturb each other.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same drawing gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
