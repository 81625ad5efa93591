"""How many patients does a trial of two models need? For a verdict on net benefit that may be looked for at any time.

What belongs here: the spread of net benefit per patient, and the size for a wanted power. What does not: the size for
developing a model (``sample_size``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from clinical_assets.statistics.inputs import InvalidArray, check_fraction
from clinical_assets.statistics.trials.bounded_difference import contribution_bound, mixture_boundary, tuned_rho

_NORMAL = NormalDist()
#: A trial that needs more is not planned here.
LARGEST = 10_000_000


@dataclass(frozen=True)
class PlannedSize:
    """Patients of both arms whose outcome must be known.

    Attributes
    ----------
    n : int
        For the sequence, at every look.
    n_fixed : int
        What one look at the end would need: the price of looking at any time is the difference.
    variation : float
        Expected variation of the contributions of n patients; tunes the sequence.
    effect, power, alpha, share_treated : float
        As planned.
    """

    n: int
    n_fixed: int
    variation: float
    effect: float
    power: float
    alpha: float
    share_treated: float


def net_benefit_variance(
    *, prevalence: float, sensitivity: float, false_positive_rate: float, threshold: float
) -> float:
    """Variance per patient of net benefit: 1 for a true alert, -t/(1-t) for a false one, 0 without an alert.

    Examples
    --------
    >>> round(net_benefit_variance(prevalence=0.2, sensitivity=0.8, false_positive_rate=0.3, threshold=0.2), 4)
    0.165
    """
    odds = check_fraction(threshold, name="threshold") / (1 - threshold)
    check_fraction(prevalence, name="prevalence")
    for name, value in (("sensitivity", sensitivity), ("false_positive_rate", false_positive_rate)):
        if not 0 <= value <= 1:
            raise InvalidArray(f"{name} is {value}, expected 0 to 1")
    true, false = prevalence * sensitivity, (1 - prevalence) * false_positive_rate
    return true + false * odds**2 - (true - false * odds) ** 2


def planned_size(
    *,
    effect: float,
    variance: float,
    variance_treated: float | None = None,
    lower: float,
    upper: float,
    share_treated: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> PlannedSize:
    """Patients after whom the confidence sequence excludes "no difference" with the wanted power.

    Parameters
    ----------
    effect : float
        Difference of the arms that shall be found, beyond the margin; not 0, either sign.
    variance : float
        Of the value of one patient under control; `net_benefit_variance`.
    variance_treated : float, optional
        The same under treatment; by default as under control.
    lower, upper : float
        Range of the values.
    share_treated : float in (0, 1)
        Planned share of treatment, of the stage in which nearly all patients arrive.
    alpha : float in (0, 1)
        Two-sided error over all looks.
    power : float in (0, 1)
        Chance to exclude it at the planned size; excluding it earlier comes on top.

    Raises
    ------
    InvalidArray
        A number out of its range, or an effect that needs more than ten million patients.

    Source: the drift of the contributions against the boundary of ``bounded_difference``, by bisection.

    Examples
    --------
    >>> size = planned_size(effect=0.05, variance=0.165, lower=-0.25, upper=1.0)
    >>> size.n_fixed, size.n
    (2073, 4281)
    """
    check_fraction(power, name="power")
    p = check_fraction(share_treated, name="share_treated")
    if effect == 0 or not math.isfinite(effect):
        raise InvalidArray(f"effect is {effect}, expected a number other than 0")
    treated = variance if variance_treated is None else variance_treated
    if not (variance > 0 and treated > 0):
        raise InvalidArray(f"the variances are {variance} and {treated}, expected positive numbers")
    drift, weight = abs(effect), 4 * p * (1 - p)
    per_patient = weight**2 * (treated / p + variance / (1 - p))
    bound = contribution_bound(p, lower=lower, upper=upper)
    wanted = _NORMAL.inv_cdf(power)

    def reached(n: int) -> bool:
        variation = per_patient * n
        rho = tuned_rho(variation, alpha=alpha / 2)
        edge = float(mixture_boundary(np.array([variation]), rho=rho, scale=bound, alpha=alpha / 2)[0])
        return drift * weight * n - edge >= wanted * math.sqrt(variation)

    high = 16
    while not reached(high):
        high *= 2
        if high > LARGEST:
            raise InvalidArray(
                f"an effect of {effect:g} needs more than {LARGEST:,} patients", cure="State an effect that matters."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    quantile = _NORMAL.inv_cdf(1 - check_fraction(alpha, name="alpha") / 2)
    fixed = math.ceil(per_patient * ((quantile + wanted) / (drift * weight)) ** 2)
    return PlannedSize(high, fixed, per_patient * high, effect, power, alpha, p)
