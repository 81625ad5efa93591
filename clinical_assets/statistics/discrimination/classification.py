"""What happens at one threshold: sensitivity, specificity, predictive values, F1, alert rate.

What belongs here: measures of the two-by-two table of alerts and events.
What does not: choosing the threshold and its cost (`net_benefit`); ranking (`discrimination`).

F1 is reported because people expect it. It is improper for choosing a model (Van Calster et al.,
arXiv:2412.10288), so no gate should rest on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.statistics.inputs import binary_sample, check_fraction
from clinical_assets.statistics.uncertainty.intervals import Estimate, proportion


@dataclass(frozen=True)
class ThresholdMetrics:
    """Measures when every record with p >= threshold raises an alert.

    Attributes
    ----------
    threshold : float
    true_alerts, false_alerts, missed, true_silences : float
        The two-by-two table: TP, FP, FN, TN as sums of weights.
    sensitivity, specificity, f1, alert_rate : Estimate
        In [0, 1]; 1 is ideal except for the alert rate. Wilson intervals; that of F1 = 2J / (1 + J) is
        the Wilson interval of J, the share of true alerts among records that are an alert or an event.
    ppv : Estimate or None
        Share of events among alerts; None when nothing raises an alert, since it is then undefined.
    npv : Estimate or None
        Share of non-events among the silent; None when everything raises an alert.
    number_needed_to_evaluate : Estimate or None
        Alerts looked at per event found, 1 / PPV; 1 is ideal. The value or the upper bound is infinite when
        no alert was true. None when nothing raises an alert.
    """

    threshold: float
    true_alerts: float
    false_alerts: float
    missed: float
    true_silences: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate | None
    npv: Estimate | None
    f1: Estimate
    alert_rate: Estimate
    number_needed_to_evaluate: Estimate | None


def threshold_metrics(
    y: ArrayLike,
    p: ArrayLike,
    *,
    threshold: float,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> ThresholdMetrics:
    """The two-by-two table at a threshold, with Wilson intervals.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    p : array of shape (n,), probabilities in (0, 1)
        Predicted risks.
    threshold : float in (0, 1)
        A record raises an alert when p >= threshold.
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.
    level : float in (0, 1)
        Confidence level of the intervals.

    Raises
    ------
    InsufficientData
        A class is missing.
    InvalidArray
        NaN, infinite, out of range, or shapes that differ.

    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> at_half = threshold_metrics([1, 1, 1, 0, 0], [0.9, 0.7, 0.2, 0.6, 0.1], threshold=0.5)
    >>> at_half.true_alerts, at_half.false_alerts, at_half.missed, at_half.true_silences
    (2.0, 1.0, 1.0, 1.0)
    >>> round(at_half.sensitivity.value, 2), at_half.specificity.value
    (0.67, 0.5)
    >>> at_half.number_needed_to_evaluate.value  # three alerts for two events
    1.5
    """
    check_fraction(threshold, name="threshold")
    sample = binary_sample(y, p, weights)
    alert = sample.score >= threshold
    weight, events = sample.weights, sample.weights * sample.y
    tp = float(events[alert].sum())
    alerts = float(weight[alert].sum())
    fn = float(events[~alert].sum())
    silent = float(weight[~alert].sum())
    fp, tn = alerts - tp, silent - fn
    total = alerts + silent
    ppv = proportion(tp, alerts, level=level) if alerts > 0 else None
    return ThresholdMetrics(
        threshold=threshold,
        true_alerts=tp,
        false_alerts=fp,
        missed=fn,
        true_silences=tn,
        sensitivity=proportion(tp, tp + fn, level=level),
        specificity=proportion(tn, fp + tn, level=level),
        ppv=ppv,
        npv=proportion(tn, silent, level=level) if silent > 0 else None,
        f1=_f1(proportion(tp, tp + fp + fn, level=level)),
        alert_rate=proportion(alerts, total, level=level),
        number_needed_to_evaluate=None if ppv is None else _reciprocal(ppv),
    )


def _f1(jaccard: Estimate) -> Estimate:
    """F1 is a rising function of the Jaccard index, which is a proportion: its bounds map to bounds."""
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.ci_low, jaccard.ci_high))
    return replace(jaccard, value=value, ci_low=low, ci_high=high, method="wilson of the Jaccard index")


def _reciprocal(share: Estimate) -> Estimate:
    value, low, high = (math.inf if x == 0 else 1 / x for x in (share.value, share.ci_high, share.ci_low))
    return replace(share, value=value, ci_low=low, ci_high=high, method="reciprocal of wilson")


def sensitivity_specificity_curve(
    y: ArrayLike, p: ArrayLike, *, thresholds: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and specificity at each threshold, for plots; arrays of the shape of `thresholds`.

    Parameters and errors as in `threshold_metrics`; thresholds may be any finite numbers.

    Examples
    --------
    >>> y, p = [0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8]
    >>> sensitivity, specificity = sensitivity_specificity_curve(y, p, thresholds=[0, 0.2, 0.5, 1])
    >>> sensitivity.tolist()  # from alerting everybody to alerting nobody
    [1.0, 1.0, 0.5, 0.0]
    >>> specificity.tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    sample = binary_sample(y, p, weights)
    grid = np.asarray(thresholds, dtype=float)
    order = np.argsort(sample.score)
    score = sample.score[order]
    events = np.concatenate([[0.0], np.cumsum((sample.weights * sample.y)[order])])
    others = np.concatenate([[0.0], np.cumsum((sample.weights * (1 - sample.y))[order])])
    silent = np.searchsorted(score, grid, side="left")
    return 1 - events[silent] / events[-1], others[silent] / others[-1]
