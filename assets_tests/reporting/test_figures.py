"""Axes of pictures: where they end, and that nothing lies beyond them."""

from __future__ import annotations

import math

import pytest

from clinical_assets.reporting.figures import end_of_axis


@pytest.mark.parametrize("top", [0.004, 0.05, 0.18, 0.7, 0.99])
def test_axes_of_risks_end_a_little_beyond_the_risks_and_never_beyond_one(top: float) -> None:
    end = end_of_axis([top])
    assert top <= end <= min(1.0, 1.2 * top + 1e-9)
    assert math.isclose(end, round(end, 4))
