"""Answers of yes or no about evidence, in the words that the regulatory gate uses."""

from __future__ import annotations

from typing import Any

from clinical_assets.governance.verdicts.verdict import Gate, Outcome, Verdict

_GATE: Gate = "regulatory"
SHOWN = 20
"""How many single things the evidence of a verdict names."""


def verdict(criterion: str, outcome: Outcome, reason: str, **more: Any) -> Verdict:
    """A verdict of the regulatory gate."""
    return Verdict(_GATE, criterion, outcome, reason, **more)


def yes_or_no(criterion: str, wrong: tuple[str, ...], *, good: str, cure: str, **evidence: Any) -> Verdict:
    """A pass when nothing is wrong; otherwise a failure that names the first few things."""
    if not wrong:
        return verdict(criterion, "pass", good, evidence=evidence)
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    reason = f"Not as it must be: {'; '.join(wrong[:3])}{more}. {cure}"
    return verdict(criterion, "fail", reason, evidence={**evidence, "wrong": list(wrong[:SHOWN])})
