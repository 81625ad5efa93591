"""Logistic regression with a ridge penalty: the simplest candidate, and the yardstick of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, _: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**parameters, solver="lbfgs", max_iter=1000, random_state=seed)


def _space(trial: optuna.Trial, _: int) -> Parameters:
    return {"C": trial.suggest_float("C", 1e-3, 30, log=True)}


CANDIDATE = CandidateType(
    name="logistic_ridge",
    simplicity=10,
    cost=10,
    model=_model,
    space=_space,
    start=lambda _: {"C": 0.1},
    explanation="linear",
)
