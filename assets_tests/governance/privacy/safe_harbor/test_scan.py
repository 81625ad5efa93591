"""Safe Harbor: each identifier class is recognised, laboratory numbers are not, and findings hold no values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets_tests.worlds.tables.shipped import build_cohort, own_settings, representatives
from clinical_assets.governance.privacy.safe_harbor.deidentify import scan_cohort
from clinical_assets.governance.privacy.safe_harbor.rules import SPARSE_ZIP3
from clinical_assets.governance.privacy.safe_harbor.scan import IdentifierFinding, scan

ROWS = 60


def scan_frame(
    frame: pl.DataFrame, *, name: str, declared: Collection[str] = (), personal: bool = True
) -> tuple[IdentifierFinding, ...]:
    """Findings in a frame."""
    with duckdb.connect(
        config={"enable_external_access": "false", "python_enable_replacements": "false"}
    ) as connection:
        connection.register("scanned_frame", frame.to_arrow())
        return scan(connection, "scanned_frame", name=name, declared=declared, personal=personal)


def many(pattern: str) -> list[str]:
    return [pattern.format(number) for number in range(10, 10 + ROWS)]


def letters(number: int) -> str:
    return chr(97 + number % 26) + chr(97 + number // 26)


IDENTIFYING = [
    ("PatientName", ["Anna Berg"], "names"),
    ("who", [f"Sm{letters(number)}th, John" for number in range(ROWS)], "names"),
    ("remark", ["seen by Dr. House"], "names"),
    ("city", ["Boston"], "geography"),
    ("zip", ["02101"], "geography"),
    ("zip_code", [2101.0], "geography"),
    ("zip3", ["036"], "geography"),
    ("residence", ["12 Long Hill Road"], "geography"),
    ("home_latitude_deg", [42.3601], "geography"),
    ("admitted", [dt.date(2020, 1, 2)], "dates and ages"),
    ("visit", ["2020-01-02"], "dates and ages"),
    ("visit", ["2-Jan-2020"], "dates and ages"),
    ("visit", ["1/2/20"], "dates and ages"),
    ("note", ["came on 2020-01-02 by bus"], "dates and ages"),
    ("birth_date", [19500102], "dates and ages"),
    ("age_years", [90.0], "dates and ages"),
    ("age_at_visit_months", [1100.0], "dates and ages"),
    ("birth_year", [1911], "dates and ages"),
    ("note", ["call (617) 555-0133"], "telephone"),
    ("contact", ["+49 351 1234567"], "telephone"),
    ("mobile", [6175550133], "telephone"),
    ("fax", ["6175550133"], "fax"),
    ("note", ["write to a.b@ward.example.org"], "e-mail"),
    ("note", ["SSN 078-05-1120"], "social security number"),
    ("mrn", list(range(ROWS)), "medical record number"),
    ("note", ["MRN: 1234567"], "medical record number"),
    ("insurance", many("X{}"), "health plan number"),
    ("plan", ["1EG4-TE5-MK73"], "health plan number"),
    ("account_number", many("{}"), "account number"),
    ("paid_from", ["DE89370400440532013000"], "account number"),
    ("driver_licence_number", many("L{}"), "licence number"),
    ("car", many("1HGCM82633A0043{}"), "vehicle"),
    ("device_serial", many("{}"), "device"),
    ("tag", ["00:1B:44:11:3A:B7"], "device"),
    ("note", ["see https://ward.example.org/7"], "url"),
    ("login_from", ["192.168.1.7"], "ip address"),
    ("login_from", ["2001:db8:0:0:0:0:2:1"], "ip address"),
    ("fingerprint", ["loop"], "biometric"),
    ("scan", [b"\xff\xd8\xff\xe0"], "photograph"),
    ("code", many("AB-000{}"), "other unique code"),
    ("encounter_id", list(range(ROWS)), "other unique code"),
]


@pytest.mark.parametrize(("column", "values", "expected"), IDENTIFYING, ids=lambda value: str(value)[:20])
def test_each_identifier_class_is_recognised(column: str, values: list[object], expected: str) -> None:
    found = scan_frame(pl.DataFrame({column: values}, strict=False), name="t")

    assert expected in {finding.identifier_class for finding in found}
    assert {finding.column for finding in found} == {column}
    assert all(finding.rows and finding.example_rows and finding.cure for finding in found)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("platelets_per_ul", [12345.0, 2101.0, 90210.0]),
        ("ferritin", [str(number) for number in range(12345, 12405)]),
        ("creatine_kinase_u_l", list(range(10_000, 10_060))),
        ("tumor_stage", [95.0]),
        ("dosage_mg", [100.0]),
        ("days_since_birth_of_protocol", [120.0]),
        ("age_years", [89.0, 18.0]),
        ("age_months", [90.0]),
        ("blood_pressure", ["120/80", "95/60"]),
        ("zip3", ["021", "000"]),
        ("state", ["MA"]),
        ("visit", ["WEEK 2", "UNSCHEDULED 3.1"]),
        ("ratio", ["1.5", "10.25"]),
        ("year", [2001, 1999]),
        ("term", ["APPLICATION SITE PRURITUS"]),
        ("icd10", ["I63.9", "C50"]),
        ("subject_code", [f"p1_{number:032x}" for number in range(ROWS)]),
        ("insurance", ["statutory", "private"] * 30),
        ("titre", ["1:320"]),
        ("gene", ["TP53", "BRCA1"]),
        ("risk", [0.123456789, 0.5]),
        ("sequence", ["ACGTACGTACGTACGTA"] * ROWS),
    ],
)
def test_clinical_values_are_no_identifiers(column: str, values: list[object]) -> None:
    assert scan_frame(pl.DataFrame({column: values}), name="t") == ()


@pytest.mark.parametrize("prefix", SPARSE_ZIP3)
def test_the_first_three_digits_of_a_small_area_are_named_as_text_and_as_number(prefix: str) -> None:
    for value in (prefix, int(prefix)):
        (found,) = scan_frame(pl.DataFrame({"zip3": [value]}), name="t")
        assert found.rule == "first three digits of a ZIP code of a small area"


def test_a_finding_names_rows_by_number_and_never_holds_a_value() -> None:
    values = ["nothing", "write to secret.name@ward.example.org", "nothing", "secret.name@ward.example.org"]
    frame = pl.DataFrame({"_row": [11, 12, 13, 14], "note": values})

    (found,) = scan_frame(frame, name="raw.notes")

    assert found == IdentifierFinding("raw.notes", "note", "e-mail", "e-mail address", 2, (12, 14), found.cure)
    assert "secret" not in str(asdict(found))


def test_dates_of_a_table_without_persons_are_no_dates_of_patients() -> None:
    frame = pl.DataFrame({"trained_at": [dt.datetime(2024, 1, 1)], "contact": ["a@b.org"]})

    assert [finding.column for finding in scan_frame(frame, name="t", personal=False)] == ["contact"]


def test_declared_columns_are_left_out() -> None:
    frame = pl.DataFrame({"patient_id": list(range(ROWS))})

    assert scan_frame(frame, name="t", declared=["patient_id"]) == ()
    assert len(scan_frame(frame, name="t")) == 1


def test_a_table_of_many_columns_is_judged_column_by_column() -> None:
    with duckdb.connect() as connection:
        names = ", ".join(f"'a@b{number}.org' AS c{number}" for number in range(70))
        connection.execute(f"CREATE TABLE wide AS SELECT {names}")

        assert len(scan(connection, "wide")) == 70


@pytest.mark.parametrize("cohort", representatives())
def test_features_of_shipped_cohorts_hold_no_identifier_but_true_ages_over_89(cohort: str, tmp_path: Path) -> None:
    built = build_cohort(cohort, own_settings(tmp_path))

    found = scan_cohort(built.spec, settings=built.warehouse.settings)

    ages = [name for name in built.build.feature_columns if "age" in name.split("_") and name.endswith("years")]
    old = {name for name in ages if built.query(f'SELECT max("{name}") FROM model.features').item() >= 90}
    assert {(finding.rule, finding.column) for finding in found} == {("age over 89", name) for name in old}
