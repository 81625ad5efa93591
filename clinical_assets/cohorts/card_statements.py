"""What a person must say about a model: the part ``card`` of a cohort's description.

What belongs here: the fields, and what counts as said. They stand on the model card and make no new model: filling
one in needs a new card, not a new training.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from clinical_assets.cohorts.base import Strict

# What stands where somebody meant to write.
_EMPTY = re.compile(r"(?i)[\W_]*(to ?do|tbd|tba|fix ?me|xxx+|n/?a|none|unknown|to be (written|done|defined))?[\W_]*")
# An honest answer, and no answer: nobody stands behind the model.
_DEMONSTRATION = re.compile(r"(?i)[\W_]*demonstration\b")

RiskLevel = Literal["low", "medium", "high", "demonstration"]

REQUIRED = {
    "users": "primary intended users",
    "population": "targeted patient population",
    "risk_level": "clinical risk level",
    "maintenance": "ongoing maintenance",
    "consent": "patient consent or disclosure",
    "funding": "funding source",
    "contact": "contact of the developer",
}
OPTIONAL = {
    "workflow": "who sees the score, when, and what they may do against it",
    "how_to_use": "how to use the score",
    "horizon": "why no number of days is the horizon",
    "known_biases": "known biases or ethical considerations",
    "bias_mitigation": "approaches to fairness, and their reasons",
    "recruitment": "setting, eligibility, who was not recruited",
    "measurement": "how outcome and predictors were measured, blinding",
    "evidence": "evidence that acting on the score helps patients",
    "ethics": "approval by an ethics board, registration, protocol",
    "conflicts": "conflicts of interest",
    "stakeholders": "stakeholders consulted, patients among them",
    "regulatory_status": "regulatory approval",
    "release_stage": "release stage",
    "availability": "where the model may be used",
    "security": "security and compliance practices",
    "third_parties": "third parties that take part",
    "publications": "peer-reviewed publications",
}


class CardStatements(Strict):
    """What only a person can say; the names in CHAI's applied model card are in ``modelling.trainings.chai``.

    A text that starts with *Demonstration* says that nobody answers for the point; a release then needs a waiver.
    """

    users: str | None = Field(default=None, description="Primary intended users: profession, training, setting.")
    population: str | None = Field(default=None, description="Patients the model is meant for.")
    risk_level: RiskLevel | None = Field(
        default=None, description="Clinical risk if the model is wrong; `demonstration` where nobody assessed it."
    )
    risk_rationale: str | None = Field(default=None, description="Why this risk level, by which scheme.")
    maintenance: str | None = Field(
        default=None, description="Who monitors, retrains and withdraws the model, how often, with a name."
    )
    consent: str | None = Field(default=None, description="Patients' consent, or how the use is disclosed to them.")
    funding: str | None = Field(default=None, description="Who paid for the development.")
    contact: str | None = Field(default=None, description="Where to ask and report; default: the owner's contact.")
    workflow: str | None = Field(default=None, description="Who sees the score, when, what they may do against it.")
    how_to_use: str | None = Field(default=None, description="Steps from the score to a decision.")
    horizon: str | None = Field(
        default=None, description="Why no number of days is the horizon, such as for a diagnosis made at once."
    )
    known_biases: str | None = Field(default=None, description="Known biases and ethical considerations.")
    bias_mitigation: str | None = Field(default=None, description="Approaches to fairness, and their reasons.")
    recruitment: str | None = Field(default=None, description="Setting, eligibility, and who was not recruited.")
    measurement: str | None = Field(default=None, description="How outcome and predictors were measured; blinding.")
    evidence: str | None = Field(default=None, description="Evidence that acting on the score helps patients.")
    ethics: str | None = Field(default=None, description="Ethics approval, registration, protocol.")
    conflicts: str | None = Field(default=None, description="Conflicts of interest.")
    stakeholders: str | None = Field(default=None, description="Who was consulted, patients among them.")
    regulatory_status: str | None = Field(default=None, description="Clearance or approval as a device.")
    release_stage: str | None = Field(default=None, description="Such as research, silent trial, clinical use.")
    availability: str | None = Field(default=None, description="Countries and sites where the model may be used.")
    security: str | None = Field(default=None, description="Security and compliance practices.")
    third_parties: str | None = Field(default=None, description="Third parties that take part.")
    publications: str | None = Field(default=None, description="Peer-reviewed publications.")


def says_nothing(text: str | None) -> bool:
    """Whether a text is absent, empty or only holds the place of one.

    >>> says_nothing("TBD"), says_nothing("Nurses of the ward.")
    (True, False)
    """
    return text is None or _EMPTY.fullmatch(text) is not None


def is_demonstration(text: str | None) -> bool:
    """Whether a text says that nobody answers for the point.

    >>> is_demonstration("Demonstration: nobody uses it."), is_demonstration("Nurses of the ward.")
    (True, False)
    """
    return text is not None and _DEMONSTRATION.match(text) is not None
