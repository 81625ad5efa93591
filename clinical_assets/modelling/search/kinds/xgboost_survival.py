"""Trees boosted on Cox's partial likelihood by XGBoost; missing values are read as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import BOOSTING_START, LARGE, boosting

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, _: int, seed: int) -> Any:
    # Candidates are listed where definitions load, without numpy; so is all that needs it.
    from clinical_assets.modelling.survival.estimators import boosted_hazards

    settings: dict[str, Any] = {"max_bin": 64, "tree_method": "hist", "random_state": seed, "n_jobs": 1, "verbosity": 0}
    return boosted_hazards()(parameters | settings)


def _space(trial: optuna.Trial, n_rows: int) -> Parameters:
    return boosting(trial, n_rows) | {
        "max_depth": trial.suggest_int("max_depth", 1, 3 if n_rows < LARGE else 6),
        # A sum of second derivatives, each about a row's cumulative hazard.
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 20, log=True),
    }


CANDIDATE = CandidateType(
    name="xgboost_survival",
    simplicity=55,
    cost=55,
    model=_model,
    space=_space,
    start=lambda _: BOOSTING_START | {"max_depth": 2, "min_child_weight": 2.0},
    reads_missing=True,
    single=True,
    explanation="xgboost_hazard",
    timed=True,
    libraries=("xgboost",),
)
