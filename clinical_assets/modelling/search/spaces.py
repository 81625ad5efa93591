"""What is tuned of a candidate, by its name: how many trials, between which limits, and where the search begins.

The first trial of every search is a moderate setting, so a search of one is not a lottery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.modelling.search.candidate_type import Parameters
from clinical_assets.modelling.search.kinds import kind_of

if TYPE_CHECKING:
    import optuna


def budget(name: str, trials: int) -> int:
    """Trials that candidate `name` gets of a budget of `trials`: all of it, or half of it rounded up."""
    return -(-trials // 2) if kind_of(name).half_budget else trials


def space(name: str, trial: optuna.Trial, n_rows: int) -> Parameters:
    """Parameters of candidate `name` for one trial, when models are fitted on about `n_rows` rows."""
    return kind_of(name).space(trial, n_rows)


def start(name: str, n_rows: int) -> Parameters:
    """The setting of the first trial."""
    return kind_of(name).start(n_rows)
