"""What a hospital sends about a patient of the ward, and the codes that the ward's description names."""

from __future__ import annotations

import copy
from typing import Any

from assets_tests.worlds.ward.trained import DESCRIPTION
from clinical_assets.serving.access.callers import Caller

Resource = dict[str, Any]
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
NOW = "2026-11-20T10:00:00Z"
CODES: dict[str, Any] = {
    "patient_id": {"system": "fhir", "code": "Patient.id"},
    "age_years": {"system": "fhir", "code": "Patient.birthDate"},
    "sex": {"system": "fhir", "code": "Patient.gender", "values": {"f": "female", "m": "male"}},
    "region": {"system": "fhir", "code": "Encounter.serviceProvider"},
    "height_m": {"system": "loinc", "code": "8302-2"},
    "marker_a": {"system": "loinc", "code": ["2093-3", "14647-2"]},
    "marker_b": {"system": "loinc", "code": "1558-6"},
    "frail": {"system": "snomed", "code": "248279007", "resource": "Condition"},
}


def coded_tables(**changes: Any) -> dict[str, Any]:
    """The tables of the ward's description with codes; some of them replaced."""
    tables = copy.deepcopy(DESCRIPTION["tables"])
    for name, code in {**CODES, **changes}.items():
        tables["subjects"]["columns"][name]["code"] = code
    return tables


def patient(**changes: Any) -> Resource:
    """A woman of 54 years."""
    return {"resourceType": "Patient", "id": "X00001", "gender": "female", "birthDate": "1972-03-04", **changes}


def observation(code: str, value: float | None, unit: str = "mg/dL", **changes: Any) -> Resource:
    """A final laboratory value of the morning."""
    quantity = {"valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit}}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/X00001"},
        "effectiveDateTime": "2026-11-20T08:00:00+01:00",
        **({} if value is None else quantity),
        **changes,
    }


def condition(
    code: str = "248279007", *, system: str = SNOMED, verified: str = "confirmed", **changes: Any
) -> Resource:
    """A diagnosis that holds."""
    status = "http://terminology.hl7.org/CodeSystem/condition-{}"
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"system": status.format("clinical"), "code": "active"}]},
        "verificationStatus": {"coding": [{"system": status.format("ver-status"), "code": verified}]},
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/X00001"},
        "recordedDate": "2026-11-01",
        **changes,
    }


def encounter(**changes: Any) -> Resource:
    """A stay in the north."""
    return {
        "resourceType": "Encounter",
        "id": "E1",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/X00001"},
        "period": {"start": "2026-11-19T20:00:00Z"},
        "serviceProvider": {"display": "north"},
        **changes,
    }


def usual() -> list[Resource]:
    """Everything that the ward's description asks for."""
    return [
        patient(),
        observation("8302-2", 170, "cm"),
        observation("2093-3", 1.0),
        observation("1558-6", 0.2),
        condition(verified="refuted"),
        encounter(),
    ]


def bundle(*resources: Resource, kind: str = "collection") -> Resource:
    """Resources in a Bundle."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources]}


class Limited:
    """A door that knows one caller, with these rights."""

    def __init__(self, *rights: str) -> None:
        self.rights = frozenset(rights)

    async def caller(self, scope: Any) -> Caller:
        del scope
        return Caller("k1", self.rights)

    def refused(self, error: Any) -> None:
        self.last = error

    def start(self) -> None: ...

    def stop(self) -> None: ...
