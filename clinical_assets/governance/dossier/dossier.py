"""The release dossier: one folder with everything that a signer must know, and one digest that is signed.

``<dossiers>/<cohort>/<first 16 hexadecimal digits of the bundle>/`` holds the page, card, verdicts, comparison,
lineage, origin and history of one model. It appears complete or not at all. The same content gives the same digest;
new verdicts give a new one, and the dossier that lay there before is kept beside it under a name with its digest.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clinical_assets.foundation.canonical import bytes_sha256, plain
from clinical_assets.foundation.sealed_folder import new_folder
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, before_promotion
from clinical_assets.governance.candidate.history import history_of
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.dossier.content import collect, gate_rows, stored_gates
from clinical_assets.governance.dossier.folder import INDEX, DossierError, DossierManifest, canonical_bytes
from clinical_assets.governance.dossier.page import dossier_page
from clinical_assets.governance.verdicts.verdict import Gate
from clinical_assets.governance.verdicts.verdict_store import GateRun
from clinical_assets.modelling.trainings.card import PICTURES, card_json, card_markdown
from clinical_assets.records.actors import current_actor
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.models import DossierFacts
from clinical_assets.records.ledger.ledger import Ledger

ACTION: Final = "dossier"
SBOM = "sbom.cdx.json"
SPEC: Final = "spec.json"
GATES_FILE: Final = "gates.json"
_SUMMARY = "dossier.json"


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
        return cls.of(json.loads((folder / _SUMMARY).read_text(encoding="utf-8")), where=folder / _SUMMARY)

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


def write_dossier(candidate: ReleaseCandidate, *, actor: str | None = None, run_id: str | None = None) -> Dossier:
    """Write the dossier of a model, or find that the one that lies there says the same.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The model; every gate must have been evaluated on it.
    actor : str, optional
        In whose name, for the ledger; by default the account of this process.
    run_id : str, optional
        The run that writes it.

    Raises
    ------
    DossierError
        A gate has no stored verdict, or another process is writing for longer than the patience of the settings.
    VerdictsChanged
        Stored verdicts are not what the gate said.
    """
    reviewed = before_promotion(candidate)
    gates = stored_gates(reviewed)
    content = collect(reviewed, gates)
    place = dossier_folder.place_of(candidate.settings, candidate.cohort, candidate.digest)
    with dossier_folder.exclusive(place, candidate.settings):
        present = _present(place)
        # Signatures on what lies there are no part of it; when something else has changed, they are history.
        unsigned = None if present is None else present.digest
        if present is None or not _says_the_same(present, _files(reviewed, content, unsigned=unsigned)):
            files = _files(reviewed, content, unsigned=None)
            _place(reviewed, files, place, gates=gates, actor=_actor(reviewed, actor), run_id=run_id)
        dossier = load_dossier(candidate.settings, candidate.cohort, candidate.digest)
        _enter(reviewed, dossier, gates, actor=_actor(reviewed, actor))
    return dossier


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


def _actor(candidate: ReleaseCandidate, actor: str | None) -> str:
    return actor or current_actor(candidate.settings)


def _present(place: Path) -> DossierManifest | None:
    """Manifest of the dossier that lies in a place; None where there is none or it was changed."""
    if not place.exists():
        return None
    try:
        return dossier_folder.verify(place)
    except DossierError:
        return None


def _says_the_same(manifest: DossierManifest, files: Mapping[str, bytes]) -> bool:
    """Whether the content files are those of a dossier; the page shows them and says nothing else.

    A page of another layout would have another digest, and void the signatures of a model that did not change.
    """
    listed = {name: digest for name, digest in manifest.files.items() if name != INDEX}
    return listed == {name: bytes_sha256(each) for name, each in files.items() if name != INDEX}


def _files(candidate: ReleaseCandidate, collected: Mapping[str, Any], *, unsigned: str | None) -> dict[str, bytes]:
    """Every content file; the page holds zeros where the dossier's digest goes."""
    spec, results, report = candidate.spec, candidate.training.results, candidate.training.report
    pictures = {name: path.read_bytes() for name in PICTURES if (path := report / f"{name}.png").exists()}
    card = card_markdown(spec, results, picture=lambda name: f"pictures/{name}.png", pictures=tuple(pictures))
    sbom = _sbom(candidate)
    content = {**collected, "history": plain(history_of(candidate, unsigned=unsigned)), "sbom": SBOM if sbom else None}
    parts = ("gates", "approval", "comparison", "change", "lineage", "origin", "history", "spec", "results")
    summary = DossierSummary(
        cohort=content["cohort"],
        synthetic=content["synthetic"],
        bundle_digest=content["bundle_digest"],
        failed=content["failed"],
        waivers=content["waivers"],
        title=spec.title,
    )
    files = {
        _SUMMARY: canonical_bytes(summary.to_json()),
        **{f"{name}.json": canonical_bytes(content[name]) for name in parts},
        "model_card.md": card.encode(),
        "model_card.json": canonical_bytes(card_json(spec, results)),
        "features.sql": candidate.bundle.statement.encode(),
        **{f"pictures/{name}.png": picture for name, picture in pictures.items()},
        **({SBOM: sbom} if sbom else {}),
    }
    sums = {name: bytes_sha256(each) for name, each in files.items()}
    return {**files, INDEX: dossier_page(spec, content, results, pictures=pictures, files=sums).encode()}


def _sbom(candidate: ReleaseCandidate) -> bytes | None:
    path = candidate.training.report / SBOM
    return path.read_bytes() if path.exists() else None


def _place(
    candidate: ReleaseCandidate,
    files: Mapping[str, bytes],
    place: Path,
    *,
    gates: Mapping[Gate, GateRun],
    actor: str,
    run_id: str | None,
) -> None:
    run = {
        "written_at": utc_now(),
        "written_by": actor,
        "run_id": run_id,
        "host": platform.node(),
        "gates": {
            gate: {
                "gate_run": run.id,
                "evaluated_at": run.evaluated_at,
                "run_id": run.run_id,
                "verdicts_digest": run.verdicts_digest,
                "ledger_seq": run.ledger_seq,
            }
            for gate, run in gates.items()
        },
    }
    with new_folder(place) as work:
        dossier_folder.seal(work, files, cohort=candidate.cohort, bundle_digest=candidate.digest, run=run)
        dossier_folder.take_place(work, place)


def _enter(candidate: ReleaseCandidate, dossier: Dossier, gates: Mapping[Gate, GateRun], *, actor: str) -> None:
    """Tell the ledger of a digest that it does not know yet, also of one whose writer ended before telling it."""
    ledger = Ledger(candidate.records)
    known = ledger.entries(cohort=candidate.cohort, action=ACTION, digest=dossier.bundle_digest)
    written = (DossierFacts.found(entry.facts) for entry in known)
    if any(facts.dossier_digest == dossier.digest for facts in written if facts is not None):
        return
    outcomes: dict[str, str] = {gate: run.outcome for gate, run in gates.items()}
    ledger.append(
        ACTION,
        actor=actor,
        cohort=candidate.cohort,
        digest=dossier.bundle_digest,
        facts=DossierFacts(dossier_digest=dossier.digest, gates=outcomes),
    )
