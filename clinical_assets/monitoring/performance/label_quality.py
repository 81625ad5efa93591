"""Do outcomes look like outcomes? A delivery in which everybody, or nobody, has the event is asked about first.

A query that forgets its condition, or a column that is filled with a default, gives outcomes that are all alike. What
such outcomes do to a model must be repaired at the source: two broken deliveries of opposite kinds together look like a
model that ranks no more.

What belongs here: questions about outcomes. What does not: whether the model keeps its promises (``performance``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.monitoring.quality import FALSE_ALARM, Question
from clinical_assets.statistics.calibration.calibration import calibration_intercept
from clinical_assets.statistics.calibration.in_the_large import in_the_large_p
from clinical_assets.statistics.calibration.logistic import expit, logit

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_LEAST_OUTCOMES = 20


def label_questions(rows: pl.DataFrame | None, *, action_from: int) -> list[Question]:
    """One question per batch with twenty outcomes or more: are they all alike although the risks say otherwise?

    Risks are first moved to the rate that all outcomes together have, so that a model that is wrong in the large raises
    no alarm about labels; where all outcomes of all batches are alike, they are taken as they were served.

    Parameters
    ----------
    rows : polars.DataFrame or None
        As ``windows.matured_records`` gives them, one row per unit.
    action_from : int
        First class that counts as event.

    Returns
    -------
    list of Question
        Without a batch of that size none.
    """
    if rows is None or not rows.height:
        return []
    event = (rows["outcome"].to_numpy() >= action_from).astype(np.int64)
    risk = _moved(event, rows["risk"].to_numpy())
    batch = rows["batch"].to_numpy()
    names, sizes = np.unique(batch, return_counts=True)
    asked = names[sizes >= _LEAST_OUTCOMES]
    return [_alike(event[batch == name], risk[batch == name], level=FALSE_ALARM / asked.size) for name in asked]


def _alike(event: NDArray[np.int64], risk: FloatArray, *, level: float) -> Question:
    n, events, expected = event.size, int(event.sum()), float(risk.sum())
    p = in_the_large_p(event, risk)
    alarm = events in (0, n) and p < level
    who = "none" if events == 0 else "every one"
    words = (
        f"outcomes: {who} of the {n} records of a batch has the event, where {expected:.0f} were expected; look at "
        "where outcomes come from before anything else"
    )
    return Question("outcomes", "alike", expected / n, events / n, p, alarm, words if alarm else "")


def _moved(event: NDArray[np.int64], risk: FloatArray) -> FloatArray:
    try:
        shift = calibration_intercept(event, risk).value
    except InsufficientData:
        return risk
    return np.asarray(expit(logit(np.clip(risk, 1e-12, 1 - 1e-12)) + shift))
