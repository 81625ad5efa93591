"""Which candidate wins: the criterion first, the proper score next, simplicity last.

Candidates tie with the leader on the criterion when the 95 % interval of their paired difference on the same rows
includes zero (1.96 standard errors): a lead that small would often turn around on other patients, and the expected cost
at one threshold is a noisy measure. Of the tied, the least proper score leads, and who is within one standard error of
it ties again; the simplest of these wins. Subjects with several rows count once: standard errors are of differences
summed by subject.

Source: the one-standard-error rule, Breiman et al. 1984, Classification and Regression Trees, section 3.4.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from clinical_assets.cohorts.decisions import Costs
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search.candidates import simplicity
from clinical_assets.modelling.table.resampled import drawn_units
from clinical_assets.modelling.table.row_losses import cost_losses, mean_auroc, mean_loss, proper_losses
from clinical_assets.statistics.discrimination.discrimination import auroc_statistic
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap_distribution

RESAMPLES = 200
# Standard errors within which candidates tie: on the criterion, then on the proper score.
CRITERION_TIE = 1.96
PROPER_TIE = 1.0
_SHOWN = {
    "expected_cost": "expected cost per patient",
    "brier": "Brier score",
    "ranked_probability_score": "ranked probability score",
    "auroc": "1 - AUROC",
}


@dataclass(frozen=True)
class Standing:
    """One candidate's place; `criterion` and `proper_score` are losses, 0 is ideal.

    Attributes
    ----------
    lead, lead_error : float
        By how much the criterion is worse than the best candidate's, and the standard error of that difference.
    tied : bool
        True when the lead is within 1.96 standard errors.
    """

    candidate: str
    criterion: float
    lead: float
    lead_error: float
    tied: bool
    proper_score: float


@dataclass(frozen=True)
class Selection:
    """The winner, why it won, and everyone's standing, in the order of the description."""

    selected: str
    criterion: str
    reason: str
    standings: tuple[Standing, ...]


def select(
    risks: Mapping[str, FloatArray],
    y: IntArray,
    *,
    criterion: str,
    costs: Costs,
    action_from: int = 1,
    groups: IntArray | None = None,
    weights: FloatArray | None = None,
    seed: int = 0,
) -> Selection:
    """Choose among candidates by their out-of-fold risks.

    Parameters
    ----------
    risks : mapping of candidate to array (n,) or (n, k)
        Risks on the same n rows, each from models that had not seen the row.
    y : array of shape (n,)
        Class numbers.
    criterion : "expected_cost", "brier", "ranked_probability_score" or "auroc"
        Expected cost is that at the closed-form threshold. Brier and ranked probability score are one measure for
        two classes, and with more the latter is used.
    costs : Costs
        Cost of a false alarm and of a missed event, in one unit.
    action_from : int
        First class that calls for action: it and the more severe ones count as events.
    groups : array of shape (n,), optional
        Subjects, where they have several rows.
    weights : array of shape (n,), optional
        Case weights.
    seed : int
        Of the bootstrap behind the intervals.
    """
    proper = {name: proper_losses(y, p) for name, p in risks.items()}
    if criterion == "expected_cost":
        first = {name: cost_losses(y, p, costs=costs, action_from=action_from) for name, p in risks.items()}
    else:
        first = proper
    if criterion == "auroc":
        values = {name: 1 - mean_auroc(y, p, weights) for name, p in risks.items()}
        error: Callable[[str, str], float] = _auroc_error(risks, y, groups, weights, seed)
    else:
        values = {name: mean_loss(losses, weights) for name, losses in first.items()}

        def error(name: str, best: str) -> float:
            return _paired_error(first[name] - first[best], groups, weights)

    scores = {name: mean_loss(losses, weights) for name, losses in proper.items()}
    best = min(values, key=lambda name: (values[name], simplicity(name)))
    standings = []
    for name in risks:
        lead = values[name] - values[best]
        lead_error = 0.0 if name == best else error(name, best)
        tied_with_best = lead <= CRITERION_TIE * lead_error
        standings.append(Standing(name, values[name], lead, lead_error, tied_with_best, scores[name]))
    tied = [standing.candidate for standing in standings if standing.tied]
    closest = min(tied, key=lambda name: (scores[name], simplicity(name)))
    equal = [
        name
        for name in tied
        if mean_loss(proper[name] - proper[closest], weights)
        <= PROPER_TIE * _paired_error(proper[name] - proper[closest], groups, weights)
    ]
    selected = min(equal, key=simplicity)
    return Selection(selected, criterion, _reason(selected, best, closest, tied, values, criterion), tuple(standings))


def _paired_error(difference: FloatArray, groups: IntArray | None, weights: FloatArray | None = None) -> float:
    """Standard error of the mean of differences (n,), by subject where rows of one subject depend on each other.

    With case weights the mean is a ratio of sums: by Taylor linearisation.
    """
    n = float(difference.size if weights is None else weights.sum())
    centred = difference - mean_loss(difference, weights)
    if weights is not None:
        centred = weights * centred
    if groups is not None:
        place = np.unique(groups, return_inverse=True)[1].reshape(-1)
        centred = np.bincount(place, weights=centred).astype(np.float64, copy=False)
    units = centred.size
    if units < 2:
        return math.inf
    return math.sqrt(units / (units - 1) * float(centred @ centred)) / n


def _auroc_error(
    risks: Mapping[str, FloatArray], y: IntArray, groups: IntArray | None, weights: FloatArray | None, seed: int
) -> Callable[[str, str], float]:
    strata = y if groups is None else None
    units = drawn_units(y.size, groups, weights)

    def parts(p: FloatArray) -> list[Callable[[FloatArray], FloatArray]]:
        if p.ndim == 1:
            return [auroc_statistic(y, p)]
        return [auroc_statistic(y == k, p[:, k]) for k in range(p.shape[1])]

    def error(name: str, best: str) -> float:
        one, two = parts(risks[name]), parts(risks[best])

        def difference(counts: FloatArray) -> FloatArray:
            return np.asarray(np.mean([a(counts) - b(counts) for a, b in zip(one, two, strict=True)], axis=0))

        drawn = bootstrap_distribution(
            difference, y.size, n_resamples=RESAMPLES, seed=seed, strata=strata, groups=units, weights=weights
        )
        return float(np.nanstd(drawn, ddof=1))

    return error


def _reason(
    selected: str, best: str, closest: str, tied: list[str], values: Mapping[str, float], criterion: str
) -> str:
    measure = _SHOWN[criterion]
    if len(values) == 1:
        return f"{selected} is the only candidate."
    if len(tied) == 1:
        return (
            f"{selected} has the least {measure} ({values[selected]:.4g}), and the interval of its lead excludes zero."
        )
    text = f"{', '.join(tied)} tie on {measure} (least {values[best]:.4g}): the intervals of their leads include zero. "
    if selected == closest:
        return text + f"Of these {selected} has the least proper score, and no simpler one is close to it."
    return text + f"{selected} is within a standard error of {closest}, the least proper score, and simpler."
