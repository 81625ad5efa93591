"""Focal loss: its derivatives are those of finite differences, and without its exponent it is the logarithmic loss."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from clinical_assets.statistics.discrimination.focal_loss import focal_derivatives, focal_loss

STEP = 1e-5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("classes", [2, 4])
def test_derivatives_are_those_of_finite_differences(gamma: float, classes: int) -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, classes, 60)
    z = random.normal(0, 2, 60 if classes == 2 else (60, classes))
    first, second = focal_derivatives(z, y, gamma=gamma)
    for column in range(1 if classes == 2 else classes):
        moved = STEP if classes == 2 else STEP * (np.arange(classes) == column)
        at = (slice(None),) if classes == 2 else (slice(None), column)
        slope = (focal_loss(z + moved, y, gamma=gamma) - focal_loss(z - moved, y, gamma=gamma)) / (2 * STEP)
        above, below = (focal_derivatives(z + way * moved, y, gamma=gamma)[0][at] for way in (1, -1))
        assert first[at] == pytest.approx(slope, abs=1e-8)
        assert second[at] == pytest.approx((above - below) / (2 * STEP), abs=1e-8)


def test_without_its_exponent_it_is_the_logarithmic_loss() -> None:
    random = np.random.default_rng(2)
    z, y = random.normal(size=(50, 3)), random.integers(0, 3, 50)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert focal_loss(z, y, gamma=0).mean() == pytest.approx(log_loss(y, p))


def test_what_is_told_well_counts_less_than_by_the_logarithmic_loss() -> None:
    z, y = np.array([-1.0, 0.0, 3.0]), np.array([1, 1, 1])
    shares = focal_loss(z, y) / focal_loss(z, y, gamma=0)
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.01


def test_margins_beyond_double_precision_give_finite_derivatives() -> None:
    for gamma in (0.5, 2.0):
        first, second = focal_derivatives(np.array([-800.0, 800.0]), np.array([1, 1]), gamma=gamma)
        assert np.isfinite([first, second]).all()
