"""Promotion without signers: which model a cohort's change control plan lets take effect by itself, and whether it may.

What belongs here: finding such a model, from the cheapest question to the dearest. What does not: promoting it; whoever
does asks for blockers once more (``promotion``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.settings import Settings

#: Reasons that go away without an entry in the ledger.
_PASSING = {"registry_unavailable"}


@dataclass(frozen=True)
class Unattended:
    """What was found of a cohort.

    Attributes
    ----------
    dossier : str or None
        Digest of the dossier of a model that may take effect now.
    again : bool
        Nothing but a passing trouble stands against it: ask again later, though nothing new was recorded.
    """

    dossier: str | None = None
    again: bool = False


def ready(cohort: str, *, settings: Settings, catalogue: Catalogue) -> Unattended:
    """Whether the newest model of a cohort may become champion with nobody's signature.

    Never the first model: the plan speaks of changes to one that serves. A change that was rolled back needs signatures
    again.

    Raises
    ------
    ClinicalAssetsError
        Description, pointer, training or records cannot be read.
    """
    from clinical_assets.governance import champions
    from clinical_assets.governance.blockers import blockers, needs_signatures
    from clinical_assets.governance.candidate import candidate_of
    from clinical_assets.governance.dossier import load_dossier
    from clinical_assets.modelling import trainings

    if not any(each.promotes_itself for each in catalogue.spec(cohort).pccp.permitted):
        return Unattended()
    serving = champions.current(settings, cohort)
    if serving is None or serving.digest == trainings.latest(settings, cohort).results["bundle_digest"]:
        return Unattended()
    candidate = candidate_of(cohort, settings=settings, catalogue=catalogue)
    if needs_signatures(candidate):
        return Unattended()
    found = {each.code for each in blockers(candidate)}
    if found:
        return Unattended(again=found <= _PASSING)
    return Unattended(dossier=load_dossier(settings, cohort, candidate.digest).digest)
