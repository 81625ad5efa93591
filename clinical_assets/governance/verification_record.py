"""What the newest verification of all evidence found, kept so that doctor, metrics and alerts need not verify again.

What belongs here: the document and its place. What does not: verifying (``verification``). The file is a light and no
evidence: whoever can change it can only hide a finding until the next verification, whose time every light shows.
"""

from __future__ import annotations

from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import StoredDocument, VersionedDocument
from clinical_assets.governance.verification import EvidenceReport
from clinical_assets.records.clock import utc_now


class VerifiedPart(StoredDocument):
    """One kind of evidence; fields as of ``verification.EvidencePart``."""

    name: str
    checked: int
    problems: tuple[str, ...]
    note: str | None


class VerificationRecord(VersionedDocument):
    """The newest verification of all evidence.

    Attributes
    ----------
    made_at : str
        ISO 8601, UTC.
    parts : tuple of VerifiedPart
        A line for each kind of evidence.
    """

    made_at: str
    parts: tuple[VerifiedPart, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """Kinds of evidence that are not intact."""
        return tuple(part.name for part in self.parts if part.problems)

    @property
    def finding(self) -> str:
        """A digest of what is wrong; two verifications that find the same have the same."""
        return value_digest({part.name: list(part.problems) for part in self.parts if part.problems})


def place_of(settings: Settings) -> Path:
    """The file of the newest verification."""
    return settings.data / "reports" / "verification.json"


def keep_verification(settings: Settings, report: EvidenceReport) -> VerificationRecord:
    """Keep what a verification found in place of the one before."""
    parts = tuple(
        VerifiedPart(name=part.name, checked=part.checked, problems=part.problems, note=part.note)
        for part in report.parts
    )
    made = VerificationRecord(made_at=utc_now(), parts=parts)
    # For this account alone: a sentence names places within the data folder.
    made.write(place_of(settings), mode=PRIVATE)
    return made


def last_verification(settings: Settings) -> VerificationRecord | None:
    """The newest verification; None before the first.

    Raises
    ------
    BadDocument, NewerFormat
        The file is no such record, or one of a newer version.
    """
    try:
        return VerificationRecord.read(place_of(settings))
    except (FileNotFoundError, NotADirectoryError):
        return None
