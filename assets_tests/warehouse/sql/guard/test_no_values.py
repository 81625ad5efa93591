"""No message about a failing statement holds a value of a record, whatever function failed."""

from __future__ import annotations

import traceback
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets_tests.worlds.tables.sql_cohorts import one_table, project_of, validated
from clinical_assets.defs.resources import as_dagster_failure
from clinical_assets.foundation.errors import ClinicalAssetsError, SqlModelError, engine_words, without_foreign_words
from clinical_assets.warehouse.sql.guard.confined import write_result

SECRET = "Frau Geheim 7 wohnt hier"
PEOPLE = [(SECRET, 40, 70.5, True, "F", "", False, "", 1.0)]

FAILING = {
    "cast": "CAST(subject_id AS INTEGER)",
    "json": "CAST(json_extract(subject_id, '$.a') AS INTEGER)",
    "json text": "json_extract_string(subject_id, '$.a') IS NULL",
    "date": "date_part('year', strptime(subject_id, '%d.%m.%Y'))",
    "regular expression": "regexp_matches('a', subject_id || '(')",
    "number too large": "CAST(hash(subject_id) AS TINYINT)",
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_function_is_told_by_line_and_kind_without_the_value(tmp_path: Path, name: str) -> None:
    source = validated(one_table(), {"subjects": PEOPLE})
    sql = f"SELECT subject_id,\n  {FAILING[name]} AS x FROM {{{{ source('subjects') }}}}"
    compiled = project_of(tmp_path, {"features/m.sql": sql}).compile("m")
    with pytest.raises(dg.Failure) as caught, as_dagster_failure():
        write_result(source, "main.result", compiled)
    printed = "".join(traceback.format_exception(caught.value))
    assert "m.sql" in printed
    for word in (*SECRET.split()[:2], "wohnt", "hier"):
        assert word not in printed


def test_a_function_that_raises_what_the_author_likes_is_not_on_the_list(tmp_path: Path) -> None:
    sql = "SELECT CASE WHEN length(subject_id) > 3 THEN error(subject_id) END AS x FROM {{ source('subjects') }}"
    with pytest.raises(SqlModelError, match="calls error, which is not on the list"):
        project_of(tmp_path, {"features/m.sql": sql}).compile("m")


def test_words_of_the_statement_and_of_the_engine_stay() -> None:
    error = ValueError("Could not convert string 'Geheim 12345' to INT32 when casting from source column note")
    assert engine_words(error, known="CAST(note AS INTEGER)") == (
        "Could not convert string … to INT32 when … from … column note"
    )


def test_causes_end_where_they_leave_the_project() -> None:
    def fails() -> None:
        try:
            try:
                raise duckdb.ConversionException(SECRET)
            except duckdb.Error as error:
                raise SqlModelError("inner") from error
        except SqlModelError as error:
            raise ClinicalAssetsError("outer") from error

    with pytest.raises(ClinicalAssetsError) as caught:
        fails()
    printed = "".join(traceback.format_exception(without_foreign_words(caught.value)))
    assert "inner" in printed
    assert "outer" in printed
    assert SECRET not in printed


def test_an_unexpected_error_of_an_engine_is_told_by_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ClinicalAssetsError) as caught, as_dagster_failure():
        float(SECRET)
    printed = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "ValueError" in printed
    assert "Geheim" not in printed


def test_errors_without_records_pass_as_they_are() -> None:
    with pytest.raises(FileNotFoundError, match="no_such"), as_dagster_failure():
        Path("no_such").read_text()
    with pytest.raises(dg.DagsterInvariantViolationError), as_dagster_failure():
        raise dg.DagsterInvariantViolationError("dagster's own")
