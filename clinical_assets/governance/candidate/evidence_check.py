"""Whether what a model is judged by is still what its training entered in the ledger.

What belongs here: comparing the digests of report and reference rows with the training's entry. What does not: the
verdict on it (``gates``), and the records that it came from (``provenance_check``).
"""

from __future__ import annotations

from collections.abc import Mapping

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.modelling.trainings.evidence import kept_digests
from clinical_assets.records.ledger.facts.models import TrainingFacts
from clinical_assets.records.ledger.ledger import Ledger

_WORDS = {"results": "the report's results.json", "reference": "the kept rows of training and holdout"}


def entered_evidence(candidate: ReleaseCandidate) -> Mapping[str, str] | None:
    """Digests in the newest training entry of the bundle; None where the ledger has none (an older training)."""
    entries = Ledger(candidate.records).entries(action="training", digest=candidate.digest)
    found = [facts.evidence for entry in entries if (facts := TrainingFacts.found(entry.facts))]
    return next((evidence for evidence in reversed(found) if evidence is not None), None)


def changed_evidence(candidate: ReleaseCandidate) -> tuple[str, ...] | None:
    """What is no longer as the training entered it, in words; empty when nothing, None when nothing was entered.

    Raises
    ------
    ReferenceMissing
        The rows of the model are not in this warehouse.
    """
    entered = entered_evidence(candidate)
    if entered is None:
        return None
    with candidate.warehouse.reader() as connection:
        now = kept_digests(connection, candidate.training)
    return tuple(words for name, words in _WORDS.items() if entered.get(name) != now[name])
