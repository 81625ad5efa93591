"""What a gate says: one frozen verdict per criterion.

What belongs here: the shape of a verdict and how verdicts add up. What does not: reaching one (``gates``) or keeping
it (``verdict_store``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Gate = Literal["data_quality", "performance", "bias", "regulatory", "security"]
Outcome = Literal["pass", "fail", "insufficient"]
#: Every gate with its heading, in the order of evaluation; its criteria are in the module of its name in ``gates``.
LABELS: dict[Gate, str] = {
    "data_quality": "Data quality",
    "performance": "Performance",
    "bias": "Bias",
    "regulatory": "Regulatory",
    "security": "Security",
}
GATES: tuple[Gate, ...] = tuple(LABELS)
#: In the evidence of a verdict whose numbers are of the moment (a duration, an age): its reason without them.
LASTING = "without the clock"


@dataclass(frozen=True)
class Verdict:
    """What one criterion came to.

    Attributes
    ----------
    gate : str
        One of `GATES`.
    criterion : str
        Name within the gate, unique; a group follows in brackets, such as ``tpr_difference[sex=f]``.
    verdict : "pass", "fail" or "insufficient"
        ``insufficient`` means that the question could not be answered; it needs a signed waiver.
    value, ci_low, ci_high : float or None
        What was measured with its 95 % interval; None where there is no number. Never NaN.
    limit : str or None
        What it was held against, readable, such as ``>= 0.6`` or ``0.7..1.4``.
    n, events : int or None
        What the value rests on.
    reason : str
        One sentence for a person: why this verdict, and for the other two what would cure it.
    evidence : mapping
        More plain values that a reader may want: digests, method, examples. No identifiers.
    """

    gate: Gate
    criterion: str
    verdict: Outcome
    reason: str
    value: float | None = None
    limit: str | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    events: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("value", "ci_low", "ci_high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.gate}/{self.criterion}: {name} is {number}; say insufficient instead")

    def row(self) -> dict[str, Any]:
        """Plain values in the order of the columns that people see."""
        names = ("gate", "criterion", "verdict", "value", "limit", "ci_low", "ci_high", "n", "events", "reason")
        return {name: getattr(self, name) for name in names}

    def lasting(self) -> Verdict:
        """The verdict without what another evaluation of the same model would measure anew.

        This is what people sign: a time that was measured twice must not ask for their signatures again. What was
        measured stays in the store.
        """
        if LASTING not in self.evidence:
            return self
        return replace(
            self, reason=str(self.evidence[LASTING]), value=None, ci_low=None, ci_high=None, n=None, evidence={}
        )


def module_of(gate: Gate) -> str:
    """Name of the module that evaluates a gate."""
    return f"clinical_assets.governance.gates.{gate}.gate"


def summary(verdicts: Iterable[Verdict]) -> Outcome:
    """``fail`` if any failed, else ``insufficient`` if any is, else ``pass``; no verdict at all is ``insufficient``."""
    found = {verdict.verdict for verdict in verdicts}
    if "fail" in found:
        return "fail"
    return "pass" if found == {"pass"} else "insufficient"
