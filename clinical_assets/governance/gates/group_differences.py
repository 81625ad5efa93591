"""How differently does a model serve a group and everybody else? Differences with bootstrap intervals.

A group is compared with the rest of the holdout, all others together. No group is thereby declared the norm, every
row is used in each comparison, and two groups are compared with each other.

Alert rates and net benefit rise with how common the event is, and differ between groups for that alone, however well
the model serves both. They are therefore compared at equal need: both groups' true and false alert rates are put on
the prevalence of the whole holdout (direct standardisation). The plain values stand beside them as evidence.

Intervals are percentile bootstrap intervals, resampled within the group and within the rest, so that their sizes stay
fixed; where subjects have several rows, subjects are resampled. Resampling rows is done by resampling the counts of
the cells that they fall into (risk in steps of .02 log-odds, alert, outcome), which is the same distribution at a
fraction of the cost.

Source: net benefit Vickers & Elkin 2006, doi 10.1177/0272989X06295361; calibration intercept and slope Cox 1958, doi
10.1093/biomet/45.3-4.562; standard errors of rates near 0 and 1 Agresti & Caffo 2000, doi
10.1080/00031305.2000.10474560.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from clinical_assets.errors import InsufficientData
from clinical_assets.modelling.inputs import FloatArray, IntArray
from clinical_assets.statistics.bootstrap import MAX_UNDEFINED_SHARE
from clinical_assets.statistics.calibration import with_intercept
from clinical_assets.statistics.logistic import fit_logistic_batch, logit
from clinical_assets.statistics.resampling import cell_totals, resampled_cell_totals

MEASURES = (
    "tpr_difference",
    "fpr_difference",
    "selection_rate_ratio",
    "calibration_slope_difference",
    "calibration_intercept_difference",
    "net_benefit_difference",
)
_STEP = 0.02
_RATES = {"tpr_difference": 1, "fpr_difference": 0}


@dataclass(frozen=True)
class Difference:
    """One measure of a group against the rest.

    Attributes
    ----------
    measure : str
        One of `MEASURES`; differences are group minus rest, the ratio is group over rest.
    value, ci_low, ci_high : float
    error : float
        Standard error of the difference, or of the logarithm of the ratio.
    group, rest : float or None
        The measure in each; None where a difference is not one of two such numbers.
    """

    measure: str
    value: float
    ci_low: float
    ci_high: float
    error: float
    group: float | None
    rest: float | None

    def p_value(self, limit: float) -> float:
        """One-sided, of the hypothesis that the difference keeps the limit (the ratio: lies in limit..1/limit)."""
        ratio = self.measure == "selection_rate_ratio"
        size, bound = (abs(np.log(self.value)), -np.log(limit)) if ratio else (abs(self.value), limit)
        if self.error == 0:
            return 0.0 if size > bound else 1.0
        return NormalDist().cdf(float((bound - size) / self.error))

    def breaks(self, limit: float) -> bool:
        """Whether the whole interval lies beyond the limit, on one side."""
        if self.measure == "selection_rate_ratio":
            return self.ci_high < limit or self.ci_low > 1 / limit
        return self.ci_low > limit or self.ci_high < -limit


def differences(
    y: IntArray,
    risk: FloatArray,
    members: NDArray[np.bool_],
    *,
    threshold: float,
    subjects: IntArray | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, Difference | InsufficientData]:
    """Every measure of a group against the rest.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
    risk : array of shape (n,), in (0, 1)
    members : array of bool, shape (n,)
        True in the group.
    threshold : float
        At or above it a row raises an alert.
    subjects : array of shape (n,), optional
        Subjects, where they have several rows.

    Returns
    -------
    dict
        By measure; the reason in its place where it cannot be estimated.

    Raises
    ------
    InsufficientData
        The group or the rest lacks an outcome.
    """
    for name, part in (("group", members), ("rest", ~members)):
        events = int(y[part].sum())
        if not 0 < events < int(part.sum()):
            raise InsufficientData(f"the {name} has {events} events among {int(part.sum())} rows: both are needed")
    steps = np.round(logit(np.clip(risk, 1e-9, 1 - 1e-9)) / _STEP).astype(np.int64)
    levels, step = np.unique(steps, return_inverse=True)
    cells = step.reshape(-1) * 4 + 2 * (risk >= threshold) + (y == 1)
    counted = _Counted(levels.astype(np.float64) * _STEP, prevalence=float(y.mean()), threshold=threshold)
    parts = (members, ~members)
    observed = [counted(cell_totals(cells[part], np.ones(part.sum()), counted.n)[None]) for part in parts]
    totals = _resampled(cells, members, counted.n, subjects, seed=seed, n_resamples=n_resamples)
    resampled = [counted(part) for part in totals]
    rates = _rates(y, risk >= threshold, members)
    found: dict[str, Difference | InsufficientData] = {}
    for measure in MEASURES:
        group, rest = (float(part[measure][0]) for part in observed)
        if measure in rates:
            group, rest = rates[measure]
        one, two = (part[measure] for part in resampled)
        found[measure] = _estimate(measure, group, rest, one, two, y=y, members=members)
    return found


class _Counted:
    """Measures of one group from totals (b, 4 k) of its cells: step of risk, alert, outcome."""

    def __init__(self, levels: FloatArray, *, prevalence: float, threshold: float) -> None:
        self.levels, self.prevalence, self.n = levels, prevalence, 4 * levels.size
        self.odds = threshold / (1 - threshold)

    def __call__(self, totals: FloatArray) -> dict[str, FloatArray]:
        by_step = totals.reshape(totals.shape[0], -1, 4)
        silent_no, silent_yes, alert_no, alert_yes = by_step.sum(axis=1).T
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr, fpr = alert_yes / (alert_yes + silent_yes), alert_no / (alert_no + silent_no)
        need = self.prevalence
        events, rows = by_step[:, :, 1] + by_step[:, :, 3], by_step.sum(axis=2)
        ones = np.ones((self.levels.size, 1))
        return {
            "tpr_difference": tpr,
            "fpr_difference": fpr,
            "selection_rate_ratio": need * tpr + (1 - need) * fpr,
            "calibration_slope_difference": fit_logistic_batch(with_intercept(self.levels), events, rows)[:, 1],
            "calibration_intercept_difference": fit_logistic_batch(ones, events, rows, offset=self.levels)[:, 0],
            "net_benefit_difference": need * tpr - (1 - need) * fpr * self.odds,
        }


def _resampled(
    cells: IntArray,
    members: NDArray[np.bool_],
    n_cells: int,
    subjects: IntArray | None,
    *,
    seed: int,
    n_resamples: int,
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    if subjects is None:
        group, rest = cells[members], cells[~members]
        return (
            resampled_cell_totals(group, n_cells, n_resamples=n_resamples, seed=rng),
            resampled_cell_totals(rest, n_cells, n_resamples=n_resamples, seed=rng),
        )
    # A subject may have rows in both parts, so both are resampled together.
    both = resampled_cell_totals(
        cells + n_cells * ~members, 2 * n_cells, n_resamples=n_resamples, seed=rng, groups=subjects
    )
    return both[:, :n_cells], both[:, n_cells:]


def _rates(y: IntArray, alert: NDArray[np.bool_], members: NDArray[np.bool_]) -> dict[str, tuple[float, float]]:
    """True and false alert rates in the group and in the rest."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

    frame = MetricFrame(
        metrics={"tpr_difference": true_positive_rate, "fpr_difference": false_positive_rate},
        y_true=y,
        y_pred=alert.astype(np.int64),
        sensitive_features=np.where(members, "group", "rest"),
    ).by_group
    return {name: (float(frame.loc["group", name]), float(frame.loc["rest", name])) for name in frame.columns}


def _estimate(
    measure: str,
    group: float,
    rest: float,
    one: FloatArray,
    two: FloatArray,
    *,
    y: IntArray,
    members: NDArray[np.bool_],
) -> Difference | InsufficientData:
    ratio = measure == "selection_rate_ratio"
    if not (np.isfinite(group) and np.isfinite(rest)):
        return InsufficientData("the risks separate the outcomes, or do not vary")
    if ratio and not (group > 0 and rest > 0):
        return InsufficientData("nobody is alerted in the group or in the rest")
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.log(one) - np.log(two) if ratio else one - two
    good = each[np.isfinite(each)]
    if good.size < (1 - MAX_UNDEFINED_SHARE) * each.size:
        return InsufficientData(f"it is undefined in {1 - good.size / each.size:.0%} of the bootstrap resamples")
    low, high = (float(bound) for bound in np.quantile(good, [0.025, 0.975]))
    error = float(good.std(ddof=1))
    if measure in _RATES:
        error = max(error, _error_of_rates(group, rest, y == _RATES[measure], members))
    if ratio:
        return Difference(measure, group / rest, float(np.exp(low)), float(np.exp(high)), error, group, rest)
    return Difference(measure, group - rest, low, high, error, group, rest)


def _error_of_rates(group: float, rest: float, of: NDArray[np.bool_], members: NDArray[np.bool_]) -> float:
    """Standard error of a difference of rates with a success and a failure added to each, so that it is never 0."""
    variance = 0.0
    for rate, part in ((group, members), (rest, ~members)):
        n = int((of & part).sum())
        p = (rate * n + 1) / (n + 2)
        variance += p * (1 - p) / (n + 2)
    return float(np.sqrt(variance))
