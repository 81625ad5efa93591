"""How large settings may be: what several candidates share when they draw parameters.

The limits are for clinical cohorts of a hundred to some ten thousand rows: shallow trees, few of them, strong
penalties within reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.modelling.search.candidate_type import Parameters

if TYPE_CHECKING:
    import optuna

LARGE = 3000
#: Where a search of boosted trees begins.
BOOSTING_START: Parameters = {
    "n_estimators": 60,
    "learning_rate": 0.07,
    "reg_lambda": 1.0,
    "colsample_bytree": 0.7,
    "subsample": 0.8,
}


def largest_leaf(n_rows: int) -> int:
    """Most rows that a leaf may be asked to hold: a fifteenth of them, between 5 and 100."""
    return max(5, min(100, n_rows // 15))


def boosting(trial: optuna.Trial, n_rows: int) -> Parameters:
    """What boosted trees of either library have in common."""
    most = 120 if n_rows < LARGE else 400
    return {
        "n_estimators": trial.suggest_int("n_estimators", 30, most, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-2, 30, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1),
        "subsample": trial.suggest_float("subsample", 0.6, 1),
    }


#: Where a search of hazard regressions begins.
HAZARD_START: Parameters = {"alpha": 10.0}


def hazard_penalty(trial: optuna.Trial, _: int) -> Parameters:
    """The ridge penalty of a hazard regression on standardised columns."""
    return {"alpha": trial.suggest_float("alpha", 0.03, 1000, log=True)}
