"""What a prediction costs, row by row: the measures by which settings and candidates are compared.

Rows, not means, so that two candidates can be compared on the same rows with the standard error of their difference.
Means with intervals are the work of ``clinical_assets.statistics``, whose values these equal.
"""

from __future__ import annotations

import numpy as np

from clinical_assets.cohorts.decisions import Costs
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.discrimination.discrimination import auroc_statistic


def as_matrix(p: FloatArray) -> FloatArray:
    """Risks (n,) of two classes as probabilities (n, 2); probabilities (n, k) as they are."""
    return np.column_stack([1 - p, p]) if p.ndim == 1 else p


def action_risk(p: FloatArray, *, action_from: int) -> FloatArray:
    """Probability (n,) of class `action_from` or a more severe one: the risk that costs and tiers speak of."""
    if p.ndim == 1:
        return p
    # The complement is summed where it is smaller, so that a risk near 1 keeps its distance from 1.
    upper, lower = p[:, action_from:].sum(axis=1), p[:, :action_from].sum(axis=1)
    return np.asarray(np.where(upper < lower, upper, 1 - lower))


def proper_losses(y: IntArray, p: FloatArray) -> FloatArray:
    """Ranked probability score of each row, (n,); with two classes it is the squared error behind the Brier score.

    Source: Epstein 1969; ``statistics.multiclass.ranked_probability_score`` is the mean.
    """
    matrix = as_matrix(p)
    steps = np.arange(matrix.shape[1] - 1)
    reached = y[:, None] <= steps
    return np.asarray(((np.cumsum(matrix, axis=1)[:, :-1] - reached) ** 2).sum(axis=1) / steps.size)


def cost_losses(y: IntArray, p: FloatArray, *, costs: Costs, action_from: int) -> FloatArray:
    """Cost of each row, (n,), when everyone at or above the closed-form threshold is treated.

    Source: ``statistics.net_benefit.expected_cost`` is the mean.
    """
    alert = action_risk(p, action_from=action_from) >= costs.threshold
    event = y >= action_from
    return np.where(alert, costs.false_positive * ~event, costs.false_negative * event).astype(np.float64)


def mean_loss(losses: FloatArray, weights: FloatArray | None, *, rows: IntArray | slice = slice(None)) -> float:
    """Mean of losses (n,) over some rows, by case weights (n,) where there are any."""
    return float(np.average(losses[rows], weights=None if weights is None else weights[rows]))


def mean_auroc(y: IntArray, p: FloatArray, weights: FloatArray | None = None) -> float:
    """AUROC of two classes, or the mean of the one-vs-rest AUROCs; by case weights (n,) where there are any."""
    counted = (np.ones(y.size) if weights is None else weights)[None, :]
    if p.ndim == 1:
        return float(auroc_statistic(y, p)(counted)[0])
    return float(np.mean([auroc_statistic(y == k, p[:, k])(counted)[0] for k in range(p.shape[1])]))
