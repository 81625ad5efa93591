"""From an estimate and its limits to a verdict in words: the one rule that the gates share.

An estimate passes when its whole interval keeps the limit, fails when its whole interval breaks it, and is
``insufficient`` when the interval reaches over the limit: then these rows show neither. More rows would tell, and how
many is said where it can be computed: intervals shrink with the square root of the rows, so they would have to be
``n * (half width / distance from value to limit)^2`` if the value stays where it is. Beyond ten times the rows there
were, that is guesswork, and no number is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict
from clinical_assets.statistics.uncertainty.intervals import Estimate

# So many times the rows there were can be foreseen.
_FARTHEST = 10.0


def judged(
    gate: Gate,
    criterion: str,
    estimate: Estimate,
    *,
    what: str,
    cure: str,
    least: float | None = None,
    most: float | None = None,
    strict: bool = False,
    unit: str = "rows",
    foresee: bool = True,
    evidence: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict on an estimate that must lie at or above `least` and at or below `most`.

    Parameters
    ----------
    gate : str
        The gate that the criterion belongs to.
    criterion : str
        Name of the criterion, unique in its gate.
    estimate : Estimate
        Value with its interval; n and events stand in the verdict.
    what : str
        What was estimated, to begin the sentence with.
    cure : str
        What helps when it fails.
    least, most : float, optional
        Limits in the estimate's unit; a side without one is open.
    strict : bool
        The interval may not touch the limit.
    unit : str
        What n counts.
    foresee : bool
        False where the interval does not shrink with the square root of n: no number of rows is promised then.
    evidence : mapping, optional
        Further plain values that stand in the verdict.
    """
    outcome = three_way(estimate.ci_low, estimate.ci_high, least=least, most=most, strict=strict)
    shown = f"{what} is {estimate.value:.3g} ({estimate.ci_low:.3g} to {estimate.ci_high:.3g})"
    limit = limit_text(least=least, most=most, strict=strict)
    if outcome == "pass":
        reason = f"{shown}; the whole interval keeps the limit {limit}."
    elif outcome == "fail":
        reason = f"{shown}; the whole interval breaks the limit {limit}. {cure}"
    else:
        reason = f"{shown}; the interval reaches over the limit {limit}: {estimate.n:,} {unit} cannot tell."
        inside = three_way(estimate.value, estimate.value, least=least, most=most, strict=True) == "pass"
        if not inside:
            reason += (
                " The value itself is on the wrong side of the limit or on it, so more of the same would not help."
            )
        elif foresee:
            needed = rows_needed(estimate, least=least, most=most)
            reason += (
                f" About {needed:,} {unit} would settle it if the value stays."
                if needed is not None
                else f" More than {_FARTHEST:g} times the {unit} would be needed if the value stays."
            )
    return Verdict(
        gate,
        criterion,
        outcome,
        reason,
        limit=limit,
        evidence={"method": estimate.method, **(evidence or {})},
        n=estimate.n,
        events=estimate.events,
        **finite(value=estimate.value, ci_low=estimate.ci_low, ci_high=estimate.ci_high),
    )


def three_way(
    low: float, high: float, *, least: float | None = None, most: float | None = None, strict: bool = False
) -> Outcome:
    """Where an interval lies: wholly inside the limits, wholly outside, or across one of them."""
    floor, ceiling = (-math.inf if least is None else least), (math.inf if most is None else most)
    inside = low > floor and high < ceiling if strict else low >= floor and high <= ceiling
    outside = high <= floor or low >= ceiling if strict else high < floor or low > ceiling
    return "pass" if inside else "fail" if outside else "insufficient"


def limit_text(*, least: float | None = None, most: float | None = None, strict: bool = False) -> str:
    """Limits as people read them: ``>= 0.6``, ``> 0``, ``<= 50``, ``0.7..1.4``."""
    same = "" if strict else "="
    if least is not None and most is not None:
        return f"{least:g}..{most:g}"
    return f">{same} {least:g}" if least is not None else f"<{same} {most:g}"


def rows_needed(estimate: Estimate, *, least: float | None = None, most: float | None = None) -> int | None:
    """Rows at which the interval would just keep the limits.

    None when the value does not keep them, or is so near a limit that more than ten times the rows would be needed.
    """
    ratios = []
    if least is not None:
        ratios.append((estimate.value - estimate.ci_low, estimate.value - least))
    if most is not None:
        ratios.append((estimate.ci_high - estimate.value, most - estimate.value))
    if any(
        half > math.sqrt(_FARTHEST) * distance or not math.isfinite(half) or distance <= 0 for half, distance in ratios
    ):
        return None
    return math.ceil(estimate.n * max(half / distance for half, distance in ratios) ** 2)


def finite(**numbers: float | None) -> dict[str, float | None]:
    """Numbers for a verdict: an infinite bound or a NaN is none."""
    return {name: x if x is not None and math.isfinite(x) else None for name, x in numbers.items()}
