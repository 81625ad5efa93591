"""The evidence of a change control plan in one ZIP: what was agreed, tested, signed and released, with its own checker.

What belongs here: gathering it, and sealing it with the installation's key. What does not: checking it, which
``check_plan_evidence`` does without this package; it lies in every ZIP.

Entries of the ledger that are neither about the cohort nor about people stand in it by number, hash and seal alone:
nothing is left out unnoticed, and nothing of other cohorts is told.
"""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import PRIVATE, new_file
from clinical_assets.foundation.canonical import bytes_sha256, canonical_json, file_digest, hex_of, readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.approved_terms import plan_digest, policy_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.plan_history import holdout_looks, plan_life
from clinical_assets.governance.dossier import check_plan_evidence as checker
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.bundle.bundle_description import MANIFEST
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings import trainings
from clinical_assets.records.keys.installation import installation_signer, trusted_keys
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.facts.installation import ExportFacts
from clinical_assets.records.ledger.facts.models import ChampionFacts, DossierFacts
from clinical_assets.records.ledger.ledger import Ledger

CHECKER, README = "check_plan_evidence.py", "README.txt"
#: The same bytes for the same content: a ZIP's own times say nothing.
_TIME = (1980, 1, 1, 0, 0, 0)
_WORDS = """Evidence of the change control plan of {title} ({cohort}){synthetic}

Unpack, and check with Python 3.11 or later, without a network:

    python {checker} --key KEY

KEY is the installation's public key, asked of the installation by another way than this file.

{plan}         the plan and the approval policy that are in force
{status}       the authorised version, updates tested against it, looks at the holdout
{ledger}     the cohort's entries of the audit ledger, and people's; of others number, hash and seal
verdicts/         what the gates said of each model
models/           files of each model's bundle, by digest
dossiers/         what was signed
"""


class EvidenceError(ClinicalAssetsError):
    """Evidence that cannot be gathered."""


def plan_status(candidate: ReleaseCandidate) -> dict[str, Any]:
    """Where a candidate stands in the life of its plan, as plain values."""
    life, looks, plan = plan_life(candidate), holdout_looks(candidate), candidate.spec.pccp
    champion = candidate.champion
    return {
        "cohort": candidate.cohort,
        "synthetic": candidate.spec.synthetic,
        "reference": plan.reference,
        "plan": plan_digest(candidate.spec),
        "policy": policy_digest(candidate.spec),
        "authorised": life.authorised.__dict__ if life.authorised is not None else None,
        "in_force": life.authorised is not None and life.authorised.plan == plan_digest(candidate.spec),
        "champion": None if champion is None else champion.digest,
        "candidate": candidate.digest,
        "tests": [each.__dict__ for each in life.tests],
        "error_rate": plan.error_rate,
        "planned_updates": plan.planned_updates,
        "level": life.level,
        "looks": looks.mean,
        "looks_allowed": plan.holdout_looks,
        "holdout_rows": looks.n,
    }


def write_plan_evidence(candidate: ReleaseCandidate, path: Path, *, actor: str) -> dict[str, Any]:
    """Gather everything into one ZIP, which appears whole and is entered in the ledger.

    Parameters
    ----------
    candidate : ReleaseCandidate
        The newest model; what the plan saw before it comes along.
    path : Path
        File to write.
    actor : str
        Account in whose name it is handed out.

    Returns
    -------
    dict
        ``file_digest``, ``key`` (the installation's public key, base64), ``files``, ``entries`` and ``missing``: models
        that the ledger knows a dossier of and that has no such dossier here any more.

    Raises
    ------
    EvidenceError
        The ledger is not whole.
    VerdictsChanged, DossierError
        A stored verdict or dossier is not what it was.
    RecordsError
        There is no key of the installation.
    """
    ledger = Ledger(candidate.records)
    report = ledger.verify()
    if not report.intact:
        raise EvidenceError(
            f"The audit ledger is not whole: {report.problem}", cure="clinical-assets audit verify --all"
        )
    entries = ledger.entries()
    shown = [entry for entry in entries if entry.cohort == candidate.cohort or entry.action == "person"]
    content, missing = _content(candidate, entries, shown)
    signer = installation_signer(candidate.settings)
    own = signer.public_key()
    keys = [_text(own), *(_text(key) for key in trusted_keys(candidate.settings) if key != own)]
    manifest: dict[str, Any] = {
        "format": 1,
        "cohort": candidate.cohort,
        "keys": keys,
        "entries": [entry.seq for entry in shown],
        "files": {name: bytes_sha256(value) for name, value in sorted(content.items())},
    }
    message = (checker.EVIDENCE + canonical_json(manifest)).encode("ascii")
    content[checker.MANIFEST] = readable_json({**manifest, "signature": _text(signer.sign(message))}).encode()
    with new_file(path, mode=PRIVATE) as work:
        with zipfile.ZipFile(work, "x", zipfile.ZIP_DEFLATED) as file:
            for name, value in sorted(content.items()):
                file.writestr(zipfile.ZipInfo(name, _TIME), value, zipfile.ZIP_DEFLATED)
        digest = file_digest(work)
        facts = ExportFacts(file=path.name, format="zip", entries=len(shown))
        ledger.append("export", actor=actor, cohort=candidate.cohort, digest=digest, facts=facts)
    return {
        "file": str(path),
        "file_digest": digest,
        "key": _text(own),
        "files": len(content),
        "entries": len(shown),
        "missing": missing,
    }


def _content(
    candidate: ReleaseCandidate, entries: tuple[Entry, ...], shown: list[Entry]
) -> tuple[dict[str, bytes], list[str]]:
    spec, seqs = candidate.spec, {entry.seq for entry in shown}
    status = plan_status(candidate)
    lines = (
        entry.to_json() if entry.seq in seqs else {"seq": entry.seq, "hash": entry.hash, "seal": entry.seal}
        for entry in entries
    )
    words = _WORDS.format(
        title=spec.title,
        cohort=candidate.cohort,
        synthetic=" - SYNTHETIC RECORDS: nothing here says anything about patients" if spec.synthetic else "",
        checker=CHECKER,
        plan=checker.PLAN,
        status=checker.SUMMARY,
        ledger=checker.LEDGER,
    )
    agreed = {"pccp": spec.pccp.model_dump(mode="json"), "approval": spec.approval.model_dump(mode="json")}
    content = {
        README: words.encode(),
        CHECKER: Path(checker.__file__).read_bytes(),
        checker.PLAN: readable_json(agreed).encode(),
        checker.SUMMARY: readable_json(status).encode(),
        checker.LEDGER: "".join(canonical_json(line) + "\n" for line in lines).encode(),
    }
    for digest in _models(candidate, status):
        short = hex_of(digest)[:16]
        for gate, run in latest_verdicts(candidate.records, bundle_digest=digest).items():
            content[f"verdicts/{short}-{gate}.json"] = readable_json(run.document()).encode()
        bundle = _bundle_manifest(candidate, digest)
        if bundle is not None:
            content[f"models/{short}/{MANIFEST}"] = bundle
    missing = []
    for digest, dossier in _dossiers(shown):
        folder = dossier_folder.place_of(candidate.settings, candidate.cohort, digest)
        places = (folder, dossier_folder.older_place(folder, dossier))
        place = next((each for each in places if each.is_dir() and dossier_folder.verify(each).digest == dossier), None)
        if place is None:
            missing.append(dossier)
            continue
        names = [*dossier_folder.verify(place).files, dossier_folder.MANIFEST]
        content |= {f"dossiers/{hex_of(dossier)[:16]}/{name}": (place / name).read_bytes() for name in names}
    return content, missing


def _models(candidate: ReleaseCandidate, status: dict[str, Any]) -> list[str]:
    """Bundles that the plan's life speaks of: authorised, tested, serving, and the candidate."""
    named = [status["champion"], *(each["digest"] for each in status["tests"]), candidate.digest]
    authorised = status["authorised"]
    return [each for each in dict.fromkeys([authorised and authorised["digest"], *named]) if each is not None]


def _bundle_manifest(candidate: ReleaseCandidate, digest: str) -> bytes | None:
    """The list of a bundle's files, from its training or from where it serves; None where neither is here."""
    settings, cohort = candidate.settings, candidate.cohort
    try:
        place = trainings.with_bundle(settings, cohort, digest).bundle().folder
    except trainings.NoTraining:
        place = champion_pointer.warm_place(settings, cohort, digest)
    return (place / MANIFEST).read_bytes() if (place / MANIFEST).is_file() else None


def _dossiers(shown: list[Entry]) -> Iterator[tuple[str, str]]:
    """Bundle and dossier of every promotion, and the newest dossier of each bundle."""
    newest: dict[str, str] = {}
    promoted = []
    for entry in shown:
        if entry.action == "dossier" and entry.digest is not None:
            written = DossierFacts.found(entry.facts)
            if written is not None:
                newest[entry.digest] = written.dossier_digest
        if entry.action == "promotion" and entry.digest is not None:
            facts = ChampionFacts.found(entry.facts)
            if facts is not None and facts.dossier_digest is not None:
                promoted.append((entry.digest, facts.dossier_digest))
    yield from dict.fromkeys([*promoted, *newest.items()])


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
