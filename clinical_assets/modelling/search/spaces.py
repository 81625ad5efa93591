"""What is tuned of a candidate, by its name: how many trials, between which limits, and where the search begins.

The first trial of every search is a moderate setting, so a search of one is not a lottery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.modelling.search.candidate_type import AnyCandidate, Parameters
from clinical_assets.modelling.search.kinds import kind_of

if TYPE_CHECKING:
    import optuna


def budget(candidate: AnyCandidate, trials: int) -> int:
    """Trials that a candidate gets of a budget of `trials`: all of it, half of it rounded up, or one."""
    kind = kind_of(candidate)
    return 1 if kind.given else -(-trials // 2) if kind.half_budget else trials


def space(candidate: AnyCandidate, trial: optuna.Trial, n_rows: int) -> Parameters:
    """Parameters of a candidate for one trial, when models are fitted on about `n_rows` rows."""
    return kind_of(candidate).space(trial, n_rows)


def start(candidate: AnyCandidate, n_rows: int) -> Parameters:
    """The setting of the first trial."""
    return kind_of(candidate).start(n_rows)
