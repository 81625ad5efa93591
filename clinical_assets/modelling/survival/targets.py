"""What models of times to events learn from: all at risk, the censored among them, with time and event.

What belongs here: rows and targets, and which candidates a description's outcome suits. What does not: estimators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clinical_assets.cohorts.decisions import TimeToEvent
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


def unsuited(
    name: str, *, competing: bool, outcome: TimeToEvent | None, pooled: Sequence[str]
) -> tuple[str, str] | None:
    """Why a candidate that learns from times cannot learn from an outcome, and the cure; None where it can.

    Parameters
    ----------
    name : str
        The candidate.
    competing : bool
        Whether it is for outcomes with competing events.
    outcome : TimeToEvent, optional
        Of the description.
    pooled : sequence of str
        Features that name groups, as ``modelling.pooled`` has them.
    """
    if outcome is None:
        return (
            f"{name} learns from times to events, and the outcome is a class.",
            "Write it as `outcome: {time: ..., event: ..., horizon_days: ...}`, or take a candidate for classes.",
        )
    if outcome.competing and not competing:
        return (
            f"{name} would take competing events for censored, and its risks for too high.",
            "Take fine_gray, or a candidate for classes: these count a competing event as free of the event.",
        )
    if competing and not outcome.competing:
        return (
            f"{name} is for competing events, and the outcome has none.",
            "Take cox_ridge, which is the same without.",
        )
    if pooled:
        return (
            f"{name} cannot read {', '.join(pooled)} by the mean outcome of groups: it learns from times.",
            "Take it out of modelling.candidates, or the feature out of modelling.pooled.",
        )
    return None
