"""Gaussian naive Bayes; without flags of missing values, because normal densities explode on rare flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, _: int, __: int) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**parameters)


def _space(trial: optuna.Trial, _: int) -> Parameters:
    return {"var_smoothing": trial.suggest_float("var_smoothing", 1e-2, 1, log=True)}


CANDIDATE = CandidateType(
    name="naive_bayes",
    simplicity=30,
    cost=20,
    model=_model,
    space=_space,
    start=lambda _: {"var_smoothing": 0.1},
    half_budget=True,
    # It claims more certainty than it has; float32 scores could not carry it either.
    floor=1e-4,
    flags_missing=False,
    explanation="naive_bayes",
)
