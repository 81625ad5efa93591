"""A release dossier that lies on disk: finding it, checking it file by file, and whether it still says what counts.

What belongs here: reading. What does not: writing one (``dossier``) and what stands in it (``content``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clinical_assets.foundation.canonical import bytes_sha256, plain
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.dossier.folder import INDEX, DossierError, canonical_bytes
from clinical_assets.governance.verdicts.verdict import LABELS, Gate
from clinical_assets.governance.verdicts.verdict_store import GateRun

ACTION: Final = "dossier"
SPEC: Final = "spec.json"
GATES_FILE: Final = "gates.json"
SUMMARY = "dossier.json"


class DossierSummary(StoredDocument):
    """Content of ``dossier.json``, a content file; a version in it would change the digest of every dossier.

    Attributes
    ----------
    failed, waivers : tuple of dict
        Rows of verdicts: those that failed, and those that are insufficient, which only a waiver answers.
    title : str
        The cohort's.
    """

    cohort: str
    synthetic: bool
    bundle_digest: str
    failed: tuple[dict[str, Any], ...]
    waivers: tuple[dict[str, Any], ...]
    title: str

    @classmethod
    def read(cls, folder: Path) -> DossierSummary:
        """Read that of a verified dossier."""
        return cls.of(json.loads((folder / SUMMARY).read_text(encoding="utf-8")), where=folder / SUMMARY)

    @property
    def failed_criteria(self) -> tuple[str, ...]:
        """Each as ``gate/criterion``."""
        return tuple(f"{row['gate']}/{row['criterion']}" for row in self.failed)


@dataclass(frozen=True)
class Dossier:
    """A dossier that was read and verified file by file.

    Attributes
    ----------
    folder : Path
        Where it lies.
    digest : str
        What is signed: SHA-256 over names and digests of its content files.
    bundle_digest : str
        The model that it is about.
    index : Path
        The page.
    """

    folder: Path
    digest: str
    bundle_digest: str
    index: Path


def load_dossier(settings: Settings, cohort: str, bundle_digest: str) -> Dossier:
    """The newest dossier of a model, every file checked against its manifest.

    Raises
    ------
    DossierError
        There is none, it is another model's, or a file is missing, was changed or was added; names it.
    """
    place = dossier_folder.place_of(settings, cohort, bundle_digest)
    if not place.exists() and any(place.parent.glob(f"{place.name}-*")):
        # One that is being replaced at this moment is back when the writer is done.
        with dossier_folder.exclusive(place, settings):
            pass
    if not place.exists():
        raise DossierError(
            f"There is no dossier of {bundle_digest} of {cohort}.",
            cure=f"Evaluate the gates and write it: clinical-assets materialize {cohort} --job prepare_release",
        )
    manifest = dossier_folder.verify(place)
    summary = DossierSummary.read(place)
    # The manifest's own words are outside the digest; those of the content file are inside.
    wrong = {(each.cohort, each.bundle_digest) for each in (manifest, summary)} - {(cohort, bundle_digest)}
    if wrong:
        raise DossierError(
            f"{place} is the dossier of {', '.join(f'{digest} of {name}' for name, digest in sorted(wrong))}, not of "
            f"{bundle_digest} of {cohort}.",
            cure="Find out who copied it, and write the dossier again.",
        )
    return Dossier(folder=place, digest=manifest.digest, bundle_digest=bundle_digest, index=place / INDEX)


def shows_present_description(candidate: ReleaseCandidate, dossier: Dossier) -> bool:
    """Whether the description in a dossier is the one that counts now: limits, policy, plan and intended use."""
    shown = json.loads((dossier.folder / SPEC).read_text(encoding="utf-8"))
    return json.dumps(shown, sort_keys=True) == json.dumps(candidate.spec.canonical(), sort_keys=True)


def outdated_gates(dossier: Dossier, gates: Mapping[Gate, GateRun]) -> tuple[Gate, ...]:
    """Gates whose newest evaluation says something else than the dossier that is signed.

    Parameters
    ----------
    dossier : Dossier
        As `load_dossier` verified it.
    gates : mapping
        The newest evaluation of each gate.
    """
    shown = json.loads((dossier.folder / GATES_FILE).read_text(encoding="utf-8"))
    digests = {row["gate"]: bytes_sha256(canonical_bytes(row)) for row in shown}
    return tuple(
        row["gate"] for row in gate_rows(gates) if digests.get(row["gate"]) != bytes_sha256(canonical_bytes(row))
    )


def gate_rows(gates: Mapping[Gate, GateRun]) -> list[dict[str, Any]]:
    """What a dossier shows of each gate: what is signed, and what promotion compares with the newest evaluation."""
    return [
        {
            "gate": gate,
            "label": LABELS[gate],
            "outcome": run.outcome,
            "verdicts": [
                {**verdict.row(), "evidence": plain(dict(verdict.evidence))}
                for verdict in (each.lasting() for each in run.verdicts)
            ],
        }
        for gate, run in gates.items()
    ]
