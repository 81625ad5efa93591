"""What an erasure has done so far, so that one that was interrupted can be completed by the same command.

What belongs here: the file. It lies in the folder of keys, names the subject by the HMAC of its identifier, and is
removed at the end: it is the last link between that HMAC and the pseudonym.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import PRIVATE, remove_file, write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.records.keys.private_files import private_folder


@dataclass
class Journal:
    """One erasure under way.

    Attributes
    ----------
    id : str
        Of the erasure; in the ledger, too.
    pseudonyms : list of str
        Of the subject, by every key version.
    tables : dict
        ``schema.table`` to rows deleted; ``mentions`` likewise to values masked.
    snapshots : list of dict
        Fields of `erasure_snapshots.Redaction`.
    units : list of list of str
        Keys of the subject's prediction units, for files without a column of the subject.
    bundles : list of str
        Beginnings of digests of bundles whose reference table held the subject.
    files : dict
        Kind of file to how many were changed.
    """

    path: Path
    id: str
    cohort: str
    at: str
    actor: str
    reason: str
    pseudonyms: list[str]
    tables: dict[str, int] = field(default_factory=dict)
    mentions: dict[str, int] = field(default_factory=dict)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    units: list[list[str]] = field(default_factory=list)
    bundles: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, settings: Settings, *, cohort: str, lookup: str, actor: str, reason: str, pseudonyms: tuple[str, ...]
    ) -> Journal:
        """The journal of an erasure that was interrupted, or a new one."""
        path = _folder(settings) / cohort / f"{lookup}.json"
        if path.exists():
            return cls.read(path)
        journal = cls(
            path=path,
            id=str(uuid.uuid4()),
            cohort=cohort,
            at=utc_now(),
            actor=actor,
            reason=reason,
            pseudonyms=list(pseudonyms),
        )
        journal.save()
        return journal

    def save(self) -> None:
        """Put the present state on disk, whole or not at all."""
        private_folder(self.path.parent)
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        write_whole(self.path, readable_json(content), mode=PRIVATE)

    def end(self) -> None:
        """Remove the journal: the erasure is complete."""
        remove_file(self.path)

    def most(self, kind: str, counts: dict[str, int]) -> None:
        """Note counts; after an interruption the larger one is what there was at the beginning."""
        kept: dict[str, int] = getattr(self, kind)
        for name, number in counts.items():
            kept[name] = max(number, kept.get(name, 0))
        self.save()

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal in a file.

        Raises
        ------
        ClinicalAssetsError
            The file is no journal.
        """
        try:
            return cls(path=path, **json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ClinicalAssetsError(
                f"The journal of an interrupted erasure, {path}, cannot be understood.",
                cure="Move it away and repeat the command; counts of what was erased before are then lost.",
            ) from error


def unfinished(settings: Settings) -> tuple[Journal, ...]:
    """Erasures that were interrupted; repeating the command for the same subject completes them."""
    return tuple(Journal.read(path) for path in sorted(_folder(settings).glob("*/*.json")))


def _folder(settings: Settings) -> Path:
    return settings.keys / "erasures"
