"""Erasing a subject of a micro-cohort: key, results, archived inputs; then the ledger says that it was done.

What belongs here: what differs from other cohorts. Results of twenty people cannot be made rid of one: tables, pages
and pictures of the cohort go, and are made again without the subject from what its owners deliver.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.erasure.erasure import Erasure
from clinical_assets.governance.privacy.erasure.files import Remaining
from clinical_assets.governance.privacy.erasure.journal import Journal
from clinical_assets.pathways.experiments.input_archive import ARCHIVE, input_paths, subject_paths
from clinical_assets.pathways.experiments.kept_studies import kept_studies
from clinical_assets.records.actors import current_actor
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.ledger.facts.privacy import ErasureFacts
from clinical_assets.records.ledger.ledger import Ledger


def erase_paired(
    settings: Settings, ledger: Ledger, spec: PairedCohortSpec, description: Path, subject: str, *, reason: str
) -> Erasure:
    """Erase a subject of a micro-cohort, or complete an erasure that was interrupted.

    Parameters
    ----------
    settings : Settings
        Where state and keys lie.
    ledger : Ledger
        Gets one entry with a pseudonym and counts, never the identifier.
    spec : PairedCohortSpec
        The cohort.
    description : Path
        Its YAML; inputs lie below its folder, which belongs to others and is not changed.
    subject : str
        As the sample sheet names it.
    reason : str
        Why, for the ledger; it must not name the subject.

    Raises
    ------
    ClinicalAssetsError
        The reason is empty or names the subject, or there is no subject.
    """
    identifier = subject.strip()
    if not identifier or not reason.strip() or identifier.casefold() in reason.casefold():
        raise ClinicalAssetsError(
            "The reason of an erasure stays in the ledger: it must be given and must not name the subject.",
            cure="Give the subject's identifier, and the number of the request, for instance.",
        )
    pseudonyms = Pseudonyms(settings, spec.name)
    journal = Journal.begin(
        settings,
        cohort=spec.name,
        lookup=pseudonyms.lookup(identifier),
        actor=current_actor(settings),
        reason=reason.strip(),
        pseudonyms=pseudonyms.all_of(identifier),
    )
    # The tombstone comes first: from now on no sample sheet takes the subject in again.
    name = pseudonyms.erase(identifier)
    if name is not None and name not in journal.pseudonyms:
        journal.pseudonyms.insert(0, name)
        journal.save()
    folder = settings.data / "micro_cohorts" / spec.name
    journal.most("files", _clean(folder, spec, description.parent))
    remaining = _remaining(settings, spec, description)
    entry = None
    if journal.pseudonyms or journal.files:
        facts = ErasureFacts(
            erasure=journal.id,
            pseudonym=journal.pseudonyms[0] if journal.pseudonyms else None,
            pseudonyms=tuple(journal.pseudonyms),
            files=journal.files,
            remaining=len(remaining),
        )
        reason = journal.reason
        entry = ledger.append("erasure", actor=journal.actor, cohort=spec.name, reason=reason, facts=facts)
    journal.end()
    return Erasure(
        id=journal.id,
        pseudonym=journal.pseudonyms[0] if journal.pseudonyms else "erased before",
        tables={},
        mentions={},
        snapshots=(),
        files=journal.files,
        models=(),
        remaining=remaining,
        ledger_seq=None if entry is None else entry.seq,
    )


def _clean(folder: Path, spec: PairedCohortSpec, described_in: Path) -> dict[str, int]:
    """Remove all results, and every archived input but those that are known to hold no subject."""
    if not folder.is_dir():
        return {}
    harmless = [name for name in input_paths(spec, described_in) if name not in subject_paths(spec, described_in)]
    keep = {file_sha256(described_in / name) for name in harmless if (described_in / name).is_file()}
    inputs = [path for path in (folder / ARCHIVE).glob("*") if path.name not in keep]
    for path in inputs:
        path.unlink()
    results = [path for path in folder.iterdir() if path.name != ARCHIVE]
    for path in results:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {kind: n for kind, n in (("results", len(results)), ("archived inputs", len(inputs))) if n}


def _remaining(settings: Settings, spec: PairedCohortSpec, description: Path) -> tuple[Remaining, ...]:
    found = [
        Remaining(
            what=f"perhaps the input {name} of {spec.name}, which is not the platform's",
            cure="Remove the subject's samples from it; until then they are left out of every run.",
        )
        for name in subject_paths(spec, description.parent)
        if (description.parent / name).is_file()
    ]
    studies = len(kept_studies(settings, [spec.name]))
    if studies:
        found.append(
            Remaining(
                what=f"models and importances of {studies} studies in MLflow, which may have learned from the subject",
                cure="They name nobody. Run the study again; delete these runs in MLflow if they must go.",
            )
        )
    return tuple(found)
