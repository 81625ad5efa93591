"""Keys, unique columns and references, over whole tables."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.tables.trial_cohort import (
    SUBJECTS,
    VISITS,
    changed,
    cohort,
    findings,
    kept,
    sound,
    subjects,
    visits,
    warehouse_of,
)
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.validation.cross_row import check_references
from clinical_assets.warehouse.validation.validation import validate_connection

ONLY_SUBJECTS = cohort({"subjects": SUBJECTS})


def test_of_records_that_agree_in_everything_the_first_is_kept() -> None:
    row = ("a", "I-a", "50", "f", "2020-01-01")
    respelt = ("a", "I-a", "50.0", " f", "2020-01-01")
    connection = warehouse_of(subjects=subjects(row, ("b", None, "60", "m", None), row, respelt))
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [1, 2]
    assert findings(connection) == [("subjects", row, "patient_id", "duplicate_row") for row in (3, 4)]


def test_records_that_contradict_each_other_are_all_refused_and_the_reason_names_the_columns() -> None:
    connection = warehouse_of(
        subjects=subjects(
            ("a", "I-a", "50", "f", "2020-01-01"),
            ("a", "I-a", "51", None, "2020-01-01"),
            ("a", "I-a", "51", None, "2020-01-01"),
            ("b", "I-b", "60", "m", "2020-01-01"),
        )
    )
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [4]
    assert findings(connection) == [("subjects", row, "patient_id", "duplicate_key") for row in (1, 2, 3)]
    (reason,) = connection.execute("SELECT DISTINCT reason FROM quarantine.findings").fetchone() or ("",)
    assert reason == "one of 3 records with the same key that contradict each other in age_years, sex"


def test_a_second_fault_of_one_record_does_not_make_the_other_one_true() -> None:
    connection = warehouse_of(
        subjects=subjects(("a", None, "50", "f", None), ("a", None, "999", "f", None), ("b", None, "50", "f", None))
    )
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [3]
    assert ("subjects", 1, "patient_id", "duplicate_key") in findings(connection)


def test_an_unreadable_value_contradicts_a_missing_one() -> None:
    connection = warehouse_of(
        subjects=subjects(("a", None, "fifty", "f", None), ("a", None, None, "f", None), ("b", None, "50", "f", None))
    )
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [3]
    assert sorted(rule for *_, rule in findings(connection)) == ["duplicate_key", "duplicate_key", "type"]


def test_records_without_a_key_are_not_copies_of_each_other() -> None:
    connection = warehouse_of(subjects=subjects((None, None, "50", "f", None), (None, None, "50", "f", None)))
    validate_connection(ONLY_SUBJECTS, connection)
    assert findings(connection) == [("subjects", row, "patient_id", "null") for row in (1, 2)]


def test_a_key_of_several_columns_is_judged_as_a_whole() -> None:
    connection = warehouse_of(
        subjects=sound("a", "b"),
        visits=visits(("a", "1", "1", "70"), ("a", "2", "8", "70"), ("b", "1", "1", "80"), ("b", "1", "1", "81")),
    )
    validate_connection(cohort(), connection)
    assert kept(connection, "visits") == [1, 2]
    (value,) = connection.execute("SELECT value FROM quarantine.findings WHERE _row = 3").fetchone() or ("",)
    assert value == "patient_id=b, visit_number=1"


def test_a_value_that_must_be_unique_is_refused_in_every_record_that_shares_it() -> None:
    connection = warehouse_of(
        subjects=subjects(
            ("a", "1", "50", "f", None),
            ("b", "1", "60", "f", None),
            ("c", "2", "70", "f", None),
            ("d", None, "50", "f", None),
            ("e", None, "50", "f", None),
        )
    )
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [3, 4, 5]
    assert findings(connection) == [("subjects", row, "insurance_id", "unique") for row in (1, 2)]


def test_an_exact_copy_does_not_break_the_uniqueness_of_the_record_that_is_kept() -> None:
    row = ("a", "1", "50", "f", None)
    connection = warehouse_of(subjects=subjects(row, row))
    validate_connection(ONLY_SUBJECTS, connection)
    assert kept(connection, "subjects") == [1]
    assert findings(connection) == [("subjects", 2, "patient_id", "duplicate_row")]


def test_a_visit_of_nobody_is_refused_and_one_of_a_refused_patient_says_so() -> None:
    connection = warehouse_of(
        subjects=subjects(("a", "I-a", "50", "f", "2020-01-01"), ("b", "I-b", "999", "f", "2020-01-01")),
        visits=visits(("a", "1", "1", "70"), ("b", "1", "1", "70"), ("zz", "1", "1", "70")),
    )
    validate_connection(cohort(), connection)
    assert kept(connection, "visits") == [1]
    reasons = connection.execute(
        "SELECT _row, reason FROM quarantine.findings WHERE rule = 'reference' ORDER BY _row"
    ).fetchall()
    assert reasons == [
        (2, "the record of subjects that it refers to was refused itself"),
        (3, "refers to a record that subjects does not have"),
    ]


def test_a_visit_that_is_refused_anyway_also_learns_that_its_patient_does_not_exist() -> None:
    connection = warehouse_of(subjects=sound("a"), visits=visits(("zz", "1", "1", "7000"), ("a", "1", "1", "70")))
    validate_connection(cohort(), connection)
    assert findings(connection) == [("visits", 1, "patient_id", "reference"), ("visits", 1, "weight_kg", "range")]


def test_refusing_goes_on_from_table_to_table_until_nothing_changes() -> None:
    def child(name: str, parent: str) -> dict[str, Any]:
        return changed(
            VISITS,
            references=[{"columns": ["patient_id", "visit_number"], "table": parent}],
            source={"kind": "file", "path": f"{name}.csv"},
        )

    # Described from the last to the first, so that one pass in the order of the description is not enough.
    tables = {"scans": child("scans", "samples"), "samples": child("samples", "visits")}
    spec = cohort({**tables, "visits": VISITS, "subjects": SUBJECTS})
    chain = visits(("a", "1", "1", "70"), ("b", "1", "1", "70"))
    connection = warehouse_of(
        subjects=subjects(("a", "I-a", "50", "f", "2020-01-01"), ("b", "I-b", "999", "f", "2020-01-01")),
        visits=chain,
        samples=chain,
        scans=chain,
    )
    validate_connection(spec, connection)
    assert {name: kept(connection, name) for name in spec.tables} == {name: [1] for name in spec.tables}


def test_a_table_may_refer_to_itself() -> None:
    previous = {"type": "integer", "role": "ignored", "description": "Previous."}
    columns = {**VISITS["columns"], "previous_visit": previous}
    reference = {"columns": ["patient_id", "previous_visit"], "table": "visits", "to": ["patient_id", "visit_number"]}
    spec = cohort({"subjects": SUBJECTS, "visits": changed(VISITS, columns=columns, references=[reference])})
    chain = visits(("a", "1", "1", "700"), ("a", "2", "2", "70"), ("a", "3", "3", "70"), ("b", "1", "1", "70"))
    frame = chain.with_columns(previous_visit=chain["visit_number"].replace_strict({"1": None, "2": "1", "3": "2"}))
    connection = warehouse_of(subjects=sound("a", "b"), visits=frame)
    validate_connection(spec, connection)
    assert kept(connection, "visits") == [4]


def test_a_reference_with_a_null_in_it_refers_to_nothing_and_passes() -> None:
    columns = {**SUBJECTS["columns"], "mother_id": {"type": "string", "role": "identifier", "description": "Mother."}}
    reference = {"columns": ["mother_id"], "table": "subjects", "to": ["patient_id"]}
    spec = cohort({"subjects": changed(SUBJECTS, columns=columns, references=[reference])})
    frame = sound("a", "b", "c").with_columns(mother_id=pl.Series([None, "a", "zz"]))
    connection = warehouse_of(subjects=frame)
    validate_connection(spec, connection)
    assert kept(connection, "subjects") == [1, 2]


def test_a_reference_between_columns_of_different_types_is_refused_with_both_names() -> None:
    columns = {**VISITS["columns"], "patient_id": {"type": "integer", "role": "identifier", "description": "Patient."}}
    spec = cohort({"subjects": SUBJECTS, "visits": changed(VISITS, columns=columns)})
    with pytest.raises(SpecError, match=r"visits.patient_id is described as integer.* subjects.patient_id"):
        check_references(spec)


def test_columns_may_be_called_like_the_words_of_a_query() -> None:
    names = ("first", "copies", "records", "name", "refused", "rows", "table_name")
    columns = {name: {"type": "string", "role": "identifier", "unique": True, "description": name} for name in names}
    reference = {"columns": ["refused", "records"], "table": "subjects", "to": ["first", "copies"]}
    described = changed(SUBJECTS, key=["first", "copies"], references=[reference], subject="first")
    described["columns"] = {**columns, "admitted_date": SUBJECTS["columns"]["admitted_date"]}
    spec = cohort({"subjects": described})
    row = dict.fromkeys(names, "1") | {"admitted_date": None}
    frame = pl.DataFrame([row, row, row | {"rows": "2"}, dict.fromkeys(names, "3") | {"refused": "9"}])
    connection = warehouse_of(subjects=frame.with_row_index("_row", offset=1))
    _, failures = validate_connection(spec, connection)
    assert [failure.table for failure in failures] == ["subjects"]
    assert {rule for *_, rule in findings(connection)} == {"duplicate_key", "reference"}
