"""Which models learned from an erased subject, and which of them wait for retraining.

What belongs here: reading trainings and the ledger. Retraining is decided by others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_assets.governance.erasure_snapshots import Redaction
from clinical_assets.modelling.trainings import RESULTS, models_folder
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger import Ledger
from clinical_assets.settings import Settings
from clinical_assets.warehouse.snapshot_files import list_snapshots


@dataclass(frozen=True)
class Marked:
    """A model that learned from a subject who was erased since.

    Attributes
    ----------
    bundle_digest : str
        The model.
    at : str
        When the subject was erased, ISO 8601, UTC.
    reason : str
        Why, as the ledger has it.
    """

    bundle_digest: str
    at: str
    reason: str


def marked_for_retraining(settings: Settings, cohort: str) -> tuple[Marked, ...]:
    """Models of a cohort that must be trained again because a subject was erased, newest erasure first.

    A model that was trained after the erasure has another digest and is not among them.
    """
    entries = Ledger(RecordsDatabase(settings)).entries(cohort=cohort, action="erasure")
    return tuple(
        Marked(bundle_digest=digest, at=entry.at, reason=entry.reason or "a subject was erased")
        for entry in reversed(entries)
        for digest in entry.facts.get("models", ())
    )


def models_of(
    settings: Settings, cohort: str, *, redactions: Sequence[Redaction], bundles: Sequence[str]
) -> tuple[str, ...]:
    """Digests of bundles that learned from the subject, champion or not, sorted.

    A model did when its reference table or one of its snapshots held the subject. A model whose snapshots are gone
    counts as one that did: nobody can show the contrary.

    Parameters
    ----------
    redactions : sequence of Redaction
        Snapshots that held the subject.
    bundles : sequence of str
        First hexadecimal digits of bundles whose reference table did.
    """
    held = {digest for each in redactions for digest in (each.old, *each.ancestors)}
    kept = list_snapshots(cohort, settings=settings)
    clean = {digest for each in kept for digest in (each.digest, *(old["digest"] for old in each.replaces))} - held
    found = set()
    for digest, provenance in _trainings(settings, cohort):
        snapshots = set(provenance.get("snapshots", {}).values())
        in_reference = any(digest.removeprefix("sha256:").startswith(beginning) for beginning in bundles)
        if in_reference or snapshots & held or not snapshots or snapshots - clean - held:
            found.add(digest)
    return tuple(sorted(found))


def _trainings(settings: Settings, cohort: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(models_folder(settings, cohort).glob(f"*/report/{RESULTS}")):
        results = _read(path)
        yield results["bundle_digest"], results.get("provenance", {})
    for path in sorted((settings.bundles / cohort).glob("*/bundle.json")):
        yield f"sha256:{path.parent.name}", _read(path).get("provenance", {})


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
