"""What an alert is: something that happened, in words that may leave the machine.

An alert names cohort, kind, counts and places; never an identifier, a value of a record or a free text that somebody
wrote.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from clinical_assets.foundation.stored_format import StoredDocument

AlertSeverity = Literal["info", "warning", "critical"]
AlertKind = Literal[
    "run_failed",
    "gate_failed",
    "promotion",
    "rollback",
    "retirement",
    "data_quality",
    "drift",
    "performance",
    "fairness",
    "recommendation",
    "stale",
    "ledger",
    "evidence",
    "description",
]


class Alert(StoredDocument):
    """One alert.

    Attributes
    ----------
    kind : str
    cohort : str or None
        None where the whole platform is meant.
    severity : "info", "warning" or "critical"
    title, text : str
        One line, and what to do about it.
    at : str
        ISO 8601, UTC.
    cause : str
        What makes it the same alert: one kind, cohort and cause are sent once.
    """

    kind: AlertKind
    cohort: str | None
    severity: AlertSeverity
    title: str
    text: str
    at: str
    cause: str

    @property
    def key(self) -> str:
        """A digest of kind, cohort and cause."""
        return hashlib.sha256("\n".join((self.kind, self.cohort or "", self.cause)).encode()).hexdigest()[:40]

    def payload(self) -> dict[str, Any]:
        """Plain values for a webhook; ``id`` is the same at every try."""
        return {"id": self.key, **self.to_json()}
