"""How much of an ageing model must change? Logistic recalibration, and the smallest adequate update.

What belongs here: the recalibration map, and the closed test between original, intercept, slope and refit.
What does not: refitting a model, or deciding when to look (`monitoring`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.calibration.calibration import refuse_separation, with_intercept
from clinical_assets.statistics.calibration.logistic import expit, fit_logistic, log_likelihood, logit
from clinical_assets.statistics.inputs import BinarySample, InvalidArray, binary_sample, check_fraction

UpdateKind = Literal["original", "intercept", "intercept and slope", "refit"]

# Normal prior on the departure from the identity: 95 % of slopes in (-1, 3), of intercepts in (-5, 5).
INTERCEPT_PRIOR_SD = 2.5
SLOPE_PRIOR_SD = 1.0
# A map must rise. This slope keeps the order of the scores and gives everyone about the prevalence.
MIN_SLOPE = 0.01


@dataclass(frozen=True)
class RecalibrationMap:
    """logit(recalibrated risk) = intercept + slope * logit(risk); rising, so that it keeps the ranking.

    Attributes
    ----------
    intercept, slope : float
        0 and 1 leave the risks as they are.
    n, events : int
        What it was fitted on (sums of weights).
    slope_at_floor : bool
        True when the scores ranked the outcome no better than chance, so that the slope was held at .01 and
        everyone gets about the prevalence: the model is not worth using.
    """

    intercept: float
    slope: float
    n: int
    events: int
    slope_at_floor: bool = False

    def apply(self, logit_p: ArrayLike) -> FloatArray:
        """Recalibrated log-odds of log-odds, same shape."""
        return self.intercept + self.slope * np.asarray(logit_p, dtype=np.float64)

    def apply_to_risk(self, p: ArrayLike) -> FloatArray:
        """Recalibrated risks of risks strictly between 0 and 1, same shape."""
        risk = np.asarray(p, dtype=np.float64)
        if not ((risk > 0) & (risk < 1)).all():
            raise InvalidArray("risks to recalibrate must be strictly between 0 and 1")
        return expit(self.apply(logit(risk)))


@dataclass(frozen=True)
class UpdateTest:
    """A likelihood-ratio test of a smaller update against the largest: a small p says it is inadequate."""

    smaller: UpdateKind
    larger: UpdateKind
    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True)
class UpdateChoice:
    """The smallest adequate update, the tests that led to it, and its map (None for a refit)."""

    kind: UpdateKind
    tests: tuple[UpdateTest, ...]
    recalibration: RecalibrationMap | None
    alpha: float


def fit_recalibration(y: ArrayLike, logit_p: ArrayLike, *, weights: ArrayLike | None = None) -> RecalibrationMap:
    """Logistic recalibration, safe for small n.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    logit_p : array of shape (n,)
        Log-odds predicted for records the model was not fitted on (out-of-fold, or later ones).
    weights : array of shape (n,), optional
        Frequency weights; weight 2 is the record twice.

    Returns
    -------
    RecalibrationMap
        The departure from the identity is penalised by a normal prior (standard deviation 2.5 for the
        intercept, 1 for the slope), worth a record or two: few records leave the model nearly as it is,
        separated ones get a finite slope, and from a few hundred on it is maximum likelihood. Firth's
        penalty would also be finite, but pulls the risks to one half instead of to the model.

    Raises
    ------
    InsufficientData
        A class is missing.
    InvalidArray
        NaN, infinite, or shapes that differ.

    Source: logistic recalibration Cox 1958, doi 10.1093/biomet/45.3-4.562; Platt 1999; penalty as prior
    Greenland & Mansournia 2015, doi 10.1002/sim.6537.

    Examples
    --------
    Risks of .1 and .9 where two and eight of ten had the event; the slope is about logit(.8) / logit(.9) = 0.63:

    >>> y, p = np.array([1] * 20 + [0] * 80 + [1] * 80 + [0] * 20), np.repeat([0.1, 0.9], 100)
    >>> update = fit_recalibration(y, logit(p))
    >>> round(update.slope, 2), round(abs(update.intercept), 2)
    (0.63, 0.0)
    >>> update.apply_to_risk([0.1, 0.9]).round(2).tolist()
    [0.2, 0.8]
    """
    sample = binary_sample(y, logit_p, weights, score_range="real", name="logit_p")
    x = sample.score
    penalty = 1 / np.array([INTERCEPT_PRIOR_SD, SLOPE_PRIOR_SD]) ** 2
    departure = fit_logistic(with_intercept(x), sample.y, sample.weights, offset=x, penalty=penalty).coefficients
    return _map(sample, float(departure[0]), 1 + float(departure[1]))


def choose_update(
    y: ArrayLike,
    logit_p: ArrayLike,
    *,
    refit_logit: ArrayLike | None = None,
    refit_parameters: int | None = None,
    weights: ArrayLike | None = None,
    alpha: float = 0.05,
) -> UpdateChoice:
    """The smallest adequate update of a model, by a closed test that keeps its level over all steps.

    The original model is tested against the largest update; if rejected, the update of the intercept is;
    if rejected, that of intercept and slope. The first that is not rejected is adequate.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
        Outcomes of records that the original model has not seen.
    logit_p : array of shape (n,)
        Log-odds the original model predicts for them.
    refit_logit : array of shape (n,), optional
        Log-odds of the refitted model on these same records. The test holds for a maximum-likelihood
        refit that nests the original (the same predictors in a logistic regression), not for boosted
        trees or penalised fits. Without it, the largest update is intercept and slope.
    refit_parameters : int
        Number of parameters of that refit with its intercept, at least 3. Required with `refit_logit`.
    weights : array of shape (n,), optional
        Frequency weights.
    alpha : float
        Level of each test, and by closure of the whole.

    Raises
    ------
    InsufficientData
        A class is missing, or the risks separate the classes.
    InvalidArray
        NaN, infinite, shapes that differ, or a refit that fits worse than a model it should nest.

    Source: Vergouwe et al. 2017, doi 10.1002/sim.7179.

    Examples
    --------
    >>> y, p = np.array([1] * 20 + [0] * 80 + [1] * 80 + [0] * 20), np.repeat([0.2, 0.8], 100)
    >>> choose_update(y, logit(p)).kind
    'original'
    >>> choose_update(y, logit(p) - 1).kind  # everybody a whole log-odds too low
    'intercept'
    >>> choose_update(y, 2 * logit(p)).kind  # too extreme
    'intercept and slope'
    """
    check_fraction(alpha, name="alpha")
    sample = binary_sample(y, logit_p, weights, score_range="real", name="logit_p")
    x = sample.score
    refuse_separation(sample, x)
    shift = _shift(sample, x)
    slope_fit = fit_logistic(with_intercept(x), sample.y, sample.weights)
    intercept, slope = (float(b) for b in slope_fit.coefficients)
    ladder: list[tuple[UpdateKind, float, int, RecalibrationMap | None]] = [
        ("original", _fit_of(sample, x), 0, _map(sample, 0.0, 1.0)),
        ("intercept", _fit_of(sample, x + shift), 1, _map(sample, shift, 1.0)),
        ("intercept and slope", slope_fit.log_likelihood, 2, _map(sample, intercept, slope)),
    ]
    if refit_logit is not None:
        ladder.append(_refit_step(sample, refit_logit, refit_parameters, ladder[-1][1]))
    elif refit_parameters is not None:
        raise InvalidArray("refit_parameters is given without refit_logit")
    largest, most, parameters, _ = ladder[-1]
    tests: list[UpdateTest] = []
    for kind, fit, used, update in ladder[:-1]:
        test = _likelihood_ratio(kind, largest, most - fit, parameters - used)
        tests.append(test)
        if test.p_value >= alpha:
            return UpdateChoice(kind, tuple(tests), update, alpha)
    return UpdateChoice(largest, tuple(tests), ladder[-1][3], alpha)


def _refit_step(
    sample: BinarySample, refit_logit: ArrayLike, parameters: int | None, nested_fit: float
) -> tuple[UpdateKind, float, int, None]:
    if parameters is None or parameters < 3:
        raise InvalidArray(
            f"refit_parameters is {parameters}, expected at least 3 (intercept included)",
            cure="With fewer than two predictors a refit is the update of intercept and slope: leave it out.",
        )
    refit = binary_sample(sample.y, refit_logit, sample.weights, score_range="real", name="refit_logit")
    fit = _fit_of(sample, refit.score)
    if fit < nested_fit - 1e-3:
        raise InvalidArray(
            "the refit has a lower likelihood than recalibration of the original, which it should nest",
            cure="Refit by maximum likelihood on these records, with the same predictors and no penalty.",
        )
    return "refit", fit, parameters, None


def _likelihood_ratio(smaller: UpdateKind, larger: UpdateKind, log_ratio: float, df: int) -> UpdateTest:
    from scipy.special import chdtrc

    statistic = max(0.0, 2 * log_ratio)
    return UpdateTest(smaller, larger, statistic, df, float(chdtrc(df, statistic)))


def _shift(sample: BinarySample, offset: FloatArray) -> float:
    ones = np.ones((offset.size, 1))
    return float(fit_logistic(ones, sample.y, sample.weights, offset=offset).coefficients[0])


def _fit_of(sample: BinarySample, linear_predictor: FloatArray) -> float:
    return log_likelihood(linear_predictor, sample.y, sample.weights)


def _map(sample: BinarySample, intercept: float, slope: float) -> RecalibrationMap:
    """A rising map: a slope below the floor is held there, and the intercept fitted anew."""
    floored = slope < MIN_SLOPE
    if floored:
        slope = MIN_SLOPE
        intercept = _shift(sample, slope * sample.score)
    return RecalibrationMap(intercept, slope, round(sample.n), round(sample.events), floored)
