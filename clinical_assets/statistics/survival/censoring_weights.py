"""Those whose outcome at a horizon is known stand for the censored: inverse-probability-of-censoring weights.

What belongs here: the weights. What does not: the measures, which are those of the other folders with these weights:
AUROC at a horizon (cumulative cases, dynamic controls), Brier score, index of prediction accuracy (the scaled Brier
score), calibration slope and indices, net benefit. Competing events are known outcomes: free of the event for good.

Sources: Graf et al. 1999, doi 10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5; AUROC: Uno et
al. 2007, doi 10.1198/016214507000000149; competing risks: Blanche et al. 2013, doi 10.1002/sim.5958.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import as_weights
from clinical_assets.statistics.survival.censored_outcomes import CENSORED, CensoredOutcomes

# A product of shares that should be 0 ends a few roundings above it.
NOBODY = 1e-12


def censoring_weights(outcomes: CensoredOutcomes, *, weights: ArrayLike | None = None) -> FloatArray:
    """Weights times 1 / G for those whose outcome is known, 0 for those censored before the horizon.

    G is the chance not to be censored before the end of follow-up or the horizon, whichever comes first: the
    Kaplan-Meier curve of the censoring among all n people; at one time events come first. Censoring may depend on
    nothing that the risk depends on.

    Parameters
    ----------
    outcomes : CensoredOutcomes
        Of n people.
    weights : array of shape (n,), optional
        Case weights, ones by default.

    Returns
    -------
    array of shape (n,)
        It adds up to the weights passed if anybody is followed to the horizon; the part of people with the event is
        then the Kaplan-Meier risk or, with competing events, the Aalen-Johansen risk (`incidence.observed_risk`).

    Examples
    --------
    Of four people one is censored at 3, while three are left: the two after that share what it weighed.

    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([2, 3, 4, 7], [1, 0, 1, 0], horizon=5)
    >>> censoring_weights(people).round(2).tolist()
    [1.0, 0.0, 1.5, 1.5]

    AUROC at the horizon, with an interval that resamples people and takes the weights as known:

    >>> from clinical_assets.statistics.discrimination.discrimination import auroc_statistic
    >>> from clinical_assets.statistics.uncertainty.bootstrap import bootstrap
    >>> risk = [0.6, 0.3, 0.5, 0.2] * 25
    >>> people = censored_outcomes([2, 3, 4, 7] * 25, [1, 0, 0, 1] * 25, horizon=5)
    >>> area = bootstrap(
    ...     auroc_statistic(people.outcome, risk), 100, events=25, weights=censoring_weights(people), groups=range(100)
    ... )
    >>> area.value
    1.0
    """
    base = as_weights(weights, n=outcomes.n)
    levels, free = free_of_censoring(outcomes, base)
    before = free[np.searchsorted(levels, np.minimum(outcomes.time, outcomes.horizon))]
    counts = outcomes.known & (before > NOBODY)
    return np.where(counts, base / np.where(counts, before, 1.0), 0.0)


def free_of_censoring(outcomes: CensoredOutcomes, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Times (k,) at which follow-up ends, rising, and the chance (k + 1,) not to be censored just before each.

    The last element is the chance after all of them. `weights` (n,) are case weights.

    Examples
    --------
    >>> from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
    >>> people = censored_outcomes([2, 3, 4, 7], [1, 0, 1, 0], horizon=5)
    >>> levels, free = free_of_censoring(people, np.ones(4))
    >>> levels.tolist(), free.round(2).tolist()
    ([2.0, 3.0, 4.0, 7.0], [1.0, 1.0, 0.67, 0.67, 0.0])
    """
    levels, level = np.unique(outcomes.time, return_inverse=True)
    level = level.reshape(-1)
    units = np.bincount(level, weights=weights)
    censored = np.bincount(level, weights=weights * (outcomes.event == CENSORED))
    # Still there when the censored of a time leave: its events came first.
    exposed = np.cumsum(units[::-1])[::-1] - (units - censored)
    stay = np.where(censored > 0, 1 - censored / np.where(censored > 0, exposed, 1.0), 1.0)
    return levels, np.concatenate([[1.0], np.cumprod(stay)])
