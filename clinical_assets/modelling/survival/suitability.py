"""Which candidates a description's outcome suits.

Apart from the targets, because descriptions are checked where no array is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from clinical_assets.cohorts.decisions import TimeToEvent


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
