"""One frame in, sound rows and findings out; nothing lost and everything told."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.cohorts.tables import Column, Correction, Table
from clinical_assets.foundation.errors import ValidationFailed
from clinical_assets.warehouse.validation import unit_mixups
from clinical_assets.warehouse.validation.findings import FINDINGS, LONGEST_VALUE, confidential
from clinical_assets.warehouse.validation.row_validation import UNREADABLE, Validated, validate_frame


def table(*, recorded: str | None = None, rules: tuple[dict[str, str], ...] = (), **columns: dict[str, Any]) -> Table:
    described = {name: {"description": "A column.", **column} for name, column in columns.items()}
    return Table.model_validate(
        {
            "description": "A table.",
            "source": {"kind": "file", "path": "a.csv"},
            "key": [next(iter(described))],
            "recorded": recorded,
            "columns": described,
            "rules": list(rules),
        }
    )


PATIENTS = table(
    patient_id={"type": "string", "role": "identifier"},
    age_years={"type": "integer", "range": [0, 120], "unit": "a"},
    sex={"type": "string", "categories": {"f": "female", "m": "male"}, "nullable": False},
    systolic_bp_mmhg={"type": "number", "missing": [0]},
    diastolic_bp_mmhg={"type": "number"},
    rules=(
        {
            "name": "systolic_above_diastolic",
            "expression": "systolic_bp_mmhg > diastolic_bp_mmhg",
            "cure": "Swap them.",
        },
    ),
)


def patients(**columns: list[Any]) -> pl.DataFrame:
    size = len(next(iter(columns.values())))
    usual: dict[str, list[Any]] = {
        "patient_id": [f"P{i}" for i in range(size)],
        "age_years": ["50"] * size,
        "sex": ["f"] * size,
        "systolic_bp_mmhg": ["120"] * size,
        "diastolic_bp_mmhg": ["80"] * size,
    }
    return pl.DataFrame(usual | columns)


def told(validated: Validated) -> list[tuple[int, str, str, str | None]]:
    return validated.findings.select("_row", "column_name", "rule", "value").sort("_row", "column_name").rows()


def test_sound_rows_go_on_typed_and_numbered_from_one() -> None:
    validated = validate_frame(patients(age_years=[" 50", "61"]), PATIENTS)
    assert validated.frame.select("_row", "patient_id", "age_years").rows() == [(1, "P0", 50), (2, "P1", 61)]
    assert validated.findings.schema == FINDINGS
    assert validated.findings.height == validated.refused.height == 0


def test_every_broken_promise_of_every_row_is_told_at_once() -> None:
    frame = patients(age_years=["x", "200", "50"], sex=["male", None, "f"], systolic_bp_mmhg=["120", "70", "70"])
    assert told(validate_frame(frame, PATIENTS)) == [
        (1, "age_years", "type", "x"),
        (1, "sex", "category", "male"),
        (2, "age_years", "range", "200"),
        (2, "sex", "null", None),
        (
            2,
            "systolic_bp_mmhg, diastolic_bp_mmhg",
            "systolic_above_diastolic",
            "systolic_bp_mmhg=70.0, diastolic_bp_mmhg=80.0",
        ),
        (
            3,
            "systolic_bp_mmhg, diastolic_bp_mmhg",
            "systolic_above_diastolic",
            "systolic_bp_mmhg=70.0, diastolic_bp_mmhg=80.0",
        ),
    ]


def test_every_finding_has_a_reason_and_a_cure_and_an_own_rule_brings_its_own() -> None:
    findings = validate_frame(patients(age_years=["x", "200"], systolic_bp_mmhg=["70", "120"]), PATIENTS).findings
    assert findings.select(pl.col("reason", "cure").str.len_chars().min()).row(0) > (5, 5)
    assert findings.filter(rule="systolic_above_diastolic")["cure"].to_list() == ["Swap them."]


def test_an_unreadable_value_of_a_required_column_is_told_once() -> None:
    required = table(patient_id={"type": "string"}, day={"type": "integer", "nullable": False})
    frame = pl.DataFrame({"patient_id": ["a", "b", "c"], "day": ["x", None, "3"]})
    assert told(validate_frame(frame, required)) == [(1, "day", "type", "x"), (2, "day", "null", None)]


def test_what_stands_for_missing_breaks_a_required_column_and_shows_what_stood_there() -> None:
    required = table(patient_id={"type": "string"}, day={"type": "integer", "nullable": False, "missing": [-9]})
    validated = validate_frame(pl.DataFrame({"patient_id": ["a"], "day": ["-9"]}), required)
    assert told(validated) == [(1, "day", "null", "-9")]
    assert validated.missing_made == {"day": 1}


def test_a_row_of_unknown_time_is_refused_for_that_reason() -> None:
    visits = table(recorded="visit_day", visit_id={"type": "integer"}, visit_day={"type": "integer"})
    validated = validate_frame(pl.DataFrame({"visit_id": [1, 2], "visit_day": [3, None]}), visits)
    assert told(validated) == [(2, "visit_day", "recorded", None)]


def test_a_record_without_key_or_subject_is_refused() -> None:
    visits = table(visit_id={"type": "integer"}, patient_id={"type": "string", "role": "identifier"})
    frame = pl.DataFrame({"visit_id": ["1", "", "3"], "patient_id": ["a", "b", " "]})
    validated = validate_frame(frame, visits, subject="patient_id")
    assert told(validated) == [(2, "visit_id", "null", ""), (3, "patient_id", "null", "")]


def test_refused_rows_keep_what_could_be_read_and_the_text_of_what_could_not() -> None:
    refused = validate_frame(patients(age_years=["x", "200"]), PATIENTS).refused
    assert refused.select("_row", "age_years", UNREADABLE).rows() == [(1, None, "age_years=x"), (2, 200, None)]


def test_an_unknown_category_names_the_code_that_was_probably_meant() -> None:
    cures = validate_frame(patients(sex=["Female", "M", "9"]), PATIENTS).findings["cure"].to_list()
    assert ["'f'" in cures[0], "'m'" in cures[1], "'f'" in cures[2] or "'m'" in cures[2]] == [True, True, False]


def test_a_long_value_is_cut_in_the_finding() -> None:
    (value,) = validate_frame(patients(age_years=["x" * 1000]), PATIENTS).findings["value"]
    assert len(value) == LONGEST_VALUE


def test_missing_columns_are_named_before_anything_is_read() -> None:
    with pytest.raises(ValidationFailed, match="no column age_years, sex"):
        validate_frame(patients(age_years=["1"]).drop("age_years", "sex"), PATIENTS)


def test_undescribed_columns_are_left_out() -> None:
    validated = validate_frame(patients(age_years=["1"]).with_columns(pl.lit("?").alias("free text")), PATIENTS)
    assert validated.frame.columns == ["_row", *PATIENTS.columns]


HEIGHT = {"type": "number", "unit": "m", "range": [0.4, 2.5], "plausible": [1.2, 2.2]}


def test_a_height_in_centimetres_is_refused_and_the_cure_names_the_unit() -> None:
    described = table(patient_id={"type": "integer"}, height_m=HEIGHT)
    frame = pl.DataFrame({"patient_id": [1, 2, 3], "height_m": ["1.80", "180", "1800000"]})
    findings = validate_frame(frame, described).findings.sort("_row")
    assert findings["_row"].to_list() == [2, 3]
    assert ["recorded in cm" in cure for cure in findings["cure"]] == [True, False]


@pytest.mark.parametrize(
    ("name", "column", "value", "unit"),
    [
        ("height_cm", {"unit": "cm", "range": [40, 250]}, "1.8", "m"),
        ("weight_kg", {"unit": "kg", "range": [30, 150]}, "180", "pounds"),
        ("temperature_c", {"unit": "Cel", "range": [30, 43]}, "98.6", "degrees Fahrenheit"),
        ("cholesterol_mg_dl", {"unit": "mg/dL", "range": [50, 700]}, "5.2", "mmol/L"),
        ("glucose_mmol_l", {"unit": "mmol/L", "range": [2, 30]}, "99", "mg/dL"),
        ("ejection_fraction_pct", {"unit": "%", "range": [5, 90]}, "0.55", "proportions of 1"),
    ],
)
def test_common_mix_ups_of_units_are_recognised(name: str, column: dict[str, Any], value: str, unit: str) -> None:
    columns: dict[str, Any] = {name: {"type": "number", **column}}
    described = table(patient_id={"type": "integer"}, **columns)
    (cure,) = validate_frame(pl.DataFrame({"patient_id": [1], name: [value]}), described).findings["cure"]
    assert f"recorded in {unit}:" in cure


def test_a_concentration_of_an_unnamed_substance_has_no_unit_hint() -> None:
    column = Column.model_validate({"type": "number", "unit": "mg/dL", "description": "Some substance."})
    assert unit_mixups.candidates("value_mg_dl", column) == ()


@pytest.mark.parametrize("unit", ["m", "cm", "mm", "kg", "g", "Cel", "[degF]", "mm[Hg]", "kPa"])
def test_a_mix_up_and_its_inverse_cancel(unit: str) -> None:
    people = {name: name for name in ("cm", "m", "mm", "kg", "g", "kPa")}
    people |= {"degrees Celsius": "Cel", "degrees Fahrenheit": "[degF]", "mmHg": "mm[Hg]"}
    column = {"type": "number", "description": "A quantity."}
    for mixup in unit_mixups.candidates("value", Column.model_validate(column | {"unit": unit})):
        other = people.get(mixup.unit)
        if other is None:
            continue
        back = unit_mixups.candidates("value", Column.model_validate(column | {"unit": other}))
        for inverse in (m for m in back if people.get(m.unit) == unit):
            there = mixup.slope * 36.6 + mixup.intercept
            assert inverse.slope * there + inverse.intercept == pytest.approx(36.6, rel=1e-5)


def test_implausible_values_are_kept_and_counted_and_a_mix_up_of_units_is_told() -> None:
    height = {**HEIGHT, "unit": "cm", "range": None, "plausible": [120, 220]}
    described = table(patient_id={"type": "integer"}, height_cm=height)
    frame = pl.DataFrame({"patient_id": [1, 2, 3, 4], "height_cm": ["180", "1.8", "300", None]})
    validated = validate_frame(frame, described)
    assert validated.frame.height == 4
    assert validated.implausible == {"height_cm": 2}
    (((column, cure), number),) = validated.unit_hints.items()
    assert (column, number) == ("height_cm", 1)
    assert "recorded in m:" in cure


def test_identifiers_and_notes_are_confidential() -> None:
    described = table(patient_id={"type": "string", "role": "identifier"}, remark={"type": "string", "role": "note"})
    assert confidential(described) == {"patient_id", "remark"}


CELLS = st.one_of(
    st.none(),
    st.sampled_from(["", "0", "50", "200", "-1", "f", "m", "Male", "x", "120", "80", " 70 ", "1.5"]),
    st.text(max_size=4),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS), max_size=15))
def test_every_row_is_sound_or_refused_and_the_refused_are_those_with_findings(rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(PATIENTS.columns, pl.String), orient="row")
    validated = validate_frame(frame, PATIENTS)
    sound, refused = set(validated.frame["_row"]), set(validated.refused["_row"])
    assert sound | refused == set(range(1, len(rows) + 1))
    assert not sound & refused
    assert len(sound) + len(refused) == validated.frame.height + validated.refused.height
    assert refused == set(validated.findings["_row"])


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS), max_size=15), at=st.integers(0, 15))
def test_cutting_a_frame_in_two_changes_nothing(rows: list[tuple[Any, ...]], at: int) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(PATIENTS.columns, pl.String), orient="row")
    frame = frame.with_row_index("_row", offset=1)
    whole = validate_frame(frame, PATIENTS)
    parts = [validate_frame(part, PATIENTS) for part in (frame[:at], frame[at:])]
    assert pl.concat([part.frame for part in parts]).equals(whole.frame)
    order = ["_row", "column_name", "rule"]
    assert pl.concat([part.findings for part in parts]).sort(order).equals(whole.findings.sort(order))


CORRECTED = PATIENTS.model_copy(
    update={
        "corrections": (
            Correction(name="one", where={"patient_id": "P1", "sex": "f"}, put={"sex": "m"}, reason="The original."),
            Correction(name="grown", where={"age_years": 500}, put={"age_years": 50}, reason="A slip."),
        )
    }
)


def test_a_correction_changes_the_records_it_means_and_is_counted() -> None:
    found = validate_frame(patients(patient_id=["P0", "P1", "P2"], age_years=["500", "", "500"]), CORRECTED)
    assert found.frame["sex"].to_list() == ["f", "m", "f"]
    assert found.frame["age_years"].to_list() == [50, None, 50]  # before the range is held
    assert found.corrected == {"one": 1, "grown": 2}
    again = validate_frame(patients(patient_id=["P1"], sex=["m"]), CORRECTED)
    assert again.corrected == {"one": 0, "grown": 0}


def test_a_description_without_corrections_reads_as_before_there_were_any() -> None:
    assert "corrections" not in PATIENTS.model_dump(mode="json")
    assert [one["name"] for one in CORRECTED.model_dump(mode="json")["corrections"]] == ["one", "grown"]


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        ({"where": {"sexx": "f"}, "put": {"sex": "m"}}, "names column 'sexx'"),
        ({"where": {"sex": "f"}, "put": {"sex": "x"}}, "no such category"),
    ],
)
def test_a_correction_that_cannot_be_right_is_refused(correction: dict[str, Any], words: str) -> None:
    content = PATIENTS.model_dump(mode="json", by_alias=True)
    content["corrections"] = [{"name": "one", "reason": "None.", **correction}]
    with pytest.raises(ValueError, match=words):
        Table.model_validate(content)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("date", ["1899-12-31", "1900-01-01", "2024-12-31", "2025-01-01", "9999-12-31"]),
        (
            "datetime",
            [
                "1899-12-31T23:59",
                "1900-01-01T00:00",
                "2024-12-31T23:59:59.999999",
                "2025-01-01T00:00",
                "9999-12-31T00:00",
            ],
        ),
    ],
)
def test_dates_are_plausible_from_1900_to_today_and_refused_beyond_described_limits(
    kind: str, texts: list[str]
) -> None:
    key = {"type": "string", "role": "identifier"}
    frame = pl.DataFrame({"patient_id": list("abcde"), "born": texts})
    kept = validate_frame(frame, table(patient_id=key, born={"type": kind}))
    assert (kept.frame.height, kept.implausible) == (5, {"born": 2})
    limits = {"type": kind, "earliest": "1900-01-01", "latest": "2024-12-31"}
    held = validate_frame(frame, table(patient_id=key, born=limits))
    assert held.frame["patient_id"].to_list() == ["b", "c"]
    assert set(held.findings["rule"]) == {"range"}
    assert held.findings["reason"][0] == "outside 1900-01-01 to 2024-12-31"
    assert "`earliest` or `latest`" in held.findings["cure"][0]


def test_limits_of_days_need_a_date_and_two_digit_years_less_than_a_century() -> None:
    plain = {"description": "A column."}
    with pytest.raises(ValueError, match="earliest needs a date or datetime"):
        Column.model_validate({**plain, "type": "number", "earliest": "1900-01-01"})
    with pytest.raises(ValueError, match="is after latest"):
        Column.model_validate({**plain, "type": "date", "earliest": "2000-01-01", "latest": "1999-01-01"})
    century = {"earliest": "1900-01-01", "latest": "2024-01-01"}
    with pytest.raises(ValueError, match="two meanings"):
        Column.model_validate({**plain, "type": "date", "format": "%d.%m.%y", **century})
    assert Column.model_validate({**plain, "type": "date", "format": "%d.%m.%Y", **century}).latest is not None
    assert "latest" not in Column.model_validate({**plain, "type": "date"}).model_dump()


TEXTS = table(patient_id={"type": "string"}, note={"type": "string"})


def test_a_header_in_the_middle_of_joined_files_is_no_record() -> None:
    found = pl.DataFrame(
        {"_row": [1, 2, 3], "patient_id": ["P1", " patient_id", "note"], "note": ["a", "note", "patient_id"]}
    )
    checked = validate_frame(found, TEXTS)
    assert checked.frame["_row"].to_list() == [1, 3]
    assert checked.refused["_row"].to_list() == [2]
    (finding,) = checked.findings.to_dicts()
    assert (finding["_row"], finding["rule"], finding["value"]) == (2, "repeated_header", None)
    assert "files that were joined" in finding["cure"]


def test_a_table_of_one_column_may_hold_its_name_as_a_value() -> None:
    found = pl.DataFrame({"_row": [1], "patient_id": ["patient_id"]})
    assert validate_frame(found, table(patient_id={"type": "string"})).frame.height == 1
