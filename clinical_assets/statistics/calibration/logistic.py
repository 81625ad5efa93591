"""Logistic regression with a handful of parameters, for one or for many weightings at once.

What belongs here: the Newton solver that calibration, smoothing and updating share.
What does not: risk models; those are scikit-learn's.

scikit-learn has no offset and no standard errors, and statsmodels fits one weighting per call: a
bootstrap of 1,000 calibration slopes is one call here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray

MAX_ITERATIONS = 100
# Largest change of a linear predictor in one step: keeps Newton inside the region where its quadratic
# model holds.
MAX_STEP = 5.0
TOLERANCE = 1e-9
# Below this ratio of determinant to product of diagonals the information matrix has no usable inverse.
SINGULAR = 1e-13
FLAT = 1e-10
LOST_GRADIENT = 1e-6


@dataclass(frozen=True)
class LogisticFit:
    """Coefficients (k,), their covariance (k, k) from the inverse information, and the log-likelihood."""

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float

    @property
    def standard_errors(self) -> FloatArray:
        """Standard errors of the coefficients, shape (k,)."""
        return np.sqrt(np.diag(self.covariance))


def expit(x: FloatArray) -> FloatArray:
    """Probability of log-odds, without overflow.

    Examples
    --------
    >>> expit(np.array([-1000.0, 0, np.log(3)])).round(4).tolist()
    [0.0, 0.5, 0.75]
    """
    from scipy.special import expit as scipy_expit

    return np.asarray(scipy_expit(x), dtype=np.float64)


def logit(p: FloatArray) -> FloatArray:
    """Log-odds of probabilities in (0, 1).

    Examples
    --------
    >>> logit(np.array([0.25, 0.5, 0.75])).round(4).tolist()  # -ln 3, 0, ln 3
    [-1.0986, 0.0, 1.0986]
    """
    return np.log(p) - np.log1p(-p)


def log_likelihood(linear_predictor: FloatArray, y: FloatArray, weights: FloatArray) -> float:
    """Bernoulli log-likelihood, a number <= 0, of outcomes y (n,) given log-odds (n,) and weights (n,).

    Examples
    --------
    >>> round(log_likelihood(np.zeros(2), np.array([0.0, 1]), np.ones(2)), 4)  # two coins: 2 ln 0.5
    -1.3863
    """
    return float(weights @ (y * linear_predictor - np.logaddexp(0, linear_predictor)))


def fit_logistic(
    design: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    *,
    offset: FloatArray | None = None,
    penalty: FloatArray | None = None,
) -> LogisticFit:
    """Fit logit P(y = 1) = offset + design @ coefficients.

    Parameters
    ----------
    design : array of shape (n, k)
        With its own column of ones where an intercept is wanted.
    y : array of shape (n,)
        0 and 1, or the share of events among the `weights` of a row.
    weights : array of shape (n,)
        Frequency weights.
    offset : array of shape (n,), optional
        Log-odds that enter with coefficient 1.
    penalty : array of shape (k,), optional
        Ridge penalties: half the weighted sum of squares is taken off the log-likelihood. Zero is none.

    Raises
    ------
    InsufficientData
        No finite maximum: the events are separated, or the columns are collinear.

    Source: McCullagh & Nelder 1989, Generalized Linear Models, section 4.4.

    Examples
    --------
    Three events in four: the intercept is ln 3 and its variance 1 / (4 * 0.75 * 0.25).

    >>> fit = fit_logistic(np.ones((4, 1)), np.array([0.0, 1, 1, 1]), np.ones(4))
    >>> fit.coefficients.round(4).tolist(), fit.standard_errors.round(4).tolist()
    ([1.0986], [1.1547])
    """
    k = design.shape[1]
    ridge = np.zeros(k) if penalty is None else penalty
    beta = fit_logistic_batch(design, (weights * y)[None, :], weights[None, :], offset=offset, penalty=ridge)[0]
    if np.isnan(beta).any():
        raise InsufficientData(
            "a logistic fit has no finite solution: the events are separated from the non-events, or a "
            "column does not vary",
            cure="Pass more records, or use the penalised fit of `updating.fit_recalibration`.",
        )
    eta = design @ beta + (0 if offset is None else offset)
    mu = expit(eta)
    information = (design.T * (weights * mu * (1 - mu))) @ design + np.diag(ridge)
    return LogisticFit(beta, np.asarray(np.linalg.inv(information), dtype=np.float64), log_likelihood(eta, y, weights))


def fit_logistic_batch(
    design: FloatArray,
    events: FloatArray,
    totals: FloatArray,
    *,
    offset: FloatArray | None = None,
    penalty: FloatArray | None = None,
) -> FloatArray:
    """Fit one design to many weightings.

    Parameters
    ----------
    design : array of shape (m, k)
        With its own column of ones where an intercept is wanted.
    events, totals : arrays of shape (b, m)
        Weight of events, and of all records, on each row of the design.
    offset : array of shape (m,), optional
        Log-odds that enter with coefficient 1.
    penalty : array of shape (k,), optional
        Ridge penalties, as in `fit_logistic`.

    Returns
    -------
    array of shape (b, k)
        Coefficients; NaN where there is no finite solution.

    Examples
    --------
    One event in four, one in two, and events only, which has no finite solution:

    >>> events, totals = np.array([[1.0], [2], [4]]), np.array([[4.0], [4], [4]])
    >>> fit_logistic_batch(np.ones((1, 1)), events, totals)[:, 0].round(4).tolist()
    [-1.0986, 0.0, nan]
    """
    n_fits, (m, k) = events.shape[0], design.shape
    ridge = np.zeros(k) if penalty is None else penalty
    products = (design[:, :, None] * design[:, None, :]).reshape(m, k * k)
    result = np.full((n_fits, k), np.nan)
    active = np.arange(n_fits)
    beta = np.zeros((n_fits, k))
    eta = np.zeros((n_fits, m)) + (0 if offset is None else offset)
    last_step, last_slope = np.zeros((n_fits, k)), np.full(n_fits, np.inf)
    for _ in range(MAX_ITERATIONS):
        e, t = (events, totals) if active.size == n_fits else (events[active], totals[active])
        mu = expit(eta)
        residual = e - t * mu
        gradient = residual @ design - ridge * beta
        # The log-likelihood is concave: a step whose end slopes back harder than its start rose went too
        # far.
        slope = np.einsum("bk,bk->b", gradient, last_step)
        too_far = -slope > last_slope
        mu *= 1 - mu
        mu *= t
        information = (mu @ products).reshape(-1, k, k) + np.diag(ridge)
        flat, singular = _without_inverse(information)
        # Far from the data every predicted risk is 0 or 1 and the curvature vanishes, yet the gradient
        # shows the way back. After separation both vanish.
        lost = flat & (np.abs(gradient).max(axis=1) > LOST_GRADIENT)
        singular &= ~lost
        information[singular | lost] = np.eye(k)
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        step[too_far] = -last_step[too_far] / 2
        change = step @ design.T
        largest = np.abs(change).max(axis=1)
        shrink = np.minimum(1.0, MAX_STEP / np.maximum(largest, 1e-300))
        step *= shrink[:, None]
        change *= shrink[:, None]
        beta = beta + step
        eta += change
        last_slope = np.where(too_far, last_slope / 2, np.einsum("bk,bk->b", gradient, step))
        last_step = np.where(too_far[:, None], -step, step)
        done = (largest < TOLERANCE) & ~singular & ~too_far
        result[active[done]] = beta[done]
        keep = ~(done | (singular & ~too_far))
        if not keep.any():
            break
        if not keep.all():
            active, beta, eta = active[keep], beta[keep], eta[keep]
            last_step, last_slope = last_step[keep], last_slope[keep]
    return result


def _without_inverse(information: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which matrices are flat (a diagonal element about zero), and which cannot be inverted at all."""
    diagonal = np.diagonal(information, axis1=1, axis2=2)
    flat = np.asarray(~(diagonal > FLAT).all(axis=1))
    return flat, flat | ~(np.linalg.det(information) > SINGULAR * diagonal.prod(axis=1))
