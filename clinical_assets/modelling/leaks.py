"""What a suspicion of leakage is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "identifier",
    "known_too_late",
    "after_prediction",
    "named_after_outcome",
    "separation",
    "missingness",
    "copy",
    "one_sided",
    "duplicate",
]
Action = Literal["refuse", "warn"]


@dataclass(frozen=True)
class Leak:
    """One suspicion.

    Attributes
    ----------
    column : str
        The feature, or several joined by commas where they leak together.
    kind : str
    evidence : str
        What was measured, with numbers and without identifiers.
    value : float or None
        The measure: AUROC, share or count.
    action : "refuse" or "warn"
    cure : str
    """

    column: str
    kind: Kind
    evidence: str
    value: float | None
    action: Literal["refuse", "warn"]
    cure: str
