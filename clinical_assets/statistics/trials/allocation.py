"""Is the allocation as planned? Evidence that may be looked at after every patient, while the share is raised.

What belongs here: the e-process of a planned share. What does not: the test at one moment
(``comparison.sequential.sample_ratio_mismatch``), and assignment (``experiments``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import InvalidArray, as_outcome, check_fraction

#: Patients that the prior is worth: the larger, the smaller the drifts it is sensitive to, and the later.
PRIOR_N = 100.0


@dataclass(frozen=True)
class AllocationEvidence:
    """Running evidence that the allocation is not as planned.

    Attributes
    ----------
    log_e : array of shape (n,)
        Log e-value after each patient.
    treated, expected : float
        Patients that were treated, and how many were planned to be.
    n : int
    alpha : float
    mismatch_at : int or None
        Patients seen when the e-value first reached 1 / alpha.
    """

    log_e: FloatArray
    treated: int
    expected: float
    n: int
    alpha: float
    mismatch_at: int | None

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value."""
        return float(min(1.0, math.exp(-max(0.0, float(self.log_e.max())))))


def allocation_evidence(
    treated: ArrayLike, *, share_treated: ArrayLike, alpha: float = 0.001, prior_n: float = PRIOR_N
) -> AllocationEvidence:
    """Beta-binomial e-process against "each patient is treated with the planned probability".

    Parameters
    ----------
    treated : array of shape (n,), 0 or 1
        In order of arrival, each patient once.
    share_treated : float or array of shape (n,), in (0, 1)
        Planned share at each patient's arrival. Each planned share has its own mixture, about itself, and they are
        multiplied.
    alpha : float in (0, 1)
        Chance of a false alarm at any time.
    prior_n : float, positive
        Patients that the prior about each planned share is worth.

    Returns
    -------
    AllocationEvidence
        Unlike a chi-square that is repeated, it errs with probability at most alpha over all looks.

    Raises
    ------
    InsufficientData
        No patient.
    InvalidArray
        Arms other than 0 and 1, shapes that differ, shares outside (0, 1).

    Source: Lindon & Malek 2022, arXiv:2011.03567, for two arms.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> allocation_evidence(rng.random(2000) < 0.5, share_treated=0.5).mismatch_at is None
    True
    >>> allocation_evidence(rng.random(2000) < 0.6, share_treated=0.5).mismatch_at < 1000
    True
    """
    from scipy.special import betaln

    arm = as_outcome(treated, name="treated")
    share = np.asarray(share_treated, dtype=np.float64)
    if share.ndim and share.shape != arm.shape:
        raise InvalidArray(f"share_treated has shape {share.shape}, expected one number or {arm.shape}")
    if not (prior_n > 0 and np.isfinite(share).all() and ((share > 0) & (share < 1)).all()):
        raise InvalidArray("shares outside (0, 1), or a prior that is worth nothing")
    check_fraction(alpha, name="alpha")
    planned = np.broadcast_to(share, arm.shape)
    log_e = np.zeros(arm.size)
    for p in np.unique(planned):
        mine = planned == p
        hits, misses = np.cumsum(arm * mine), np.cumsum((1 - arm) * mine)
        a, b = prior_n * p, prior_n * (1 - p)
        log_e += betaln(a + hits, b + misses) - betaln(a, b) - hits * math.log(p) - misses * math.log1p(-p)
    crossed = log_e >= -math.log(alpha)
    return AllocationEvidence(
        log_e=log_e,
        treated=int(arm.sum()),
        expected=float(planned.sum()),
        n=arm.size,
        alpha=alpha,
        mismatch_at=int(np.argmax(crossed)) + 1 if crossed.any() else None,
    )
