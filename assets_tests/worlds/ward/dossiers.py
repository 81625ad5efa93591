"""Verdicts, signatures and champions made by hand, for the tests of dossiers."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier.stored_dossier import Dossier
from clinical_assets.governance.verdicts.verdict import GATES, Gate, Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records import schema
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.ledger import Ledger

VERDICTS: dict[Gate, tuple[Verdict, ...]] = {
    "data_quality": (
        Verdict("data_quality", "missing_share", "pass", "Little is missing.", value=0.1, limit="<= 0.5", n=900),
        Verdict("data_quality", "label_noise", "insufficient", "Too few rows to tell; add some.", limit="<= 0.1", n=40),
    ),
    "performance": (
        Verdict(
            "performance",
            "auroc",
            "pass",
            "The interval keeps the limit.",
            value=0.81,
            limit=">= 0.6",
            ci_low=0.74,
            ci_high=0.87,
            n=225,
            events=60,
            evidence={"method": "DeLong logit"},
        ),
    ),
    "bias": (
        Verdict("bias", "tpr_difference[sex=f]", "fail", "Women are missed more often.", value=0.31, limit="<= 0.2"),
        Verdict("bias", "tpr_difference[sex=m]", "pass", "No group is missed less.", value=0.0, limit="<= 0.2"),
    ),
    "regulatory": (Verdict("regulatory", "identifiers_absent", "pass", "None was found.", value=0.0),),
    "security": (Verdict("security", "no_pickle", "pass", "No file of the bundle runs.", n=5),),
}


def judge(candidate: ReleaseCandidate, **changed: tuple[Verdict, ...]) -> None:
    """Store verdicts of every gate, those of `VERDICTS` unless told otherwise."""
    for gate in GATES:
        store_verdicts(
            candidate.records,
            cohort=candidate.cohort,
            bundle_digest=candidate.digest,
            gate=gate,
            verdicts=changed.get(gate, VERDICTS[gate]),
            actor="automation:tests",
            run_id=str(uuid.uuid4()),
        )


def sign(candidate: ReleaseCandidate, dossier: Dossier, *, meaning: str = "I have read it.") -> None:
    """A signature as a row and an entry, without asking for a password."""
    with candidate.records.write() as connection:
        entry = Ledger(candidate.records).append(
            "signature", actor="carla", cohort=COHORT, digest=dossier.bundle_digest, connection=connection
        )
        row = {
            "id": str(uuid.uuid4()),
            "cohort": COHORT,
            "bundle_digest": dossier.bundle_digest,
            "dossier_digest": dossier.digest,
            "kind": "approval",
            "meaning": meaning,
            "login": "carla",
            "printed_name": "Dr Carla Jones",
            "role": "reviewer",
            "signed_at": utc_now(),
            "expires_at": utc_now(),
            "ledger_seq": entry.seq,
        }
        connection.execute(sa.insert(schema.signatures).values(**row))


def crown(trained: Trained, bundle: Bundle, *, previous: tuple[str, ...] = ()) -> None:
    """Make a bundle champion: pointer, warm copy and row."""
    champion_pointer.keep_warm(trained.settings, bundle)
    row: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "cohort": COHORT,
        "kind": "promotion",
        "bundle_digest": bundle.digest,
        "previous_digest": previous[0] if previous else None,
        "at": utc_now(),
        "actor": "bob",
        "reason": "Good enough.",
    }
    records = trained.candidate().records
    with records.write() as connection:
        entry = Ledger(records).append(
            "promotion", actor="bob", cohort=COHORT, digest=bundle.digest, connection=connection
        )
        connection.execute(sa.insert(schema.promotions).values(**row, ledger_seq=entry.seq))
    champion_pointer.switch(
        trained.settings,
        champion_pointer.Champion(
            cohort=COHORT, digest=bundle.digest, since=row["at"], by="bob", previous=previous, promotion=row["id"]
        ),
    )


def twin(bundle: Bundle, folder: Path, **provenance: str) -> Bundle:
    """The same model under another digest: `bundle.json` is laid out otherwise, and the folder sealed again."""
    shutil.copytree(bundle.folder, folder)
    description = json.loads((folder / "bundle.json").read_text())
    description["provenance"].update(provenance)
    (folder / "bundle.json").write_text(json.dumps(description))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["bundle.json"] = hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(folder)


def beside(candidate: ReleaseCandidate, trained: Trained) -> ReleaseCandidate:
    """The candidate with the champion that serves now."""
    return replace(candidate, champion=champion_pointer.current(trained.settings, COHORT))
