"""Boosted trees by XGBoost; missing values are read as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import BOOSTING_START, LARGE, boosting

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, n_classes: int, seed: int) -> Any:
    from xgboost import XGBClassifier

    objective = "binary:logistic" if n_classes == 2 else "multi:softprob"
    settings: dict[str, Any] = {"objective": objective, "max_bin": 64, "tree_method": "hist", "random_state": seed}
    return XGBClassifier(**(parameters | settings), n_jobs=1, verbosity=0)


def _space(trial: optuna.Trial, n_rows: int) -> Parameters:
    return boosting(trial, n_rows) | {
        "max_depth": trial.suggest_int("max_depth", 1, 3 if n_rows < LARGE else 6),
        "min_child_weight": trial.suggest_float("min_child_weight", 1, 20, log=True),
    }


CANDIDATE = CandidateType(
    name="xgboost",
    simplicity=50,
    cost=50,
    model=_model,
    space=_space,
    start=lambda _: BOOSTING_START | {"max_depth": 2, "min_child_weight": 3.0},
    reads_missing=True,
    single=True,
    explanation="xgboost",
    libraries=("xgboost",),
)
