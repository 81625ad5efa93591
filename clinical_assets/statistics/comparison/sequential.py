"""Looking at a running experiment at any time without fooling oneself.

What belongs here: confidence sequences, e-processes and the check of the allocation, on arrays in order of
arrival.
What does not: assignment of patients and the verdict (`experiments`).

A confidence interval holds at one sample size fixed beforehand. A confidence sequence holds at all of
them together, and an e-process may be stopped at any time, so nobody has to promise not to peek.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.statistics.inputs import InvalidArray, as_outcome, as_vector, check_fraction


@dataclass(frozen=True)
class ConfidenceSequence:
    """A running estimate with bounds that hold at all times together.

    Attributes
    ----------
    n : array of shape (k,)
        Records seen at each look.
    estimate, low, high : arrays of shape (k,)
        In the unit of the values. The bounds are infinite before the first look that counts.
    alpha : float
        With probability 1 - alpha, asymptotically, the truth is never outside the bounds.
    """

    n: IntArray
    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    alpha: float

    def first_exclusion(self, value: float = 0.0) -> int | None:
        """Records seen when the bounds first excluded `value`, or None."""
        outside = (self.low > value) | (self.high < value)
        return int(self.n[np.argmax(outside)]) if outside.any() else None


@dataclass(frozen=True)
class GuardrailEvidence:
    """Running evidence that an error rate exceeds its limit.

    Attributes
    ----------
    n : array of shape (k,)
        Records seen.
    log_e : array of shape (k,)
        Natural logarithm of the e-value: at most 1 in expectation while the rate is within the limit;
        -inf is no evidence.
    limit, alpha : float
    crossed_at : int or None
        Records seen when the e-value first reached 1 / alpha.
    """

    n: IntArray
    log_e: FloatArray
    limit: float
    alpha: float
    crossed_at: int | None

    @property
    def p_value(self) -> float:
        """Anytime-valid p-value: 1 / the largest e-value so far."""
        return float(min(1.0, math.exp(-max(0.0, float(self.log_e.max())))))


@dataclass(frozen=True)
class SampleRatio:
    """Planned against actual allocation: chi-square statistic, p-value, and whether p < alpha."""

    statistic: float
    p_value: float
    share_treated: float
    n: int
    is_mismatch: bool


def mixture_rho(n_star: int, *, alpha: float = 0.05) -> float:
    """The tuning that makes a confidence sequence tightest at about n_star records; it holds at any n.

    sqrt((-2 ln alpha + ln(-2 ln alpha + 1)) / n_star). Source: Waudby-Smith et al., arXiv:2103.06476,
    appendix on optimising rho.

    Examples
    --------
    >>> round(mixture_rho(100), 2), round(mixture_rho(10_000), 3)
    (0.28, 0.028)
    """
    if n_star < 1:
        raise InvalidArray(f"n_star is {n_star}, expected at least 1")
    spread = -2 * math.log(check_fraction(alpha, name="alpha"))
    return math.sqrt((spread + math.log(spread + 1)) / n_star)


def asymptotic_half_width(
    n: ArrayLike, standard_deviation: ArrayLike, *, rho: float, alpha: float = 0.05
) -> FloatArray:
    """Half-width of the asymptotic confidence sequence, in the unit of the standard deviation.

    sd * sqrt(2 (n rho^2 + 1) / (n^2 rho^2) * ln(sqrt(n rho^2 + 1) / alpha)).
    `n` and `standard_deviation` have the same shape and are those of the values seen so far. Source:
    arXiv:2103.06476.

    Examples
    --------
    The price of looking at any time: at 1,000 records a single look, fixed beforehand, has 1.96 / sqrt(1000) = .062.

    >>> asymptotic_half_width([100, 1000, 10_000], [1, 1, 1], rho=mixture_rho(1000)).round(3).tolist()
    [0.386, 0.096, 0.032]
    """
    check_fraction(alpha, name="alpha")
    if not rho > 0:
        raise InvalidArray(f"rho is {rho}, expected a positive number")
    size = np.asarray(n, dtype=np.float64)
    mixed = size * rho**2 + 1
    width = np.sqrt(2 * mixed / (size**2 * rho**2) * np.log(np.sqrt(mixed) / alpha))
    return np.asarray(standard_deviation, dtype=np.float64) * width


def mean_confidence_sequence(
    values: ArrayLike, *, n_star: int, alpha: float = 0.05, n_first: int = 50
) -> ConfidenceSequence:
    """Confidence sequence of a mean.

    Parameters
    ----------
    values : array of shape (n,)
        In order of arrival, independent.
    n_star : int
        Records at which the sequence shall be tightest: about where a decision is expected.
    alpha : float in (0, 1)
        Error that is allowed over all looks together; the bounds hold with probability 1 - alpha.
    n_first : int
        First look that counts, at least 2. The guarantee is asymptotic, and the variance of a few values
        is a guess.

    Raises
    ------
    InsufficientData
        Fewer than `n_first` values.
    InvalidArray
        NaN, infinite, or parameters out of range.

    Source: Waudby-Smith et al., arXiv:2103.06476.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sequence = mean_confidence_sequence(rng.normal(0.3, 1, size=1000), n_star=200)
    >>> sequence.first_exclusion(0.0) < 500  # from then on the mean is not 0, however often one looks
    True
    >>> bool(((sequence.low <= 0.3) & (sequence.high >= 0.3)).all())  # the truth was never excluded
    True
    """
    x = as_vector(values, name="values")
    if n_first < 2:
        raise InvalidArray(f"n_first is {n_first}, expected at least 2")
    if x.size < n_first:
        raise InsufficientData(f"{x.size} records, the first look is at {n_first}", cure="Wait for more outcomes.")
    rho = mixture_rho(n_star, alpha=alpha)
    n = np.arange(1, x.size + 1)
    # About the overall mean, so that squares do not cancel; a constant shift changes no variance.
    centre = float(x.mean())
    mean = np.cumsum(x - centre) / n
    variance = np.maximum(np.cumsum((x - centre) ** 2) / n - mean**2, 0)
    half = asymptotic_half_width(n, np.sqrt(variance), rho=rho, alpha=alpha)
    half[: n_first - 1] = np.inf
    estimate = mean + centre
    return ConfidenceSequence(n, estimate, estimate - half, estimate + half, alpha)


def difference_confidence_sequence(
    outcome: ArrayLike,
    treated: ArrayLike,
    *,
    share_treated: float,
    n_star: int,
    alpha: float = 0.05,
    n_first: int = 50,
) -> ConfidenceSequence:
    """Confidence sequence of the mean outcome under treatment minus that under control.

    For a randomised trial.

    Parameters
    ----------
    outcome : array of shape (n,)
        In order of arrival, from both arms: a cost, a loss, or an event as 0 or 1.
    treated : array of shape (n,), 0 or 1
        Assigned arm.
    share_treated : float in (0, 1)
        Planned probability of treatment; the validity rests on it alone.
    n_star : int
        Records of both arms at which the sequence shall be tightest.
    alpha : float in (0, 1)
        Error that is allowed over all looks together; the bounds hold with probability 1 - alpha.
    n_first : int
        First look that counts, in records of both arms; at least 2.

    Returns
    -------
    ConfidenceSequence
        0 means no difference. Each record enters as its augmented inverse-probability contribution,
        centred by the running means of both arms before it: unbiased whatever these means are, and as
        precise as the difference of means.

    Raises
    ------
    InsufficientData
        Fewer than `n_first` records.
    InvalidArray
        NaN, infinite, shapes that differ, or parameters out of range.

    Source: Waudby-Smith et al., arXiv:2103.06476, section on randomised experiments.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> treated = rng.integers(2, size=2000)
    >>> outcome = rng.random(2000) < np.where(treated == 1, 0.2, 0.4)
    >>> trial = difference_confidence_sequence(outcome, treated, share_treated=0.5, n_star=1000)
    >>> trial.first_exclusion(0.0) < 1000
    True
    >>> round(float(trial.estimate[-1]), 1)
    -0.2
    """
    y, arm = as_vector(outcome, name="outcome"), as_outcome(treated, name="treated")
    if y.size != arm.size:
        raise InvalidArray(f"treated has {arm.size} elements but outcome has {y.size}")
    share = check_fraction(share_treated, name="share_treated")
    before_treated, before_control = _running_mean_before(y, arm), _running_mean_before(y, 1 - arm)
    contribution = (
        before_treated
        - before_control
        + arm / share * (y - before_treated)
        - (1 - arm) / (1 - share) * (y - before_control)
    )
    return mean_confidence_sequence(contribution, n_star=n_star, alpha=alpha, n_first=n_first)


def _running_mean_before(y: FloatArray, mask: FloatArray) -> FloatArray:
    """Mean of the masked values strictly before each position; 0 before the first."""
    total = np.cumsum(y * mask) - y * mask
    count = np.cumsum(mask) - mask
    return total / np.maximum(count, 1)


def guardrail_evidence(
    errors: ArrayLike,
    *,
    limit: float,
    alpha: float = 0.05,
    prior: tuple[float, float] = (1.0, 1.0),
) -> GuardrailEvidence:
    """Beta-binomial e-process against the hypothesis that an error rate is at most `limit`.

    Parameters
    ----------
    errors : array of shape (n,), 0 or 1
        In order of arrival, for instance 1 for a missed event.
    limit : float in (0, 1)
        The tolerated rate.
    alpha : float in (0, 1)
        Chance of a false alarm at any time; the evidence suffices at an e-value of 1 / alpha.
    prior : (a, b), positive
        Beta distribution of rates above the limit that the evidence is mixed over. Cut off at the limit,
        it keeps the level at every rate up to the limit, not only at the limit itself.

    Returns
    -------
    GuardrailEvidence
        Stopping when the e-value reaches 1 / alpha errs with probability at most alpha, at any time and
        any n (not only asymptotically).

    Raises
    ------
    InvalidArray
        Errors other than 0 and 1, or parameters out of range.

    Source: Ville's inequality on a mixture, Robbins 1970, doi 10.1214/aoms/1177696786; Ramdas et al.
    2023, arXiv:2210.01948.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> guardrail_evidence(rng.random(1000) < 0.05, limit=0.1).crossed_at is None  # half of what is tolerated
    True
    >>> guardrail_evidence([1, 0] * 50, limit=0.1).crossed_at  # five times as much
    5
    """
    from scipy.special import betaincc, betaln, xlog1py, xlogy

    x = as_outcome(errors, name="errors")
    check_fraction(limit, name="limit")
    check_fraction(alpha, name="alpha")
    a, b = prior
    if not (a > 0 and b > 0):
        raise InvalidArray(f"prior is {prior}, expected two positive numbers")
    n = np.arange(1, x.size + 1)
    hits = np.cumsum(x)
    misses = n - hits
    with np.errstate(divide="ignore"):
        posterior = betaln(a + hits, b + misses) + np.log(betaincc(a + hits, b + misses, limit))
    start = betaln(a, b) + np.log(betaincc(a, b, limit))
    log_e = posterior - start - xlogy(hits, limit) - xlog1py(misses, -limit)
    crossed = log_e >= -math.log(alpha)
    return GuardrailEvidence(n, log_e, limit, alpha, int(n[np.argmax(crossed)]) if crossed.any() else None)


def sample_ratio_mismatch(n_treated: int, n_control: int, *, share_treated: float, alpha: float = 0.001) -> SampleRatio:
    """Chi-square test that the allocation is as planned.

    A mismatch halts an experiment: its assignment is broken.

    Parameters
    ----------
    n_treated, n_control : int
        Patients assigned to each arm.
    share_treated : float in (0, 1)
        Planned share of treatment.
    alpha : float
        .001 by custom: it leaves room for the looks of a long experiment.

    Raises
    ------
    InsufficientData
        Fewer than 5 patients expected in an arm.

    Source: Fabijan et al. 2019, doi 10.1145/3292500.3330722.

    Examples
    --------
    >>> sample_ratio_mismatch(500, 500, share_treated=0.5).p_value
    1.0
    >>> broken = sample_ratio_mismatch(600, 400, share_treated=0.5)
    >>> broken.statistic, broken.is_mismatch  # 100^2 / 500 in each arm
    (40.0, True)
    """
    from scipy.special import chdtrc

    share = check_fraction(share_treated, name="share_treated")
    check_fraction(alpha, name="alpha")
    if n_treated < 0 or n_control < 0:
        raise InvalidArray("numbers of patients must not be negative")
    n = n_treated + n_control
    expected = np.array([n * share, n * (1 - share)])
    if expected.min() < 5:
        raise InsufficientData(
            f"{n} patients are too few to check a planned share of {share:g}",
            cure="Wait until each arm expects at least 5 patients.",
        )
    statistic = float((((np.array([n_treated, n_control]) - expected) ** 2) / expected).sum())
    p_value = float(chdtrc(1, statistic))
    return SampleRatio(statistic, p_value, n_treated / n, n, p_value < alpha)
