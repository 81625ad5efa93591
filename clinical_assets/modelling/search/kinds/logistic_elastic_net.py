"""Logistic regression with an elastic net: as readable as the ridge, and it may leave features out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, _: int, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**parameters, solver="saga", max_iter=2000, tol=1e-3, random_state=seed)


def _space(trial: optuna.Trial, _: int) -> Parameters:
    return {"C": trial.suggest_float("C", 3e-3, 10, log=True), "l1_ratio": trial.suggest_float("l1_ratio", 0.05, 1)}


CANDIDATE = CandidateType(
    name="logistic_elastic_net",
    simplicity=20,
    cost=30,
    model=_model,
    space=_space,
    start=lambda _: {"C": 0.1, "l1_ratio": 0.5},
    explanation="linear",
)
