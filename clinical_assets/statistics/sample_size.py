"""How many records does developing a model need? The criteria of Riley et al. for a binary outcome.

What belongs here: required sample sizes and the R2 they need.
What does not: the size of experiments or of validation sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.inputs import InvalidArray, as_outcome, check_fraction


@dataclass(frozen=True)
class DevelopmentSampleSize:
    """Records needed to develop a model, by criterion.

    Attributes
    ----------
    n_shrinkage : int
        Criterion 1: expected uniform shrinkage of at least the target (.9).
    n_optimism : int
        Criterion 2: apparent and adjusted Nagelkerke R2 differ by at most the target (.05).
    n_prevalence : int
        Criterion 3: the overall risk is estimated within the margin (.05).
    required : int
        The largest of the three.
    events : float
        Events expected among them.
    events_per_parameter : float
    max_r2 : float
        Largest Cox-Snell R2 possible at this prevalence.
    """

    n_shrinkage: int
    n_optimism: int
    n_prevalence: int
    required: int
    events: float
    events_per_parameter: float
    max_r2: float

    def is_met_by(self, n: int) -> bool:
        """Whether `n` records satisfy all three criteria."""
        return n >= self.required


def development_sample_size(
    *,
    n_parameters: int,
    prevalence: float,
    r2_cox_snell: float,
    shrinkage: float = 0.9,
    optimism: float = 0.05,
    margin: float = 0.05,
) -> DevelopmentSampleSize:
    """Minimum records for developing a model of a binary outcome.

    Parameters
    ----------
    n_parameters : int
        Candidate parameters: columns after encoding, before any selection.
    prevalence : float in (0, 1)
        Share of events in the population.
    r2_cox_snell : float
        Expected Cox-Snell R2, in (0, min(shrinkage, maximum at this prevalence)); see the functions below.
    shrinkage, optimism, margin : floats in (0, 1)
        Targets of the three criteria.

    Raises
    ------
    InvalidArray
        A number is out of its range.

    Source: Riley et al. 2019, doi 10.1002/sim.7992.

    Examples
    --------
    The example of the R package pmsampsize:

    >>> size = development_sample_size(n_parameters=24, prevalence=0.174, r2_cox_snell=0.288)
    >>> size.n_shrinkage, size.n_optimism, size.n_prevalence
    (623, 662, 221)
    >>> size.required, round(size.events_per_parameter, 1)
    (662, 4.8)
    """
    if n_parameters < 1:
        raise InvalidArray(f"n_parameters is {n_parameters}, expected at least 1")
    for name, value in (("shrinkage", shrinkage), ("optimism", optimism), ("margin", margin)):
        check_fraction(value, name=name)
    max_r2 = max_cox_snell_r2(prevalence)
    if not 0 < r2_cox_snell < min(shrinkage, max_r2):
        raise InvalidArray(
            f"r2_cox_snell is {r2_cox_snell}, expected above 0 and below {min(shrinkage, max_r2):.3f}",
            cure="Use the Cox-Snell R2; a Nagelkerke R2 is converted by r2_from_nagelkerke.",
        )
    n_shrinkage = _size_for_shrinkage(n_parameters, r2_cox_snell, shrinkage)
    target = r2_cox_snell / (r2_cox_snell + optimism * max_r2)
    n_optimism = _size_for_shrinkage(n_parameters, r2_cox_snell, target)
    n_prevalence = math.ceil((1.96 / margin) ** 2 * prevalence * (1 - prevalence))
    required = max(n_shrinkage, n_optimism, n_prevalence)
    events = required * prevalence
    return DevelopmentSampleSize(n_shrinkage, n_optimism, n_prevalence, required, events, events / n_parameters, max_r2)


def _size_for_shrinkage(n_parameters: int, r2: float, shrinkage: float) -> int:
    return math.ceil(n_parameters / ((shrinkage - 1) * math.log1p(-r2 / shrinkage)))


def max_cox_snell_r2(prevalence: float) -> float:
    """Largest Cox-Snell R2, in (0, .75]: 1 - (phi^phi (1-phi)^(1-phi))^2. Source: doi 10.1002/sim.7992.

    Examples
    --------
    >>> max_cox_snell_r2(0.5)  # 1 - (1/2)^2
    0.75
    >>> round(max_cox_snell_r2(0.05), 2)
    0.33
    """
    phi = check_fraction(prevalence, name="prevalence")
    return -math.expm1(2 * (phi * math.log(phi) + (1 - phi) * math.log1p(-phi)))


def r2_from_nagelkerke(nagelkerke: float, *, prevalence: float) -> float:
    """Cox-Snell R2 of a Nagelkerke R2. Where nothing is known, Riley et al. assume a Nagelkerke R2 of .15.

    Examples
    --------
    >>> round(r2_from_nagelkerke(0.15, prevalence=0.5), 4)  # 0.15 * 0.75
    0.1125
    """
    return check_fraction(nagelkerke, name="nagelkerke") * max_cox_snell_r2(prevalence)


def r2_from_auroc(auroc: float, *, prevalence: float) -> float:
    """Cox-Snell R2 implied by an AUROC in (.5, 1).

    For normal log-odds of equal variance among events and non-events.

    With d = sqrt(2) * quantile(AUROC), the log-odds are logit(prevalence) + d x - d^2 / 2: x is N(d, 1) among
    events and N(0, 1) among non-events; the R2 is that of their expected log-likelihood, by quadrature
    where the paper simulates.

    Source: Riley et al. 2021, doi 10.1002/sim.8806.

    Examples
    --------
    >>> round(r2_from_auroc(0.81, prevalence=0.77), 2)
    0.21
    >>> r2_from_auroc(0.7, prevalence=0.1) < r2_from_auroc(0.8, prevalence=0.1)
    True
    """
    phi = check_fraction(prevalence, name="prevalence")
    if not 0.5 < auroc < 1:
        raise InvalidArray(f"auroc is {auroc}, expected above .5 and below 1")
    d = math.sqrt(2) * NormalDist().inv_cdf(auroc)
    nodes, mass = np.polynomial.hermite_e.hermegauss(100)
    mass = mass / mass.sum()
    log_odds_events = math.log(phi / (1 - phi)) + d * (nodes + d) - d**2 / 2
    log_odds_others = math.log(phi / (1 - phi)) + d * nodes - d**2 / 2
    model = -phi * (mass @ np.logaddexp(0, -log_odds_events)) - (1 - phi) * (mass @ np.logaddexp(0, log_odds_others))
    null = phi * math.log(phi) + (1 - phi) * math.log1p(-phi)
    return -math.expm1(2 * (null - float(model)))


def events_per_parameter(y: ArrayLike, *, n_parameters: int) -> float:
    """Records of the rarer class per candidate parameter of a development set y (n,) of 0 and 1.

    A rule of thumb: 10 to 20 is the usual minimum, and `development_sample_size` is the better answer.
    Raises InsufficientData if a class is missing. Source: Peduzzi et al. 1996, doi
    10.1016/S0895-4356(96)00236-3.

    Examples
    --------
    >>> events_per_parameter([1] * 100 + [0] * 900, n_parameters=10)
    10.0
    """
    if n_parameters < 1:
        raise InvalidArray(f"n_parameters is {n_parameters}, expected at least 1")
    outcome = as_outcome(y)
    rarer = min(outcome.sum(), outcome.size - outcome.sum())
    if rarer == 0:
        raise InsufficientData(
            f"only one class among {outcome.size} records", cure="Widen the cohort or the outcome horizon."
        )
    return float(rarer) / n_parameters
