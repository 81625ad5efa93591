"""Codes of columns: their form is checked, what does not fit the column is refused, and no model is older for them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assets_tests.worlds.descriptions import minimal as right
from clinical_assets.cohorts.external import codes
from clinical_assets.cohorts.loading import load_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError


def coded(column: str, code: dict[str, Any], **changes: Any) -> dict[str, Any]:
    value = right()
    value["tables"]["subjects"]["columns"][column] |= {"code": code, **changes}
    return value


@pytest.mark.parametrize(
    ("column", "code", "words"),
    [
        ("age_years", {"system": "loinc", "code": "8480-7"}, "check digit"),
        ("age_years", {"system": "loinc", "code": "blood pressure"}, "LOINC"),
        ("age_years", {"system": "snomed", "code": "429559005"}, "check digit"),
        ("age_years", {"system": "readcode", "code": "X1"}, "system"),
        ("age_years", {"system": "loinc", "code": []}, "code"),
        ("age_years", {"system": "loinc", "code": "8480-6", "units": "a"}, "units"),
        ("age_years", {"system": "icd10", "code": "I25.1"}, "boolean"),
        ("died", {"system": "icd10", "code": "25.1"}, "ICD-10"),
        ("age_years", {"system": "fhir", "code": "Patient.name"}, "Patient.birthDate"),
        ("sex", {"system": "fhir", "code": "Patient.birthDate"}, "date"),
        ("sex", {"system": "fhir", "code": "Patient.gender", "values": {"f": "Frau"}}, "female"),
        ("sex", {"system": "fhir", "code": "Patient.gender", "values": {"x": "female"}}, "'x'"),
        ("sex", {"system": "fhir", "code": "Patient.gender", "values": {"f": "female", "m": "female"}}, "same code"),
        ("sex", {"system": "snomed", "code": "429559004"}, "values"),
        ("patient_id", {"system": "fhir", "code": "Patient.identifier"}, "namespace"),
        ("patient_id", {"system": "fhir", "code": "Patient.id", "resource": "Condition"}, "resource"),
        ("died", {"system": "loinc", "code": "1558-6", "above": 120}, "unit"),
        ("age_years", {"system": "loinc", "code": "1558-6", "above": 120, "unit": "mg/dL"}, "boolean"),
        ("died", {"system": "loinc", "code": "1558-6", "absent": "no"}, "Condition"),
    ],
)
def test_a_code_that_cannot_be_right_is_refused(column: str, code: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        CohortSpec.model_validate(coded(column, code))


def test_a_refusal_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "small_cohort.yaml"
    text = yaml.safe_dump(coded("age_years", {"system": "loinc", "code": "8480-7"}), sort_keys=False)
    path.write_text(text, encoding="utf-8")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if each.strip() == "code:")
    with pytest.raises(SpecError, match=f":{line}") as caught:
        load_spec(path)
    assert "8480-7" in str(caught.value)


def test_a_number_without_a_unit_cannot_be_compared() -> None:
    value = coded("age_years", {"system": "loinc", "code": "8480-6"}, unit=None)
    with pytest.raises(ValidationError, match="UCUM unit"):
        CohortSpec.model_validate(value)


def test_codes_change_no_facts_of_a_training_and_stand_in_the_description() -> None:
    value = coded("age_years", {"system": "fhir", "code": "Patient.birthDate"})
    with_code, without = CohortSpec.model_validate(value), CohortSpec.model_validate(right())
    assert with_code.training_facts() == without.training_facts()
    assert with_code.canonical() != without.canonical()
    columns = without.canonical()["tables"]["subjects"]["columns"]
    assert not any("code" in column for column in columns.values())
    again = CohortSpec.model_validate(copy.deepcopy(with_code.canonical()))
    assert again.subjects.columns["age_years"].code == with_code.subjects.columns["age_years"].code


@given(st.from_regex(r"[1-9][0-9]{4,16}", fullmatch=True), st.data())
def test_a_check_digit_finds_every_single_wrong_digit_and_swap_of_snomed(body: str, data: Any) -> None:
    (check,) = [digit for digit in "0123456789" if codes._verhoeff(body + digit)]
    whole = body + check
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != whole[place]]))
    assert not codes._verhoeff(whole[:place] + other + whole[place + 1 :])
    first = data.draw(st.integers(0, len(whole) - 2))
    swapped = whole[:first] + whole[first + 1] + whole[first] + whole[first + 2 :]
    assert codes._verhoeff(swapped) is (whole[first] == whole[first + 1])


@given(st.from_regex(r"[1-9][0-9]{2,5}", fullmatch=True), st.data())
def test_a_check_digit_finds_every_single_wrong_digit_of_loinc(body: str, data: Any) -> None:
    (check,) = [digit for digit in "0123456789" if codes._luhn(body + digit)]
    place = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != body[place]]))
    assert not codes._luhn(body[:place] + other + body[place + 1 :] + check)
