"""Ordered logistic regression with a ridge penalty: one coefficient per feature for all cuts between the classes.

P(y >= c) = expit(beta x - theta_c) with rising theta: what raises the odds of "severe or worse" raises those of
"moderate or worse" as much (McCullagh 1980, doi 10.1111/j.2517-6161.1980.tb01109.x). Small cohorts can carry it where a
coefficient per class is too much. Of two classes it is the logistic ridge. Cuts are not penalised; ``C`` is that of
scikit-learn's logistic regression.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters

if TYPE_CHECKING:
    import optuna

_LARGEST_STEP = 30.0


def _model(parameters: Parameters, _: int, __: int) -> Any:
    return _classifier()(**parameters)


def _space(trial: optuna.Trial, _: int) -> Parameters:
    return {"C": trial.suggest_float("C", 1e-3, 30, log=True)}


def penalised_loss(
    t: FloatArray, X: FloatArray, y: IntArray, weights: FloatArray, *, C: float
) -> tuple[float, FloatArray]:
    """Negative log-likelihood times C plus half the squared coefficients, and its gradient.

    Parameters
    ----------
    t : array of shape (q + k - 1,)
        Coefficients, the first cut, and logarithms of the steps from each cut to the next.
    X : array of shape (n, q)
        Columns, standardised.
    y : array of shape (n,)
        Class numbers 0 .. k - 1.
    weights : array of shape (n,)
        What each row counts.
    C : float
        Above 0; the larger, the weaker the penalty.
    """
    import numpy as np
    from scipy.special import expit, log_expit

    q = X.shape[1]
    beta, steps = t[:q], np.exp(np.clip(t[q + 1 :], -_LARGEST_STEP, _LARGEST_STEP))
    cuts = t[q] + np.concatenate([[0.0], np.cumsum(steps)])
    score = X @ beta
    has_lower, has_upper = y > 0, y < cuts.size
    above = np.where(has_lower, score - cuts[np.maximum(y - 1, 0)], np.inf)
    below = np.where(has_upper, score - cuts[np.minimum(y, cuts.size - 1)], -np.inf)
    middle = has_lower & has_upper
    step = np.where(middle, above - below, 1.0)
    # expit(a) - expit(b) = expit(a) expit(-b) (1 - exp(b - a)): no digits are lost where both are near 1.
    log_p = log_expit(above) + log_expit(-below) + np.where(middle, np.log(-np.expm1(-step)), 0.0)
    value = -C * float(weights @ log_p) + 0.5 * float(beta @ beta)
    pull = weights * (expit(-above) - expit(below))
    apart = np.where(middle, weights / np.expm1(step), 0.0)
    by_cut = np.zeros(cuts.size)
    np.add.at(by_cut, y[has_lower] - 1, -(weights * expit(-above) + apart)[has_lower])
    np.add.at(by_cut, y[has_upper], (weights * expit(below) + apart)[has_upper])
    later = np.cumsum(by_cut[::-1])[::-1]
    gradient = np.concatenate([beta - C * (X.T @ pull), [-C * later[0]], -C * later[1:] * steps])
    return value, gradient


@cache
def _classifier() -> type[Any]:
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit, logit
    from sklearn.base import BaseEstimator, ClassifierMixin

    class ProportionalOdds(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Cumulative logit model; `coef_` (1, q) and `cuts_` (k - 1,)."""

        def __init__(self, C: float = 1.0) -> None:
            self.C = C

        def fit(self, X: FloatArray, y: IntArray, sample_weight: FloatArray | None = None) -> ProportionalOdds:
            X = np.asarray(X, dtype=np.float64)
            self.classes_, numbers = np.unique(y, return_inverse=True)
            weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
            shares = np.bincount(numbers, weights=weights) / weights.sum()
            cuts = -logit(np.clip(1 - np.cumsum(shares)[:-1], 1e-9, 1 - 1e-9))
            steps = np.log(np.maximum(np.diff(cuts), 1e-6))
            start = np.concatenate([np.zeros(X.shape[1]), cuts[:1], steps])
            found = minimize(
                lambda t: penalised_loss(t, X, numbers, weights, C=self.C),
                start,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-7},
            )
            self.n_features_in_ = X.shape[1]
            self.coef_ = found.x[None, : X.shape[1]]
            rises = np.exp(np.clip(found.x[X.shape[1] + 1 :], -_LARGEST_STEP, _LARGEST_STEP))
            self.cuts_ = found.x[X.shape[1]] + np.concatenate([[0.0], np.cumsum(rises)])
            self.intercept_ = -self.cuts_[:1]
            return self

        def predict_proba(self, X: FloatArray) -> FloatArray:
            above = expit(np.asarray(X, dtype=np.float64) @ self.coef_[0][:, None] - self.cuts_)
            ends = np.ones((len(above), 1))
            return np.asarray(np.hstack([ends, above]) - np.hstack([above, 0 * ends]))

        def predict(self, X: FloatArray) -> Any:
            return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    return ProportionalOdds


CANDIDATE = CandidateType(
    name="proportional_odds",
    simplicity=11,
    cost=13,
    model=_model,
    space=_space,
    start=lambda _: {"C": 0.1},
    explanation="linear",
)
