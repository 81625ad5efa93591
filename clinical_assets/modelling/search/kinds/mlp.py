"""A neural network with one small hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, _: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    width, rest = int(parameters["hidden_units"]), {k: v for k, v in parameters.items() if k != "hidden_units"}
    return MLPClassifier((width,), **rest, solver="lbfgs", max_iter=200, random_state=seed)


def _space(trial: optuna.Trial, _: int) -> Parameters:
    return {
        "hidden_units": trial.suggest_int("hidden_units", 2, 24, log=True),
        "alpha": trial.suggest_float("alpha", 0.1, 100, log=True),
    }


CANDIDATE = CandidateType(
    name="mlp",
    simplicity=70,
    cost=60,
    model=_model,
    space=_space,
    start=lambda _: {"hidden_units": 8, "alpha": 3.0},
    half_budget=True,
    # Small networks claim more certainty than they have; float32 scores could not carry it either.
    floor=1e-4,
)
