"""The part of FHIR R4 (4.0.1) that is read: Bundle, Patient, Observation, Condition, Encounter.

What belongs here: their elements as far as a value is taken from them, and the value sets with a required binding. What
does not: choosing values (``patient_reading``). Elements that are not named here are not looked at, but for
``modifierExtension`` and ``implicitRules``: a reader that does not know them must not use the resource.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ObservationStatus = Literal[
    "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"
]
#: http://hl7.org/fhir/observation-status: values that a laboratory or nurse stands by, and how late a word each is.
FINAL = {"final": 0, "amended": 1, "corrected": 2}
EncounterStatus = Literal[
    "planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error", "unknown"
]
#: http://hl7.org/fhir/encounter-status: encounters that take or took place.
TOOK_PLACE = frozenset({"arrived", "triaged", "in-progress", "onleave", "finished"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Coding(_Part):
    """A code of a system."""

    system: str | None = None
    code: str | None = None


class CodeableConcept(_Part):
    """A concept in one or several systems."""

    coding: list[Coding] = []

    def has(self, system: str, codes: frozenset[str] | tuple[str, ...]) -> bool:
        """Whether one of its codings is one of these codes."""
        return any(each.system == system and each.code in codes for each in self.coding)


class Quantity(_Part):
    """A number with its unit."""

    value: float | None = Field(default=None, allow_inf_nan=False)
    comparator: Literal["<", "<=", ">=", ">"] | None = None
    system: str | None = None
    code: str | None = None


class Period(_Part):
    """From when until when."""

    start: str | None = None
    end: str | None = None


class FhirReference(_Part):
    """Another resource."""

    reference: str | None = None
    display: str | None = None


class Identifier(_Part):
    """A number of a person, of a system."""

    system: str | None = None
    value: str | None = None


class Measured(_Part):
    """What an Observation, or a component of it, says."""

    code: CodeableConcept
    valueQuantity: Quantity | None = None  # noqa: N815 - FHIR's names
    valueCodeableConcept: CodeableConcept | None = None  # noqa: N815
    valueBoolean: bool | None = None  # noqa: N815
    valueInteger: int | None = None  # noqa: N815
    modifierExtension: list[Any] | None = None  # noqa: N815

    @property
    def says_something(self) -> bool:
        """Whether there is a value of a kind that can be read."""
        values = (self.valueQuantity, self.valueCodeableConcept, self.valueBoolean, self.valueInteger)
        return any(value is not None for value in values)


class _Resource(_Part):
    id: str | None = None
    implicitRules: str | None = None  # noqa: N815
    modifierExtension: list[Any] | None = None  # noqa: N815


class Patient(_Resource):
    """A person."""

    resourceType: Literal["Patient"]  # noqa: N815
    identifier: list[Identifier] = []
    gender: Literal["male", "female", "other", "unknown"] | None = None
    birthDate: str | None = None  # noqa: N815


class Observation(_Resource, Measured):
    """A measurement or finding."""

    resourceType: Literal["Observation"]  # noqa: N815
    status: ObservationStatus
    subject: FhirReference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectiveInstant: str | None = None  # noqa: N815
    effectivePeriod: Period | None = None  # noqa: N815
    issued: str | None = None
    component: list[Measured] = []


class Condition(_Resource):
    """A diagnosis or problem."""

    resourceType: Literal["Condition"]  # noqa: N815
    clinicalStatus: CodeableConcept | None = None  # noqa: N815
    verificationStatus: CodeableConcept | None = None  # noqa: N815
    code: CodeableConcept | None = None
    subject: FhirReference | None = None
    onsetDateTime: str | None = None  # noqa: N815
    onsetPeriod: Period | None = None  # noqa: N815
    recordedDate: str | None = None  # noqa: N815
    abatementDateTime: str | None = None  # noqa: N815


class Encounter(_Resource):
    """A stay or visit."""

    resourceType: Literal["Encounter"]  # noqa: N815
    status: EncounterStatus
    subject: FhirReference | None = None
    period: Period | None = None
    serviceProvider: FhirReference | None = None  # noqa: N815


class FhirEntry(_Part):
    """One resource of a Bundle."""

    fullUrl: str | None = None  # noqa: N815
    resource: dict[str, Any] | None = None


class FhirBundle(_Part):
    """Resources that are sent together."""

    resourceType: Literal["Bundle"]  # noqa: N815
    type: Literal[
        "document", "message", "transaction", "transaction-response", "batch", "batch-response", "history",
        "searchset", "collection",
    ]  # fmt: skip
    entry: list[FhirEntry] = []


Resource = Patient | Observation | Condition | Encounter
RESOURCES: dict[str, type[Patient] | type[Observation] | type[Condition] | type[Encounter]] = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "Encounter": Encounter,
}
