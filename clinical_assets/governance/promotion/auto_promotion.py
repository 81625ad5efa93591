"""Promotion by the platform: whether the newest model of a cohort may take effect now, and what it waits for.

What belongs here: finding such a model, from the cheapest question to the dearest. What does not: promoting it; whoever
does asks for blockers once more (``promotion``).
"""

from __future__ import annotations

from dataclasses import dataclass

from clinical_assets.governance.candidate.approved_terms import released_as_agreed
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.promotion.blocker import waits_for
from clinical_assets.governance.promotion.blockers import blockers
from clinical_assets.modelling.trainings import trainings
from clinical_assets.workspace import CohortHandle

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
    waits_for : tuple of str
        What people have still to do; the model waits, and nothing is wrong.
    """

    dossier: str | None = None
    again: bool = False
    waits_for: tuple[str, ...] = ()


def ready(cohort: CohortHandle) -> Unattended:
    """Whether the newest model of a cohort may become champion: everybody has signed, or the plan needs nobody to.

    A model that serves is looked at again only when people signed it under another plan or policy.

    Raises
    ------
    ClinicalAssetsError
        Description, pointer, training or records cannot be read.
    """
    told = trainings.latest_pointer(cohort.settings, cohort.name)
    if told is None or told.refused is not None:
        return Unattended()
    candidate = candidate_of(cohort)
    serving = candidate.champion
    if serving is not None and serving.digest == candidate.digest and released_as_agreed(candidate):
        return Unattended()
    found = blockers(candidate)
    if found:
        return Unattended(again={each.code for each in found} <= _PASSING, waits_for=waits_for(found))
    return Unattended(dossier=load_dossier(cohort.settings, cohort.name, candidate.digest).digest)
