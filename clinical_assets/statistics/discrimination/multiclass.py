"""Ordered and unordered classes: AUROC by class, quadratic kappa, macro-averaged error, ranked probability score.

What belongs here: measures for an outcome with more than two classes, coded 0 .. K-1 (in their order).
What does not: binary measures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.discrimination.discrimination import auroc, auroc_statistic
from clinical_assets.statistics.inputs import InvalidArray, Seed, as_labels, as_weights, refuse_rows
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap, percentile_interval
from clinical_assets.statistics.uncertainty.intervals import Estimate, mean_estimate
from clinical_assets.statistics.uncertainty.resampling import cell_totals, resampled_cell_totals

SUM_TOLERANCE = 1e-6


def one_vs_rest_auroc(
    y: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> tuple[Estimate, ...]:
    """AUROC of each class against all others, with DeLong's interval, in class order.

    Parameters
    ----------
    y : array of shape (n,), classes 0 .. K-1
        True classes.
    probabilities : array of shape (n, K), rows that add up to 1
        Predicted probability of each class.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the intervals.

    Raises InsufficientData if a class has fewer than 2 records. .5 is chance, 1 is ideal. Source:
    `discrimination.auroc`.

    Examples
    --------
    >>> y = [0, 0, 1, 1, 2, 2]
    >>> p = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.6, 0.2, 0.2], [0.1, 0.3, 0.6], [0.2, 0.1, 0.7]]
    >>> [area.value for area in one_vs_rest_auroc(y, p)]
    [0.875, 0.75, 1.0]
    """
    labels, p = _checked(y, probabilities)
    return tuple(auroc(labels == k, p[:, k], weights=weights, level=level) for k in range(p.shape[1]))


def macro_auroc(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: Seed = 0,
) -> Estimate:
    """Unweighted mean of the one-vs-rest AUROCs, with a bootstrap interval.

    Shapes and errors as in `one_vs_rest_auroc`. Without `groups` the resampling is within classes, so
    that no class is lost; with `groups` (subjects) whole groups are drawn. .5 is chance, 1 is ideal. The
    events of the result are the records of the rarest class.

    Source: the one-vs-rest macro average of scikit-learn's `roc_auc_score`; each class DeLong et al. 1988.

    Examples
    --------
    >>> y = [0, 0, 1, 1, 2, 2]
    >>> p = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.6, 0.2, 0.2], [0.1, 0.3, 0.6], [0.2, 0.1, 0.7]]
    >>> round(macro_auroc(y, p, n_resamples=100).value, 4)  # mean of 0.875, 0.75 and 1
    0.875
    """
    labels, p = _checked(y, probabilities)
    statistics = [auroc_statistic(labels == k, p[:, k]) for k in range(p.shape[1])]
    rarest = np.bincount(labels, weights=as_weights(weights, n=labels.size)).min()

    def macro(w: FloatArray) -> FloatArray:
        return np.asarray(np.mean([statistic(w) for statistic in statistics], axis=0))

    return bootstrap(
        macro,
        labels.size,
        events=float(rarest),
        n_resamples=n_resamples,
        seed=seed,
        weights=weights,
        strata=labels if groups is None else None,
        groups=groups,
        level=level,
    )


def quadratic_kappa(
    y: ArrayLike,
    predicted: ArrayLike,
    *,
    n_classes: int,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: Seed = 0,
) -> Estimate:
    """Agreement of true and predicted ordered class beyond chance, weighted by squared distance.

    Parameters
    ----------
    y, predicted : arrays of shape (n,), classes 0 .. n_classes-1 in their order
        True and predicted classes.
    n_classes : int
        Number of classes, at least 2.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    groups : array of shape (n,), optional
        Subjects or sites to resample as a whole.
    level : float in (0, 1)
        Confidence level of the interval.
    n_resamples : int
        Number of bootstrap resamples.
    seed : int or numpy.random.Generator
        Source of randomness; the same integer gives the same result.

    Returns
    -------
    Estimate
        0 is chance, 1 is perfect agreement, negative is worse than chance. `events` counts exact
        agreements.

    Raises InsufficientData if all records have one and the same class in both arrays: chance is undefined.

    Source: Cohen 1968, doi 10.1037/h0026256.

    Examples
    --------
    >>> y = [0, 0, 1, 1, 2, 2]
    >>> quadratic_kappa(y, y, n_classes=3, n_resamples=100).value
    1.0

    A neighbour is a smaller mistake than the far end:

    >>> near = quadratic_kappa(y, [0, 1, 1, 1, 2, 2], n_classes=3, n_resamples=100)
    >>> far = quadratic_kappa(y, [0, 2, 1, 1, 2, 2], n_classes=3, n_resamples=100)
    >>> round(near.value, 2), round(far.value, 2)
    (0.86, 0.5)
    """
    table, resampled = _confusion(y, predicted, n_classes, weights, groups, n_resamples, seed)
    if np.isnan(_kappa(table, n_classes)[0]):
        raise InsufficientData(
            "all records have one class in both arrays: agreement beyond chance is undefined",
            cure="Pass records of at least two classes.",
        )
    return _of_confusion(_kappa, table, resampled, n_classes, level)


def macro_mean_absolute_error(
    y: ArrayLike,
    predicted: ArrayLike,
    *,
    n_classes: int,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: Seed = 0,
) -> Estimate:
    """How many levels a predicted ordered class is off, on average within each true class, then over the classes.

    Every class counts alike, however rare: whoever always says the commonest level is not rewarded for it. Shapes as
    in `quadratic_kappa`.

    Returns
    -------
    Estimate
        0 is ideal, `n_classes` - 1 is worst. `events` counts exact agreements.

    Raises InsufficientData if a class has no record, or so few that more than 5 % of the resamples lack it.

    Source: Baccianella, Esuli & Sebastiani 2009, doi 10.1109/ISDA.2009.230.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 2] * 10
    >>> macro_mean_absolute_error(y, [0] * 60, n_classes=3, n_resamples=100).value  # (0 + 1 + 2) / 3
    1.0
    >>> macro_mean_absolute_error(y, y, n_classes=3, n_resamples=100).value
    0.0
    """
    absent = np.setdiff1d(np.arange(n_classes), as_labels(y, n_classes=n_classes))
    if absent.size:
        raise InsufficientData(
            f"class {int(absent[0])} does not occur among {np.size(y)} records",
            cure="Widen the cohort, or merge the class with its neighbour.",
        )
    table, resampled = _confusion(y, predicted, n_classes, weights, groups, n_resamples, seed)
    return _of_confusion(_macro_error, table, resampled, n_classes, level)


def _confusion(
    y: ArrayLike,
    predicted: ArrayLike,
    n_classes: int,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    n_resamples: int,
    seed: Seed,
) -> tuple[FloatArray, FloatArray]:
    """Confusion tables: the one of all records (1, K*K), and those of the resamples (b, K*K)."""
    truth = as_labels(y, n_classes=n_classes)
    guess = as_labels(predicted, n_classes=n_classes, name="predicted")
    if truth.size != guess.size:
        raise InvalidArray(f"predicted has {guess.size} elements but y has {truth.size}")
    w = as_weights(weights, n=truth.size)
    cells = truth * n_classes + guess
    resampled = resampled_cell_totals(cells, n_classes**2, n_resamples=n_resamples, seed=seed, weights=w, groups=groups)
    return cell_totals(cells, w, n_classes**2)[None, :], resampled


def _of_confusion(
    statistic: Callable[[FloatArray, int], FloatArray],
    table: FloatArray,
    resampled: FloatArray,
    n_classes: int,
    level: float,
) -> Estimate:
    """A statistic of confusion tables with its interval; exact agreements are its events."""
    low, high = percentile_interval(statistic(resampled, n_classes), level=level)
    value, agreed = float(statistic(table, n_classes)[0]), float(np.trace(table.reshape(n_classes, n_classes)))
    return Estimate(
        value, float(low), float(high), round(float(table.sum())), round(agreed), "bootstrap percentile", level
    )


def _macro_error(tables: FloatArray, n_classes: int) -> FloatArray:
    """Macro-averaged absolute error of confusion tables (b, K*K); NaN where a resample lost a class."""
    counts = tables.reshape(-1, n_classes, n_classes)
    rank = np.arange(n_classes)
    distance = np.abs(rank[:, None] - rank[None, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((counts * distance).sum(axis=2) / counts.sum(axis=2)).mean(axis=1))


def _kappa(tables: FloatArray, n_classes: int) -> FloatArray:
    """Quadratic kappa of confusion tables (b, K*K); NaN where it is undefined."""
    observed = tables.reshape(-1, n_classes, n_classes)
    rank = np.arange(n_classes)
    distance = (rank[:, None] - rank[None, :]) ** 2.0
    expected = observed.sum(axis=2)[:, :, None] * observed.sum(axis=1)[:, None, :]
    total = observed.sum(axis=(1, 2))
    by_chance = (expected * distance).sum(axis=(1, 2)) / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - (observed * distance).sum(axis=(1, 2)) / by_chance)


def ranked_probability_score(
    y: ArrayLike, probabilities: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Mean squared distance of predicted and observed cumulative distribution, divided by K-1.

    With a Wald interval.

    Parameters
    ----------
    y : array of shape (n,), ordered classes 0 .. K-1
        True classes.
    probabilities : array of shape (n, K), rows that add up to 1
        Predicted probability of each class.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the interval.

    Returns
    -------
    Estimate
        0 is ideal, 1 is worst; a proper score. For two classes it is the Brier score. `events` counts
        records of the highest class.

    Source: Epstein 1969, doi 10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2.

    Examples
    --------
    >>> ranked_probability_score([0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]).value
    0.0
    >>> far = ranked_probability_score([0, 1, 2], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    >>> near = ranked_probability_score([0, 1, 2], [[0, 1, 0], [0, 1, 0], [0, 1, 0]])
    >>> round(far.value, 3), round(near.value, 3)  # (1 + 0 + 1) / 3, and (1/2 + 0 + 1/2) / 3
    (0.667, 0.333)
    """
    labels, p = _checked(y, probabilities)
    w = as_weights(weights, n=labels.size)
    steps = np.arange(p.shape[1] - 1)
    reached = labels[:, None] <= steps[None, :]
    losses = ((np.cumsum(p, axis=1)[:, :-1] - reached) ** 2).sum(axis=1) / steps.size
    top = float(w[labels == steps.size].sum())
    return mean_estimate(losses, w, events=top, level=level, bounds=(0, 1))


def _checked(y: ArrayLike, probabilities: ArrayLike) -> tuple[IntArray, FloatArray]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InvalidArray(f"probabilities has shape {p.shape}, expected (n, K) with K >= 2")
    bad = np.any(~np.isfinite(p) | (p < 0) | (p > 1), axis=1)
    if bad.any():
        refuse_rows(np.asarray(bad), name="probabilities", what="rows with a value outside 0 to 1")
    off = np.abs(p.sum(axis=1) - 1) > SUM_TOLERANCE
    if off.any():
        refuse_rows(off, name="probabilities", what="rows that do not add up to 1")
    labels = as_labels(y, n_classes=p.shape[1])
    if labels.size != p.shape[0]:
        raise InvalidArray(f"probabilities has {p.shape[0]} rows but y has {labels.size} elements")
    missing = np.setdiff1d(np.arange(p.shape[1]), labels)
    if missing.size:
        raise InsufficientData(
            f"class {int(missing[0])} does not occur among {labels.size} records",
            cure="Widen the cohort, or merge the class with its neighbour.",
        )
    return labels, p
