"""Which value of a hospital's record counts: the latest final one that was known at the moment, in the right unit."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.serving.hospital.sent import bundle, coded_tables, condition, encounter, observation, patient, usual
from assets_tests.worlds.ward.trained import DESCRIPTION
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.serving.hospital.patient_reading import PatientReader, ReadRecord
from clinical_assets.serving.hospital.sent_records import bundle_entries, sent_record
from clinical_assets.serving.requests.findings import RequestRefused
from clinical_assets.serving.requests.record_models import request_spec

MOMENT = dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)


def reader(description: dict[str, Any] | None = None, **codes: Any) -> PatientReader:
    spec = CohortSpec.model_validate({**DESCRIPTION, **(description or {}), "tables": coded_tables(**codes)})
    return PatientReader(request_spec(spec))


def read(
    *resources: dict[str, Any], moment: dt.datetime = MOMENT, now: dt.datetime = MOMENT, **codes: Any
) -> ReadRecord:
    return reader(**codes).read(sent_record(bundle_entries(bundle(*resources))), moment=moment, now=now)


def refused(*resources: dict[str, Any], **codes: Any) -> str:
    with pytest.raises(RequestRefused) as caught:
        read(*resources, **codes)
    (finding,) = caught.value.findings
    return f"{finding.rule}: {finding.detail}. {finding.cure}"


def notes(found: ReadRecord) -> set[str]:
    return {f"{each.field}:{each.code}" for each in found.notes}


def test_each_column_is_filled_from_the_element_that_its_code_names() -> None:
    found = read(*usual())
    assert found.record == {
        "patient_id": "X00001",
        "age_years": 54,
        "sex": "f",
        "region": "north",
        "height_m": 1.7,
        "marker_a": 1.0,
        "marker_b": 0.2,
        "frail": False,
    }
    assert notes(found) == {"height_m:converted"}
    assert found.sources["marker_a"] == "/entry/2/resource"


def test_the_latest_known_value_counts_whatever_the_order() -> None:
    old = observation("2093-3", 1, effectiveDateTime="2025-11-20")
    new = observation("2093-3", 2, effectiveDateTime="2026-11-20T09:59:59Z")
    later = observation("2093-3", 3, effectiveDateTime="2026-11-20T10:00:01Z")
    for order in ((old, new, later), (later, new, old), (new, later, old)):
        found = read(patient(), *order)
        assert found.record["marker_a"] == 2
        assert notes(found) == {"marker_a:after_moment"}


def test_a_day_without_time_counts_today_and_not_in_what_is_past() -> None:
    today = observation("2093-3", 1, effectiveDateTime="2026-11-20")
    assert read(patient(), today).record["marker_a"] == 1
    late = MOMENT + dt.timedelta(days=3)
    assert "marker_a" not in read(patient(), today, now=late).record
    assert read(patient(), today, moment=MOMENT + dt.timedelta(days=1), now=late).record["marker_a"] == 1


def test_a_value_that_was_not_issued_yet_was_not_known() -> None:
    first = observation("2093-3", 1, effectiveDateTime="2026-11-19T08:00:00Z", issued="2026-11-19T12:00:00Z")
    second = observation("2093-3", 2, effectiveDateTime="2026-11-20T08:00:00Z", issued="2026-11-20T12:00:00Z")
    late = MOMENT + dt.timedelta(days=3)
    assert read(patient(), first, second, now=late).record["marker_a"] == 1
    assert read(patient(), first, second, moment=late, now=late).record["marker_a"] == 2


@pytest.mark.parametrize(
    ("status", "value", "noted"),
    [
        ("final", 2, set()),
        ("amended", 2, set()),
        ("corrected", 2, set()),
        ("preliminary", 1, {"marker_a:not_final"}),
        ("registered", 1, set()),
        ("cancelled", 1, set()),
        ("entered-in-error", 1, set()),
        ("unknown", 1, set()),
    ],
)
def test_only_values_that_somebody_stands_by_count(status: str, value: float, noted: set[str]) -> None:
    old = observation("2093-3", 1, effectiveDateTime="2026-11-19")
    found = read(patient(), old, observation("2093-3", 2, status=status))
    assert found.record["marker_a"] == value
    assert notes(found) == noted


def test_of_one_moment_the_later_word_counts_and_without_one_it_is_refused() -> None:
    wrong, right = observation("2093-3", 1), observation("2093-3", 2, status="corrected")
    assert read(patient(), right, wrong).record["marker_a"] == 2
    assert refused(patient(), wrong, observation("14647-2", 2)).startswith("ambiguous: ")
    assert read(patient(), wrong, observation("14647-2", 1)).record["marker_a"] == 1


def test_a_component_counts_as_the_observation_around_it() -> None:
    panel = observation("85354-9", None)
    parts = [observation("1558-6", 0.3), observation("2093-3", 120)]
    panel["component"] = [{name: part[name] for name in ("code", "valueQuantity")} for part in parts]
    found = read(patient(), panel)
    assert (found.record["marker_a"], found.sources["marker_a"]) == (120, "/entry/1/resource/component/1")
    assert "marker_a" not in read(patient(), {**panel, "status": "cancelled"}).record


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ({"value": 1.2, "code": "g/L"}, 120.0),
        ({"value": 120, "code": "mg/dl"}, 120.0),
        ({"value": 0.1, "code": "ug/uL"}, 10.0),
        ({"value": 5.2, "code": "mmol/L"}, None),
        ({"value": 5.2, "code": "mg"}, None),
        ({"value": 5.2, "code": "furlong"}, None),
        ({"value": 5.2, "code": "mg/dL", "system": "http://unit.example"}, None),
        ({"value": 5.2, "code": None}, None),
    ],
)
def test_a_unit_is_converted_where_that_is_exact_and_refused_otherwise(
    quantity: dict[str, Any], expected: float | None
) -> None:
    given = observation("2093-3", 1, valueQuantity={"system": "http://unitsofmeasure.org", **quantity})
    if expected is None:
        assert re.match(r"unit: .* mg/dL", refused(patient(), given))
    else:
        assert read(patient(), given).record["marker_a"] == expected


def test_a_bound_is_no_value_and_said() -> None:
    bound = observation("2093-3", 1)
    bound["valueQuantity"]["comparator"] = "<"
    found = read(patient(), observation("2093-3", 7, effectiveDateTime="2026-11-01"), bound)
    assert "marker_a" not in found.record
    assert notes(found) == {"marker_a:bounded"}


@pytest.mark.parametrize(
    ("value", "comparator", "expected"),
    [
        (121, None, True),
        (120, None, False),
        (120, ">", True),
        (120, ">=", None),
        (120, "<=", False),
        (130, "<", None),
        (110, "<", False),
        (110, ">", None),
        (130, ">=", True),
    ],
)
def test_a_limit_decides_a_boolean_as_far_as_a_bound_lets_it(
    value: float, comparator: str | None, expected: bool | None
) -> None:
    code = {"system": "loinc", "code": "1558-6", "above": 120, "unit": "mg/dL"}
    given = observation("1558-6", value)
    given["valueQuantity"]["comparator"] = comparator
    found = read(patient(), given, frail=code, marker_b={"system": "loinc", "code": "2339-0"})
    assert found.record.get("frail") is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], None),
        ([condition()], True),
        ([condition(verified="refuted")], False),
        ([condition(verified="refuted"), condition()], True),
        ([condition(verified="provisional")], None),
        ([condition(verified="entered-in-error")], None),
        ([condition(abatementDateTime="2026-11-10")], None),
        ([condition(recordedDate="2026-11-21")], None),
        ([condition(recordedDate="2026-11-21", onsetDateTime="2026-10-01")], None),
        ([condition(recordedDate=None)], True),
        ([condition("29857009")], None),
        ([condition(system="http://hl7.org/fhir/sid/icd-10")], None),
    ],
)
def test_a_condition_is_there_where_it_is_confirmed_and_not_over(given: Any, expected: bool | None) -> None:
    assert read(patient(), *given).record.get("frail") is expected
    absent = {"system": "snomed", "code": "248279007", "resource": "Condition", "absent": "no"}
    noted = any(each.field == "frail" for each in read(patient(), *given).notes)
    assert read(patient(), *given, frail=absent).record.get("frail") is (
        False if expected is None and not noted else expected
    )


@pytest.mark.parametrize(
    ("named", "sent", "covered"),
    [
        ("I25", "I25.1", True),
        ("I25", "I25", True),
        ("I25", "I250", False),
        ("I25.1", "I25.10", True),
        ("I25.1", "I25", False),
        ("I25.1", "I25.2", False),
    ],
)
def test_an_icd_code_covers_what_lies_below_it(named: str, sent: str, covered: bool) -> None:
    found = read(
        patient(),
        condition(sent, system="http://hl7.org/fhir/sid/icd-10"),
        frail={"system": "icd10", "code": named},
    )
    assert ("frail" in found.record) is covered


def test_an_age_is_that_of_the_moment_and_refused_where_two_are_possible() -> None:
    def age(birth: str, moment: dt.datetime) -> Any:
        return read(patient(birthDate=birth), moment=moment).record["age_years"]

    assert age("1972-11-20", MOMENT) == 54
    assert age("1972-11-21", MOMENT) == 53
    assert age("1972-02-29", dt.datetime(2023, 2, 28, tzinfo=dt.UTC)) == 50
    assert age("1972-12", MOMENT) == 53
    assert refused(patient(birthDate="1972")).startswith("time: ")
    assert refused(patient(birthDate="2027-01-01")).startswith("time: ")


def test_the_latest_encounter_that_had_begun_counts_unless_one_is_named() -> None:
    stays = [
        encounter(id="E1", period={"start": "2026-11-01"}, serviceProvider={"display": "north"}),
        encounter(id="E2", period={"start": "2026-11-19"}, serviceProvider={"display": "south"}),
        encounter(id="E3", period={"start": "2026-11-20T11:00:00Z"}),
        encounter(id="E4", period={"start": "2026-11-20"}, status="planned"),
    ]
    assert read(patient(), *stays).record["region"] == "south"
    whole = sent_record(bundle_entries(bundle(patient(), *stays)))
    named = reader().read(whole, moment=MOMENT, now=MOMENT, encounter="E1")
    assert named.record["region"] == "north"


_TIMES = st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2026, 12, 31), timezones=st.just(dt.UTC))


@given(
    values=st.lists(st.tuples(_TIMES, st.none() | _TIMES, st.integers(0, 300)), max_size=8, unique_by=lambda v: v[0]),
    moment=_TIMES,
)
def test_what_is_of_after_the_moment_changes_nothing(values: list[Any], moment: dt.datetime) -> None:
    now = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    whole = [
        observation(
            "2093-3",
            value,
            effectiveDateTime=measured.isoformat(),
            **({} if issued is None else {"issued": issued.isoformat()}),
        )
        for measured, issued, value in values
    ]
    known = [
        each
        for each, (measured, issued, _) in zip(whole, values, strict=True)
        if max(measured, issued or measured) <= moment
    ]
    found = read(patient(), *whole, moment=moment, now=now)
    assert found.record == read(patient(), *known, moment=moment, now=now).record
    assert ("marker_a" in found.record) is bool(known)


def test_values_count_until_so_many_days_after_the_index_date() -> None:
    """As in training: an index date and a landmark are the moment, where they are before it."""
    tables = coded_tables()
    columns = tables["subjects"]["columns"]
    columns["admitted"] = {
        "type": "date",
        "role": "date",
        "description": "Admission.",
        "code": {"system": "fhir", "code": "Encounter.period.start"},
    }
    tables["visits"]["recorded"] = "day"
    tables["visits"]["columns"]["day"] = {"type": "date", "description": "Day."}
    prediction = {"moment": "On the third day.", "index_date": "subjects.admitted", "landmark_days": 2}
    spec = CohortSpec.model_validate({**DESCRIPTION, "tables": tables, "prediction": prediction})
    stay = encounter(period={"start": "2026-11-10T09:00:00Z"})
    early, late = (observation("2093-3", day, effectiveDateTime=f"2026-11-{day}") for day in (12, 13))
    whole = sent_record(bundle_entries(bundle(patient(), stay, early, late)))
    found = PatientReader(request_spec(spec)).read(whole, moment=MOMENT, now=MOMENT)
    assert (found.record["admitted"], found.record["marker_a"]) == ("2026-11-10", 12)
    assert found.moment == dt.datetime(2026, 11, 12, 23, 59, 59, 999999, tzinfo=dt.UTC)
