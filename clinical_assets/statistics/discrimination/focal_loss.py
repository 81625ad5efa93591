"""Focal loss: the logarithmic loss in which what is told well already counts less.

Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv 1708.02002. A loss that is not proper: what
minimises it is no probability, and has to be recalibrated.
"""

from __future__ import annotations

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray

#: Exponent of the paper's experiments.
GAMMA = 2.0
_LEAST = 1e-12


def focal_loss(margins: FloatArray, y: IntArray, *, gamma: float = GAMMA) -> FloatArray:
    """Focal loss of each row, -(1 - p)^gamma ln p, where p is the probability of the true class.

    Parameters
    ----------
    margins : array of shape (n,) or (n, k)
        Log-odds of class 1 for two classes; scores of each class, of which the softmax is the probability, for more.
    y : array of shape (n,)
        Class numbers.
    gamma : float
        0 or more; 0 is the logarithmic loss.

    Returns
    -------
    array of shape (n,)
        0 is best.

    Examples
    --------
    >>> focal_loss(np.array([0.0, 2.0]), np.array([1, 1]), gamma=0).round(4).tolist()
    [0.6931, 0.1269]
    >>> focal_loss(np.array([0.0, 2.0]), np.array([1, 1])).round(4).tolist()
    [0.1733, 0.0018]
    """
    p = _true(_probabilities(margins), y)
    return np.asarray(-((1 - p) ** gamma) * np.log(p))


def focal_derivatives(margins: FloatArray, y: IntArray, *, gamma: float = GAMMA) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of the focal loss by each margin; shapes as `margins`.

    Of the second derivative the diagonal. The loss is not convex: it may be negative where the true class is unlikely.

    Examples
    --------
    >>> first, second = focal_derivatives(np.array([0.0]), np.array([1]), gamma=0)
    >>> float(first[0]), float(second[0])
    (-0.5, 0.25)
    """
    each = _probabilities(margins)
    p = _true(each, y)
    log_p, rest = np.log(p), 1 - p
    # slope = p dL/dp, and bend is its derivative by p.
    slope = gamma * p * rest ** (gamma - 1) * log_p - rest**gamma
    bend = (
        gamma * rest ** (gamma - 1) * (log_p + 2)
        - gamma * (gamma - 1) * p * np.where(rest > 0, rest, 1) ** (gamma - 2) * log_p
    )
    if margins.ndim == 1:
        sign = np.where(y == 1, 1.0, -1.0)
        return sign * slope * rest, p * rest * (bend * rest - slope)
    apart = (np.arange(each.shape[1]) == y[:, None]) - each
    first = slope[:, None] * apart
    second = (bend * p)[:, None] * apart**2 - slope[:, None] * each * (1 - each)
    return first, second


def _probabilities(margins: FloatArray) -> FloatArray:
    """Of each class (n, k)."""
    from scipy.special import expit, softmax

    if margins.ndim == 1:
        return np.column_stack([expit(-margins), expit(margins)])
    return np.asarray(softmax(margins, axis=1))


def _true(each: FloatArray, y: IntArray) -> FloatArray:
    """Probability of the true class (n,), kept from 0 and 1."""
    return np.clip(each[np.arange(len(y)), np.asarray(y, dtype=np.int64)], _LEAST, 1 - _LEAST)
