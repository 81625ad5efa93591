"""What a suspicion of leakage is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LeakKind = Literal[
    "identifier",
    "known_too_late",
    "after_prediction",
    "named_after_outcome",
    "separation",
    "pair",
    "joint",
    "missingness",
    "copy",
    "one_sided",
    "duplicate",
    "grouping",
]
LeakAction = Literal["refuse", "ask", "warn"]
"""Fit nothing; fit, but let a person answer before a release; report."""


@dataclass(frozen=True)
class Leak:
    """One suspicion.

    Attributes
    ----------
    column : str
        The feature (of a ``grouping`` any column), or several joined by commas where they leak together.
    kind : str
    evidence : str
        What was measured, with numbers and without identifiers.
    value : float or None
        The measure: AUROC, share or count.
    action : "refuse", "ask" or "warn"
        ``ask`` leaves a gate criterion insufficient until ``known_before`` or a signed waiver answers.
    cure : str
    """

    column: str
    kind: LeakKind
    evidence: str
    value: float | None
    action: LeakAction
    cure: str
