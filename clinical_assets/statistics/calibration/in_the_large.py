"""Calibration in the large, tested without an estimate: as many events as the risks foretold?

What belongs here: the test that also works where all outcomes are alike. What does not: the intercept and its interval,
which need events and non-events (``calibration``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import binary_sample

_EXACT_UP_TO = 20_000
_FEW = 1_000


def in_the_large_p(y: ArrayLike, p: ArrayLike) -> float:
    """Chance of a number of events at least as far from the expected one, two-sided, if the risks were right.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes of independent records.
    p : array of shape (n,), in (0, 1)
        Risks.

    Returns
    -------
    float
        In [0, 1]. Exact by the Poisson-binomial distribution up to 20,000 records, and beyond where events or
        non-events are a thousand at most: the normal form is off by a factor of ten and more where few are expected.
        Otherwise by that form.

    Source: Spiegelhalter 1986, doi 10.1002/sim.4780050506 (the normal form); Hong 2013, doi 10.1016/j.csda.2012.10.006.

    Examples
    --------
    >>> round(in_the_large_p([0] * 10, [0.5] * 10) * 2**10, 6)
    2.0
    >>> in_the_large_p([0, 1], [0.5, 0.5])
    1.0
    """
    sample = binary_sample(y, p, min_per_class=0)
    events, expected = int(sample.y.sum()), float(sample.score.sum())
    n = sample.y.size
    if n > _EXACT_UP_TO:
        if events <= _FEW:
            return _of_few(events, sample.score, is_few=events < expected)
        if n - events <= _FEW:
            return _of_few(n - events, 1 - sample.score, is_few=events > expected)
        spread = math.sqrt(float((sample.score * (1 - sample.score)).sum()))
        return math.erfc(abs(events - expected) / spread / math.sqrt(2))
    from scipy.stats import poisson_binom

    # The tail on the side of the observed number; the other one is at least a half.
    law = poisson_binom(sample.score)
    tail = law.cdf(events) if events < expected else law.sf(events - 1)
    return float(min(1.0, 2 * tail))


def _of_few(events: int, risks: FloatArray, *, is_few: bool) -> float:
    """The same from the probabilities of 0 to `events` events alone, however many records there are."""
    law = np.zeros(events + 1)
    law[0] = 1.0
    for risk in risks:
        law[1:] = law[1:] * (1 - risk) + law[:-1] * risk
        law[0] *= 1 - risk
    return float(min(1.0, 2 * (law.sum() if is_few else max(0.0, 1 - law[:-1].sum()))))
