"""What is wrong with a request, or was changed in reading it: one frozen entry per field.

What belongs here: the shape of findings and notes. What does not: finding them (``record_checks``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clinical_assets.foundation.errors import ClinicalAssetsError


@dataclass(frozen=True)
class RequestFinding:
    """One thing that keeps a request from being answered.

    Attributes
    ----------
    pointer : str
        Where it stands, as a JSON pointer into the request (RFC 6901).
    rule : str
        The promise that is broken: ``type``, ``range``, ``category``, ``null``, or the name of a rule.
    detail : str
        What is wrong, without the value.
    cure : str
        What the caller can do about it.
    value : str or None
        What stood there; None for identifiers, notes, and where nothing stood.
    permitted : str or None
        What would be accepted.
    """

    pointer: str
    rule: str
    detail: str
    cure: str
    value: str | None = None
    permitted: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is left out."""
        names = ("pointer", "rule", "detail", "value", "permitted", "cure")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class RecordWarning:
    """Something about a record that an answer must say.

    Attributes
    ----------
    code : str
        ``made_missing``, ``implausible``, ``mostly_missing``, ``outside_training_range``, ``missing_value``,
        ``group_not_judged``.
    field : str
        Column or feature.
    detail : str
        A sentence for a person.
    """

    code: str
    field: str
    detail: str


class RequestRefused(ClinicalAssetsError):
    """A request with everything that is wrong with it."""

    def __init__(self, findings: Iterable[RequestFinding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            f"{len(self.findings)} value(s) of the request are refused.", cure="Correct what `errors` lists."
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (RequestRefused, (self.findings,))
