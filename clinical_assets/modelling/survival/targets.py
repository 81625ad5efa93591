"""What models of times to events learn from: all at risk, the censored among them, with time and event.

What belongs here: rows and targets. What does not: estimators.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.table.inputs import ModelInput, UnusableTable
from clinical_assets.statistics.survival.censored_outcomes import CensoredOutcomes

#: Fields of a target (n,): time from the prediction in horizons, and what ended it.
TARGET = np.dtype([("time", np.float64), ("event", np.int64)])


def followed_rows(data: ModelInput) -> tuple[FloatArray, Any, FloatArray | None]:
    """Everybody at risk among some rows, with or without a class.

    Parameters
    ----------
    data : ModelInput
        Rows with a class, and those that they carry of the censored.

    Returns
    -------
    X : array of shape (n + m, p)
        Features of both.
    y : structured array of shape (n + m,)
        With the fields of `TARGET`; the horizon is 1, and times go beyond it.
    weights : array of shape (n + m,) or None
        Case weights of the records over their mean. Nobody stands for the censored: they are here.

    Raises
    ------
    UnusableTable
        The rows have no follow-up.
    """
    follow_up = data.follow_up
    if follow_up is None:
        raise UnusableTable(
            "a model of times to events needs time and event of each row, and the table has classes alone.",
            cure="Write `outcome: {time: ..., event: ..., horizon_days: ...}` and materialize `features` again, or "
            "take the candidate out of modelling.candidates.",
        )
    days = np.concatenate([follow_up.days, follow_up.censored_days])
    event = np.concatenate([follow_up.event, np.zeros(len(follow_up.censored_days), dtype=np.int64)])
    y = np.empty(days.size, dtype=TARGET)
    y["time"], y["event"] = days / follow_up.horizon, event
    weights = None
    if follow_up.case_weights is not None and follow_up.censored_case_weights is not None:
        weights = np.concatenate([follow_up.case_weights, follow_up.censored_case_weights])
        weights = weights / weights.mean()
    return np.vstack([data.X, follow_up.censored_X]), y, weights


def outcomes_of(y: Any) -> CensoredOutcomes:
    """Follow-up of a target (n,) as statistics take it."""
    return CensoredOutcomes(y["time"], y["event"], 1.0)
