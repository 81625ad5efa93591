"""Decision among several classes: the one with the least expected cost, and what the decisions came to.

What belongs here: an outcome with classes 0 .. K-1 and a matrix that says what each decision costs for each true class.
What does not: one risk and its threshold (``net_benefit``, ``cost_curve``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, as_labels


def equal_costs(n_classes: int) -> FloatArray:
    """Costs under which every wrong decision is equally wrong: the cheapest class is then the likeliest.

    >>> equal_costs(2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return 1.0 - np.eye(n_classes)


def cheapest_class(probabilities: ArrayLike, costs: ArrayLike) -> IntArray:
    """The decision with the least expected cost for each record: argmin over d of sum over k of p_k cost[k, d].

    Parameters
    ----------
    probabilities : array of shape (n, K), in [0, 1]
        Calibrated probability of each class.
    costs : array of shape (K, K)
        Cost of deciding for the class of the column when the class of the row is true.

    Returns
    -------
    array of int, shape (n,)
        Class numbers; of equally cheap ones the higher, which is the more severe.

    Raises
    ------
    InvalidArray
        The shapes do not fit, or a cost is not finite.

    Notes
    -----
    Source: Elkan 2001, The foundations of cost-sensitive learning, IJCAI, equation 1; with two classes it is the
    threshold C_FP / (C_FP + C_FN) of Pauker & Kassirer 1980, doi 10.1056/NEJM198005153022003.

    Examples
    --------
    >>> probable = [[0.8, 0.15, 0.05], [0.5, 0.4, 0.1]]
    >>> cheapest_class(probable, equal_costs(3)).tolist()
    [0, 0]
    >>> cheapest_class(probable, [[0, 1, 2], [4, 0, 1], [20, 8, 0]]).tolist()  # a missed case costs more
    [1, 1]
    """
    p, matrix = np.asarray(probabilities, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if p.ndim != 2 or matrix.shape != (p.shape[1], p.shape[1]):
        raise InvalidArray(f"probabilities have shape {p.shape} and costs {matrix.shape}, expected (n, K) and (K, K)")
    if not np.isfinite(matrix).all():
        raise InvalidArray("costs must be finite")
    expected = p @ matrix
    return np.asarray(matrix.shape[0] - 1 - expected[:, ::-1].argmin(axis=1), dtype=np.int64)


def confusion(y: ArrayLike, decided: ArrayLike, *, n_classes: int) -> IntArray:
    """Records by true class (rows) and decided class (columns), shape (K, K).

    Raises InvalidArray if a class is not in 0 .. K-1 or the arrays differ in length.

    Examples
    --------
    >>> confusion([0, 0, 1, 2], [0, 1, 1, 0], n_classes=3).tolist()
    [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    """
    truth = as_labels(y, n_classes=n_classes)
    decision = as_labels(decided, n_classes=n_classes, name="decided")
    if truth.size != decision.size:
        raise InvalidArray(f"decided has {decision.size} elements but y has {truth.size}")
    return np.bincount(truth * n_classes + decision, minlength=n_classes**2).reshape(n_classes, n_classes)
