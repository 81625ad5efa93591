"""Where a column's value stands in a hospital's records: a code of a published system, or an element of FHIR R4.

What belongs here: what may be written in a description and the form of codes. What does not: reading records
(``serving.hospital``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from clinical_assets.cohorts.base import Strict

CodeSystem = Literal["loinc", "snomed", "icd10", "icd10cm", "icd10gm", "fhir"]
#: Addresses of the systems, as FHIR R4 names them (terminologies-systems.html); icd10gm as the German base profiles do.
SYSTEM_ADDRESSES: Mapping[str, str] = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "icd10": "http://hl7.org/fhir/sid/icd-10",
    "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm",
    "icd10gm": "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
}
#: Elements that a column may name with ``system: fhir``, and the types of column that they fit.
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "Patient.id": ("string", "integer"),
    "Patient.identifier": ("string", "integer"),
    "Patient.birthDate": ("integer", "number", "date"),
    "Patient.gender": ("string", "integer"),
    "Encounter.period.start": ("date", "datetime"),
    "Encounter.period.end": ("date", "datetime"),
    "Encounter.serviceProvider": ("string", "integer"),
}
#: http://hl7.org/fhir/administrative-gender
GENDERS = ("male", "female", "other", "unknown")
_NAMES = ("Patient.id", "Patient.identifier")
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
_SNOMED = re.compile(r"[1-9][0-9]{5,17}")
_ICD10 = re.compile(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?")
_PERMUTED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _words(value: Any) -> Any:
    """YAML reads ``true`` and ``false`` as such; here they are the names of a boolean column's values."""
    if not isinstance(value, dict):
        return value
    words = {True: "true", False: "false"}
    return {words[key] if isinstance(key, bool) else str(key): item for key, item in value.items()}


Codes = Annotated[tuple[str, ...], BeforeValidator(_texts), Field(min_length=1)]


class ColumnCode(Strict):
    """Where the value of a column stands in a FHIR R4 record.

    ``code`` is one code or several that mean the same. Of ``loinc`` and ``snomed`` it is an Observation's, or one of
    its components', unless ``resource`` says Condition; of ICD-10 it is a Condition's, and ``I25`` is also ``I25.1``.
    With ``system: fhir`` it is an element of Patient or of the latest Encounter.
    """

    system: CodeSystem
    code: Codes
    resource: Literal["Observation", "Condition"] | None = Field(
        default=None, description="Which resource carries the code; by default an Observation, for ICD-10 a Condition."
    )
    values: Annotated[dict[str, Codes], BeforeValidator(_words)] = Field(
        default_factory=dict, description="For each category, or true and false: the codes that stand for it."
    )
    value_system: CodeSystem = Field(default="snomed", description="System of the codes in `values`.")
    namespace: str | None = Field(default=None, description="System of the Patient.identifier that names the subject.")
    above: float | None = Field(default=None, description="A boolean column is true where the quantity is larger.")
    unit: str | None = Field(default=None, description="UCUM unit of `above`.")
    absent: Literal["unknown", "no"] = Field(
        default="unknown", description="What it means that no such Condition is sent: not known, or that there is none."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._codes_are_formed(self.system, self.code)
        for codes in self.values.values():
            if self.code != ("Patient.gender",) and self.code != ("Encounter.serviceProvider",):
                self._codes_are_formed(self.value_system, codes)
        every = [code for codes in self.values.values() for code in codes]
        if len(set(every)) < len(every):
            raise ValueError("values give two categories the same code")
        if self.code == ("Patient.gender",) and set(every) - set(GENDERS):
            raise ValueError(f"values of Patient.gender are {', '.join(GENDERS)}")
        if (self.namespace is not None) != (self.code == ("Patient.identifier",)):
            raise ValueError("namespace goes with Patient.identifier, and says which of a person's numbers it is")
        if (self.above is None) != (self.unit is None):
            raise ValueError("above needs its unit, and a unit needs above")
        if self.resource is not None and self.system == "fhir":
            raise ValueError("an element of FHIR says itself which resource it is of: leave `resource` out")
        if self.absent == "no" and self.kind != "Condition":
            raise ValueError("absent: no is for Conditions: an Observation that was not made says nothing")
        return self

    @property
    def kind(self) -> str:
        """The resource that carries it: Patient, Encounter, Observation or Condition."""
        if self.system == "fhir":
            return self.code[0].partition(".")[0]
        return self.resource or ("Condition" if self.system.startswith("icd10") else "Observation")

    def refuse_misfit(self, *, kind: str, unit: str | None, categories: Mapping[str, str] | None) -> None:
        """Refuse a code that a column of this type cannot have.

        Parameters
        ----------
        kind : str
            Type of the column.
        unit : str or None
            UCUM unit of the column.
        categories : mapping or None
            Its categories.

        Raises
        ------
        ValueError
            Says what does not fit.
        """
        if self.system == "fhir":
            if kind not in ELEMENTS[self.code[0]]:
                raise ValueError(f"code: {self.code[0]} fits a column of type {' or '.join(ELEMENTS[self.code[0]])}")
            if self.code[0] == "Patient.birthDate" and kind != "date" and unit != "a":
                raise ValueError("code: an age from Patient.birthDate is in years: unit a")
        elif self.kind == "Condition" and kind != "boolean":
            raise ValueError("code: whether a Condition is there needs a boolean column")
        elif kind in ("date", "datetime"):
            raise ValueError(f"code: an Observation has no value of type {kind}")
        if self.above is not None and (kind != "boolean" or self.kind != "Observation"):
            raise ValueError("code: above makes a boolean of an Observation's quantity")
        if kind in ("integer", "number") and self.kind == "Observation" and not categories and unit is None:
            raise ValueError("code: a quantity needs the column's UCUM unit (1 for a number without one)")
        known = {"true", "false"} if kind == "boolean" else set(categories or {})
        strange = sorted(set(self.values) - known)
        if strange:
            raise ValueError(f"code: values names {strange[0]!r}, which is no value of the column")
        if kind == "string" and self.kind == "Observation" and not self.values:
            raise ValueError("code: say in values which code stands for each category")

    @staticmethod
    def _codes_are_formed(system: str, codes: tuple[str, ...]) -> None:
        for code in codes:
            if system == "fhir":
                if code not in ELEMENTS or len(codes) > 1:
                    raise ValueError(f"{code!r} is no element that can be read; one of {', '.join(ELEMENTS)}")
            elif system == "loinc":
                if not (_LOINC.fullmatch(code) and _luhn(code.replace("-", ""))):
                    raise ValueError(f"{code!r} is no LOINC code: digits, a hyphen and the right check digit")
            elif system == "snomed":
                if not (_SNOMED.fullmatch(code) and _verhoeff(code)):
                    raise ValueError(f"{code!r} is no SNOMED CT identifier: its check digit is wrong")
            elif not _ICD10.fullmatch(code):
                raise ValueError(f"{code!r} is no ICD-10 code; write it as I25 or I25.1")


def _luhn(digits: str) -> bool:
    """Whether the last digit checks the others (modulus 10, as LOINC's user guide, appendix C, has it)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _verhoeff(digits: str) -> bool:
    """Whether the last digit checks the others in the dihedral group of ten (SNOMED CT's release file guide)."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = _PERMUTED[value]
        check = _product(check, value)
    return check == 0


def _product(first: int, second: int) -> int:
    """Of two elements of the dihedral group: 0 to 4 are turns, 5 to 9 are turns of the mirrored pentagon."""
    turn = (first - second if first >= 5 else first + second) % 5
    return turn + (5 if (first >= 5) != (second >= 5) else 0)
