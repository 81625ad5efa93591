"""How differently does a model serve a group and everybody else? Differences with bootstrap intervals.

A group is compared with the rest of the holdout, all others together. No group is thereby declared the norm, every
row is used in each comparison, and two groups are compared with each other.

Alert rates and net benefit rise with how common the event is, and differ between groups for that alone, however well
the model serves both. They are therefore compared at equal need: both groups' true and false alert rates are put on
the prevalence of the whole holdout (direct standardisation). The plain values stand beside them as evidence.

Intervals are percentile bootstrap intervals, resampled within the group and within the rest, so that their sizes stay
fixed; where subjects have several rows, subjects are resampled. Resampling rows is done by resampling the counts of
the cells that they fall into (risk in steps of .02 log-odds, alert, outcome), which is the same distribution at a
fraction of the cost. What rests on rates is never surer than the rates' own standard errors, with a success and a
failure added to each, and a difference of rates never narrower than Newcombe's interval with exact limits: ten events
of which all were alerted do not show that all would be. With Wilson's limits in their place, which Newcombe proposed, a
true gap of 1.5 limits passed in up to 4.5 % of samples of ten to a hundred events; with exact ones in 2.5 % at most.

With case weights every measure is weighted, rows are resampled with their weights, and the numbers that standard errors
of rates rest on are Kish's effective ones.

Source: net benefit Vickers & Elkin 2006, doi 10.1177/0272989X06295361; calibration intercept and slope Cox 1958, doi
10.1093/biomet/45.3-4.562; standard errors of rates near 0 and 1 Agresti & Caffo 2000, doi
10.1080/00031305.2000.10474560; intervals of differences of rates Newcombe 1998, doi
10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.table.resampled import drawn_units
from clinical_assets.statistics.calibration.calibration import with_intercept
from clinical_assets.statistics.calibration.logistic import fit_logistic_batch, logit
from clinical_assets.statistics.uncertainty.bootstrap import MAX_UNDEFINED_SHARE
from clinical_assets.statistics.uncertainty.effective_size import effective_sample_size
from clinical_assets.statistics.uncertainty.intervals import clopper_pearson_interval
from clinical_assets.statistics.uncertainty.resampling import cell_totals, resampled_cell_totals

MEASURES = (
    "tpr_difference",
    "fpr_difference",
    "selection_rate_ratio",
    "calibration_slope_difference",
    "calibration_intercept_difference",
    "net_benefit_difference",
)
WORTH_FINDING = 1.5
"""A comparison must be able to rule out, or to show, a gap of so many limits; otherwise it says nothing."""
_STEP = 0.02
_RATIO = "selection_rate_ratio"
_RATES = ("tpr_difference", "fpr_difference")
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.975)


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

    def bound(self, limit: float) -> float:
        """The limit as a distance from no difference; for the ratio on the scale of logarithms."""
        return -float(np.log(limit)) if self.measure == _RATIO else limit

    @property
    def size(self) -> float:
        """Distance of the value from no difference, on the same scale."""
        return abs(float(np.log(self.value))) if self.measure == _RATIO else abs(self.value)

    def p_value(self, limit: float) -> float:
        """One-sided, of the hypothesis that the difference keeps the limit (the ratio: lies in limit..1/limit)."""
        if self.error == 0:
            return 0.0 if self.size > self.bound(limit) else 1.0
        return _NORMAL.cdf((self.bound(limit) - self.size) / self.error)

    def breaks(self, limit: float) -> bool:
        """Whether the whole interval lies beyond the limit, on one side."""
        if self.measure == _RATIO:
            return self.ci_high < limit or self.ci_low > 1 / limit
        return self.ci_low > limit or self.ci_high < -limit

    def keeps(self, limit: float) -> bool:
        """Whether the value lies within the limit."""
        return self.size <= self.bound(limit)

    def excludes(self, limit: float) -> bool:
        """Whether the whole interval lies within `WORTH_FINDING` limits, on both sides."""
        far = WORTH_FINDING * self.bound(limit)
        if self.measure == _RATIO:
            return bool(np.exp(-far) < self.ci_low and self.ci_high < np.exp(far))
        return -far < self.ci_low and self.ci_high < far

    def power(self, limit: float) -> float:
        """Chance that the whole interval lies beyond the limit when the true gap is `WORTH_FINDING` limits."""
        if self.error == 0:
            return 1.0
        return _NORMAL.cdf((WORTH_FINDING - 1) * self.bound(limit) / self.error - _Z)

    def chance_to_pass(self, limit: float) -> float:
        """Chance that a gap of `WORTH_FINDING` limits is excluded, and the limit kept, when there is no gap at all."""
        if self.error == 0:
            return 1.0
        room = min(self.bound(limit), WORTH_FINDING * self.bound(limit) - _Z * self.error)
        return max(0.0, 2 * _NORMAL.cdf(room / self.error) - 1)


def differences(
    y: IntArray,
    risk: FloatArray,
    members: NDArray[np.bool_],
    *,
    threshold: float,
    subjects: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> dict[str, Difference | InsufficientData]:
    """Every measure of a group against the rest.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes.
    risk : array of shape (n,), in (0, 1)
        Served risks of the same rows.
    members : array of bool, shape (n,)
        True in the group.
    threshold : float
        At or above it a row raises an alert.
    subjects : array of shape (n,), optional
        Subjects, where they have several rows.
    weights : array of shape (n,), optional
        Case weights.
    seed : int
        Of the bootstrap.
    n_resamples : int
        Bootstrap resamples per measure.

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
    prevalence = float(np.average(y, weights=weights))
    counted = _Counted(levels.astype(np.float64) * _STEP, prevalence=prevalence, threshold=threshold)
    parts, each = (members, ~members), np.ones(y.size) if weights is None else weights
    observed = [counted(cell_totals(cells[part], each[part], counted.n)[None]) for part in parts]
    units = drawn_units(y.size, subjects, weights)
    totals = _resampled(cells, members, counted.n, units, weights, seed=seed, n_resamples=n_resamples)
    resampled = [counted(part) for part in totals]
    rates = _rates(y, risk >= threshold, members, weights)
    sizes = _sizes(y, members, weights)
    found: dict[str, Difference | InsufficientData] = {}
    for measure in MEASURES:
        group, rest = (float(part[measure][0]) for part in observed)
        if measure in rates:
            group, rest = rates[measure]
        one, two = (part[measure] for part in resampled)
        least = _error_of_rates(measure, sizes, rates=rates, prevalence=counted.prevalence, odds=counted.odds)
        narrowest = _newcombe(measure, sizes, rates) if measure in _RATES else None
        found[measure] = _estimate(measure, group, rest, one, two, least=least, narrowest=narrowest)
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
    weights: FloatArray | None,
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
        cells + n_cells * ~members, 2 * n_cells, n_resamples=n_resamples, seed=rng, groups=subjects, weights=weights
    )
    return both[:, :n_cells], both[:, n_cells:]


def _rates(
    y: IntArray, alert: NDArray[np.bool_], members: NDArray[np.bool_], weights: FloatArray | None
) -> dict[str, tuple[float, float]]:
    """True and false alert rates in the group and in the rest."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

    metrics = {"tpr_difference": true_positive_rate, "fpr_difference": false_positive_rate}
    each = {} if weights is None else {"sample_params": {name: {"sample_weight": weights} for name in metrics}}
    frame = MetricFrame(
        metrics=metrics,
        y_true=y,
        y_pred=alert.astype(np.int64),
        sensitive_features=np.where(members, "group", "rest"),
        **each,
    ).by_group
    return {name: (float(frame.loc["group", name]), float(frame.loc["rest", name])) for name in frame.columns}


def _estimate(
    measure: str,
    group: float,
    rest: float,
    one: FloatArray,
    two: FloatArray,
    *,
    least: float,
    narrowest: tuple[float, float] | None,
) -> Difference | InsufficientData:
    ratio = measure == _RATIO
    if not (np.isfinite(group) and np.isfinite(rest)):
        return InsufficientData("the risks separate the outcomes, or do not vary")
    if ratio and not (group > 0 and rest > 0):
        return InsufficientData("nobody is alerted in the group or in the rest")
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.log(one) - np.log(two) if ratio else one - two
    good = each[np.isfinite(each)]
    if good.size < (1 - MAX_UNDEFINED_SHARE) * each.size:
        return InsufficientData(f"it is undefined in {1 - good.size / each.size:.0%} of the bootstrap resamples")
    value = float(np.log(group / rest)) if ratio else group - rest
    error = max(float(good.std(ddof=1)), least)
    percentile = np.quantile(good, [0.025, 0.975])
    inner = narrowest or (value - _Z * least, value + _Z * least)
    low, high = min(percentile[0], inner[0]), max(percentile[1], inner[1])
    if ratio:
        return Difference(measure, group / rest, float(np.exp(low)), float(np.exp(high)), error, group, rest)
    return Difference(measure, value, float(low), float(high), error, group, rest)


def _sizes(y: IntArray, members: NDArray[np.bool_], weights: FloatArray | None) -> dict[str, tuple[float, float]]:
    """On how many rows each rate rests in the group and in the rest; with case weights, effectively."""
    found = {}
    for name, outcome in zip(_RATES, (1, 0), strict=True):
        rows = [(y == outcome) & part for part in (members, ~members)]
        one, two = (float(mine.sum()) if weights is None else effective_sample_size(weights[mine]) for mine in rows)
        # Rounded, so that a rate of 1 is as many as there are.
        found[name] = round(one, 6), round(two, 6)
    return found


def _newcombe(
    measure: str, sizes: dict[str, tuple[float, float]], rates: dict[str, tuple[float, float]]
) -> tuple[float, float]:
    """Newcombe's square-and-add interval of a difference of two rates, from the exact interval of each."""
    (p, p_low, p_high), (q, q_low, q_high) = (
        (rate, *(float(bound) for bound in clopper_pearson_interval(round(rate * n, 6), n)))
        for rate, n in zip(rates[measure], sizes[measure], strict=True)
    )
    low, high = np.hypot(p - p_low, q_high - q), np.hypot(p_high - p, q - q_low)
    return float(p - q - low), float(p - q + high)


def _error_of_rates(
    measure: str,
    sizes: dict[str, tuple[float, float]],
    *,
    rates: dict[str, tuple[float, float]],
    prevalence: float,
    odds: float,
) -> float:
    """Standard error of a measure made of rates, a success and a failure added to each rate, so that it is never 0.

    Of the ratio: of its logarithm. 0 for measures that are not made of rates. Delta method.
    """
    need = (prevalence, 1 - prevalence)
    share = {
        "tpr_difference": (1.0, 0.0),
        "fpr_difference": (0.0, 1.0),
        _RATIO: need,
        "net_benefit_difference": (need[0], need[1] * odds),
    }.get(measure)
    if share is None:
        return 0.0
    variance = 0.0
    for side in (0, 1):
        mean, own = 0.0, 0.0
        for name, weight in zip(_RATES, share, strict=True):
            n = sizes[name][side]
            p = (rates[name][side] * n + 1) / (n + 2)
            mean += weight * p
            own += weight**2 * p * (1 - p) / (n + 2)
        variance += own / mean**2 if measure == _RATIO else own
    return float(np.sqrt(variance))
