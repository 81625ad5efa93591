"""The release dossier: one folder with everything that a signer must know, and one digest that is signed.

``<dossiers>/<cohort>/<first 16 hexadecimal digits of the bundle>/`` holds the page, card, verdicts, comparison,
lineage, origin and history of one model. It appears complete or not at all. The same content gives the same digest;
new verdicts give a new one, and the dossier that lay there before is kept beside it under a name with its digest.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clinical_assets.governance import dossier_folder
from clinical_assets.governance.dossier_folder import INDEX, DossierError
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.governance.verdict_store import GateRun
    from clinical_assets.governance.verdicts import Gate

ACTION: Final = "dossier"
SBOM = "sbom.cdx.json"
SPEC: Final = "spec.json"
_SUMMARY = "dossier.json"


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
    from clinical_assets.governance.dossier_content import before_promotion, collect, stored_gates

    reviewed = before_promotion(candidate)
    gates = stored_gates(reviewed)
    content = collect(reviewed, gates)
    place = dossier_folder.place_of(candidate.settings, candidate.cohort, candidate.digest)
    with dossier_folder.exclusive(place, candidate.settings):
        present = _present(place)
        # Signatures on what lies there are no part of it; when something else has changed, they are history.
        files = _files(reviewed, content, unsigned=present)
        if present is None or dossier_folder.digest_of(files) != present:
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
    told = json.loads((place / _SUMMARY).read_text(encoding="utf-8"))
    # The manifest's own words are outside the digest; those of the content file are inside.
    wrong = {(each["cohort"], each["bundle_digest"]) for each in (manifest, told)} - {(cohort, bundle_digest)}
    if wrong:
        raise DossierError(
            f"{place} is the dossier of {', '.join(f'{digest} of {name}' for name, digest in sorted(wrong))}, not of "
            f"{bundle_digest} of {cohort}.",
            cure="Find out who copied it, and write the dossier again.",
        )
    return Dossier(folder=place, digest=manifest["digest"], bundle_digest=bundle_digest, index=place / INDEX)


def _actor(candidate: ReleaseCandidate, actor: str | None) -> str:
    from clinical_assets.records.actors import current_actor

    return actor or current_actor(candidate.settings)


def _present(place: Path) -> str | None:
    """Digest of the dossier that lies in a place; None where there is none or it was changed."""
    if not place.exists():
        return None
    try:
        return str(dossier_folder.verify(place)["digest"])
    except DossierError:
        return None


def _files(candidate: ReleaseCandidate, collected: Mapping[str, Any], *, unsigned: str | None) -> dict[str, bytes]:
    """Every content file; the page holds zeros where the dossier's digest goes."""
    from clinical_assets.governance.dossier_page import render_page
    from clinical_assets.governance.history import history_of
    from clinical_assets.modelling.card import PICTURES, card_json, card_markdown
    from clinical_assets.modelling.result import plain

    spec, results, report = candidate.spec, candidate.training.results, candidate.training.report
    pictures = {name: path.read_bytes() for name in PICTURES if (path := report / f"{name}.png").exists()}
    card = card_markdown(spec, results, picture=lambda name: f"pictures/{name}.png", pictures=tuple(pictures))
    sbom = _sbom(candidate)
    content = {**collected, "history": plain(history_of(candidate, unsigned=unsigned)), "sbom": SBOM if sbom else None}
    parts = ("gates", "approval", "comparison", "change", "lineage", "origin", "history", "spec", "results")
    head = ("cohort", "synthetic", "bundle_digest", "failed", "waivers")
    files = {
        _SUMMARY: _json({**{name: content[name] for name in head}, "title": spec.title}),
        **{f"{name}.json": _json(content[name]) for name in parts},
        "model_card.md": card.encode(),
        "model_card.json": _json(card_json(spec, results)),
        "features.sql": candidate.bundle.statement.encode(),
        **{f"pictures/{name}.png": picture for name, picture in pictures.items()},
        **({SBOM: sbom} if sbom else {}),
    }
    sums = {name: hashlib.sha256(each).hexdigest() for name, each in files.items()}
    return {**files, INDEX: render_page(content, pictures=pictures, files=sums).encode()}


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
    from clinical_assets.records.clock import utc_now

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
    with dossier_folder.work_folder(place) as work:
        facts = {"cohort": candidate.cohort, "bundle_digest": candidate.digest}
        dossier_folder.seal(work, files, facts=facts, run=run)
        dossier_folder.take_place(work, place)


def _enter(candidate: ReleaseCandidate, dossier: Dossier, gates: Mapping[Gate, GateRun], *, actor: str) -> None:
    """Tell the ledger of a digest that it does not know yet, also of one whose writer ended before telling it."""
    from clinical_assets.records.canonical import JSON
    from clinical_assets.records.ledger import Ledger

    ledger = Ledger(candidate.records)
    known = ledger.entries(cohort=candidate.cohort, action=ACTION, digest=dossier.bundle_digest)
    if any(entry.facts.get("dossier_digest") == dossier.digest for entry in known):
        return
    outcomes: dict[str, JSON] = {gate: run.outcome for gate, run in gates.items()}
    ledger.append(
        ACTION,
        actor=actor,
        cohort=candidate.cohort,
        digest=dossier.bundle_digest,
        facts={"dossier_digest": dossier.digest, "gates": outcomes},
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
