"""What was taken in, refused, and withdrawn again."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict

from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.records.ledger.facts.base import LedgerFacts


class TableCount(StoredDocument):
    """Rows of a table, and lines of its file that could not be read."""

    rows: int
    unreadable_lines: int


class IngestionFacts(LedgerFacts):
    """Records were read: table to counts."""

    tables: dict[str, TableCount]


class QuarantineFacts(LedgerFacts):
    """Records were refused: table to number."""

    refused: dict[str, int]


class NotedFacts(LedgerFacts):
    """Base of what the warehouse notes with a change and the ledger has afterwards.

    Attributes
    ----------
    change : str or None
        Id of the note; absent in entries before there were notes.
    """

    change: str | None = None


class BatchFacts(NotedFacts):
    """New records came: table to rows, and records that were refused."""

    tables: dict[str, int]
    refused: int


class OutcomesFacts(NotedFacts):
    """Outcomes came: new, known already, contradicting."""

    new: int
    known: int
    conflicts: int


class WithdrawalFacts(NotedFacts):
    """A batch was withdrawn: relation to rows."""

    rows: dict[str, int]


class RefusalFacts(NotedFacts):
    """Deliveries were refused as a whole: kind of delivery, which is the field's name, to number."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]


NOTED: Mapping[str, type[NotedFacts]] = {
    "batch": BatchFacts,
    "withdrawal": WithdrawalFacts,
    "outcomes": OutcomesFacts,
    "refusal": RefusalFacts,
}
