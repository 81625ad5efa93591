"""A random forest of few trees: many of them would make a bundle of megabytes for no gain on clinical cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import largest_leaf

if TYPE_CHECKING:
    import optuna

_TREES = 60


def _model(parameters: Parameters, _: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(_TREES, **parameters, n_jobs=1, random_state=seed)


def _space(trial: optuna.Trial, n_rows: int) -> Parameters:
    return {
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, largest_leaf(n_rows), log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 0.5, log=True),
    }


CANDIDATE = CandidateType(
    name="random_forest",
    simplicity=60,
    cost=70,
    model=_model,
    space=_space,
    start=lambda n_rows: {"min_samples_leaf": min(5, largest_leaf(n_rows)), "max_features": 0.3},
    half_budget=True,
    # It cannot say less than "not one tree"; half a tree is its floor.
    floor=1 / (2 * _TREES),
    scaled=False,
    single=True,
)
