"""What was done about the identity of subjects, and what was removed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.records.ledger.facts.base import LedgerFacts


class ErasedSnapshot(StoredDocument):
    """A snapshot that was written again without a subject: digests of old and new, and rows taken out."""

    table: str
    old: str
    new: str
    rows: int


class ErasureFacts(LedgerFacts):
    """A subject was erased.

    Attributes
    ----------
    erasure : str or None
        Id of its journal.
    pseudonym, pseudonyms
        The newest, and all.
    tables, mentions : dict
        Relation to rows that were deleted, and in which a mention was masked.
    files : dict
        Kind of file to how many were changed.
    models : tuple of str
        Digests of models that were trained on the subject.
    remaining : int
        Places that a look afterwards still found.
    """

    erasure: str | None = None
    pseudonym: str | None = None
    pseudonyms: tuple[str, ...] = ()
    tables: dict[str, int] = Field(default_factory=dict)
    mentions: dict[str, int] = Field(default_factory=dict)
    snapshots: tuple[ErasedSnapshot, ...] = ()
    files: dict[str, int] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    remaining: int | None = None


class KeyRotationFacts(LedgerFacts):
    """Keys of pseudonyms were made anew or retired, or the anchors were begun anew.

    Attributes
    ----------
    version, retired : int or None
        The version that began, and the one that ended.
    keys_destroyed : int
        Of the version that ended.
    anchors : "restarted" or None
        The ledger's anchors were begun anew.
    anchored_before : int or None
        Entries that the lost anchors had.
    """

    version: int | None = None
    retired: int | None = None
    keys_destroyed: int | None = None
    anchors: Literal["restarted"] | None = None
    anchored_before: int | None = None


class DeidentificationFacts(LedgerFacts):
    """Tables were searched for identifiers: relations, findings by class of identifier, files that name a subject."""

    relations: int
    unexpected: dict[str, int]
    expected: dict[str, int]
    files: int


class RemovalFacts(LedgerFacts):
    """What was stored of a cohort was removed: its places in words, and bytes in them."""

    places: str
    bytes: int


class RenameFacts(LedgerFacts):
    """What was stored of a cohort took another name: ``from`` and ``to`` in the ledger."""

    old: str = Field(validation_alias="from", serialization_alias="from")
    new: str = Field(validation_alias="to", serialization_alias="to")
