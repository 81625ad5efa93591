"""What is tuned of each candidate, between which limits, and where the search begins.

The limits are for clinical cohorts of a hundred to some ten thousand rows: shallow trees, few of them, strong
penalties within reach. The first trial of every search is a moderate setting, so a search of one is not a lottery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clinical_assets.modelling.candidates import Parameters

if TYPE_CHECKING:
    import optuna

LARGE = 3000
# Candidates whose one or two settings matter little, or whose single fit is slow, get half the budget.
HALF = ("naive_bayes", "random_forest", "mlp")


def budget(name: str, trials: int) -> int:
    """Trials that candidate `name` gets of a budget of `trials`: all of it, or half for the names in `HALF`."""
    return -(-trials // 2) if name in HALF else trials


def space(name: str, trial: optuna.Trial, n_rows: int) -> Parameters:
    """Parameters of candidate `name` for one trial, when models are fitted on about `n_rows` rows."""
    return _SPACES[name](trial, n_rows)


def start(name: str, n_rows: int) -> Parameters:
    """The setting of the first trial."""
    leaf = min(20, largest_leaf(n_rows))
    return {
        "logistic_ridge": {"C": 0.1},
        "logistic_elastic_net": {"C": 0.1, "l1_ratio": 0.5},
        "naive_bayes": {"var_smoothing": 0.1},
        "lightgbm": {
            "n_estimators": 60,
            "learning_rate": 0.07,
            "num_leaves": 5,
            "min_child_samples": leaf,
            "reg_lambda": 1.0,
            "colsample_bytree": 0.7,
            "subsample": 0.8,
        },
        "xgboost": {
            "n_estimators": 60,
            "learning_rate": 0.07,
            "max_depth": 2,
            "min_child_weight": 3.0,
            "reg_lambda": 1.0,
            "colsample_bytree": 0.7,
            "subsample": 0.8,
        },
        "random_forest": {"min_samples_leaf": min(5, leaf), "max_features": 0.3},
        "mlp": {"hidden_units": 8, "alpha": 3.0},
    }[name]


def largest_leaf(n_rows: int) -> int:
    """Most rows that a leaf may be asked to hold: a fifteenth of them, between 5 and 100."""
    return max(5, min(100, n_rows // 15))


def _ridge(trial: optuna.Trial, _: int) -> Parameters:
    return {"C": trial.suggest_float("C", 1e-3, 30, log=True)}


def _elastic_net(trial: optuna.Trial, _: int) -> Parameters:
    return {"C": trial.suggest_float("C", 3e-3, 10, log=True), "l1_ratio": trial.suggest_float("l1_ratio", 0.05, 1)}


def _naive_bayes(trial: optuna.Trial, _: int) -> Parameters:
    return {"var_smoothing": trial.suggest_float("var_smoothing", 1e-2, 1, log=True)}


def _boosting(trial: optuna.Trial, n_rows: int) -> Parameters:
    most = 120 if n_rows < LARGE else 400
    return {
        "n_estimators": trial.suggest_int("n_estimators", 30, most, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-2, 30, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1),
        "subsample": trial.suggest_float("subsample", 0.6, 1),
    }


def _lightgbm(trial: optuna.Trial, n_rows: int) -> Parameters:
    return _boosting(trial, n_rows) | {
        "num_leaves": trial.suggest_int("num_leaves", 2, 10 if n_rows < LARGE else 48, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, largest_leaf(n_rows), log=True),
    }


def _xgboost(trial: optuna.Trial, n_rows: int) -> Parameters:
    return _boosting(trial, n_rows) | {
        "max_depth": trial.suggest_int("max_depth", 1, 3 if n_rows < LARGE else 6),
        "min_child_weight": trial.suggest_float("min_child_weight", 1, 20, log=True),
    }


def _forest(trial: optuna.Trial, n_rows: int) -> Parameters:
    return {
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, largest_leaf(n_rows), log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 0.5, log=True),
    }


def _mlp(trial: optuna.Trial, _: int) -> Parameters:
    return {
        "hidden_units": trial.suggest_int("hidden_units", 2, 24, log=True),
        "alpha": trial.suggest_float("alpha", 0.1, 100, log=True),
    }


_SPACES: dict[str, Callable[[optuna.Trial, int], Parameters]] = {
    "logistic_ridge": _ridge,
    "logistic_elastic_net": _elastic_net,
    "naive_bayes": _naive_bayes,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "random_forest": _forest,
    "mlp": _mlp,
}
