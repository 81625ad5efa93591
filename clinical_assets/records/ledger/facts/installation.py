"""What became of the installation and its records, and what was handed out."""

from __future__ import annotations

from typing import Literal

from clinical_assets.records.ledger.facts.base import LedgerFacts


class ExportFacts(LedgerFacts):
    """The ledger, an experiment or a plan's evidence was exported: name of the file, format, entries in it."""

    file: str
    format: Literal["jsonl", "csv", "json", "zip"]
    entries: int


class AlertFacts(LedgerFacts):
    """An alert was sent: what about, and channels that took it or did not yet."""

    kind: str
    severity: str
    cause: str
    delivered: tuple[str, ...]
    not_delivered_yet: tuple[str, ...]


class WitnessFacts(LedgerFacts):
    """The head of the ledger was handed out: name of the file, number of the entry."""

    file: str
    entry: int


class UpgradeFacts(LedgerFacts):
    """The database of records was upgraded: versions before and after, and entries that were there."""

    before: int
    after: int
    entries: int


class PredictionLogFacts(LedgerFacts):
    """The newest line of a prediction log, whose digest the entry has: its number."""

    seq: int


class AdoptionFacts(LedgerFacts):
    """A copied data folder became an installation of its own: its new id, that of the other, and its name."""

    installation: str
    copy_of: str | None
    name: str | None
