"""Boosted trees by LightGBM; missing values are read as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import BOOSTING_START, LARGE, boosting, largest_leaf

if TYPE_CHECKING:
    import optuna


def _model(parameters: Parameters, n_classes: int, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    objective = "binary" if n_classes == 2 else "multiclass"
    settings: dict[str, Any] = {"objective": objective, "max_bin": 63, "subsample_freq": 1}
    settings |= {"random_state": seed, "n_jobs": 1}
    exact = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    return LGBMClassifier(**(parameters | settings | exact))


def _space(trial: optuna.Trial, n_rows: int) -> Parameters:
    return boosting(trial, n_rows) | {
        "num_leaves": trial.suggest_int("num_leaves", 2, 10 if n_rows < LARGE else 48, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, largest_leaf(n_rows), log=True),
    }


def _start(n_rows: int) -> Parameters:
    return BOOSTING_START | {"num_leaves": 5, "min_child_samples": min(20, largest_leaf(n_rows))}


CANDIDATE = CandidateType(
    name="lightgbm",
    simplicity=40,
    cost=40,
    model=_model,
    space=_space,
    start=_start,
    reads_missing=True,
    single=True,
    explanation="lightgbm",
    libraries=("lightgbm",),
)
