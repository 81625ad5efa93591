"""The release dossier: one folder with everything that a signer must know, and one digest that is signed.

``<dossiers>/<cohort>/<first 16 hexadecimal digits of the bundle>/`` holds the page, card, verdicts, comparison,
lineage, origin and history of one model. It appears complete or not at all. The same content gives the same digest;
new verdicts give a new one, and the dossier that lay there before is kept beside it under a name with its digest.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_assets.foundation.canonical import bytes_sha256, plain
from clinical_assets.foundation.sealed_folder import new_folder
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, before_promotion
from clinical_assets.governance.candidate.history import history_of
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.dossier.content import collect, stored_gates
from clinical_assets.governance.dossier.folder import INDEX, DossierError, DossierManifest, canonical_bytes
from clinical_assets.governance.dossier.page import dossier_page
from clinical_assets.governance.dossier.stored_dossier import ACTION, SUMMARY, Dossier, DossierSummary, load_dossier
from clinical_assets.governance.verdicts.verdict import Gate
from clinical_assets.governance.verdicts.verdict_store import GateRun
from clinical_assets.modelling.trainings.card import PICTURES, card_json, card_markdown
from clinical_assets.records.actors import current_actor
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.models import DossierFacts
from clinical_assets.records.ledger.ledger import Ledger

SBOM = "sbom.cdx.json"


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
        SUMMARY: canonical_bytes(summary.to_json()),
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
