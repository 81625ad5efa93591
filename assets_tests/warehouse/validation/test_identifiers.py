"""Identifiers as other programs leave them: no two people become one, and none becomes two, in tables or in erasure."""

from __future__ import annotations

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.warehouse.validation.test_typing_records import outcome, read
from clinical_assets.warehouse.store.sql_text import BLANKS, literal
from clinical_assets.warehouse.validation.erased_subjects import subject_text


def test_an_identifier_that_a_spreadsheet_rounded_is_refused_with_its_cure() -> None:
    typed = read(
        ["1.23457E+11", "4,5E+12", "2E+15", "123456789012", "E12", "1.5", "3E4"], type="string", role="identifier"
    )
    values, unread, _ = outcome(typed)
    assert values == [None, None, None, "123456789012", "E12", "1.5", "3E4"]
    assert unread == ["1.23457E+11", "4,5E+12", "2E+15"]
    (findings,) = typed.findings
    assert findings["reason"][0] == "an identifier that was kept as a number and has lost digits"
    assert "Export it again as text" in findings["cure"][0]
    # What names nobody is a text like any other.
    assert outcome(read(["1.23457E+11"], type="string"))[0] == ["1.23457E+11"]


def test_an_identifier_of_more_digits_than_a_cell_keeps_is_refused() -> None:
    cells = [12.0, 123456789012345.0, 1234567890123456.0, 1e17]
    values, unread, _ = outcome(read(cells, type="string", role="identifier"))
    assert values == ["12", "123456789012345", None, None]
    assert len(unread) == 2
    assert outcome(read([1234567890123456], type="string", role="identifier"))[0] == ["1234567890123456"]


@given(
    core=st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True),
    around=st.tuples(st.text(BLANKS, max_size=4), st.text(BLANKS, max_size=4)),
)
def test_what_nobody_sees_around_a_value_makes_no_other_person_in_tables_or_in_erasure(
    core: str, around: tuple[str, str]
) -> None:
    written = around[0] + core + around[1]
    assert outcome(read([written], type="string", role="identifier"))[0] == [core]
    statement = subject_text(literal(written), integer=False)
    assert duckdb.sql(f"SELECT {statement}").fetchone() == (core,)


def test_an_identifier_that_was_written_as_a_formula_is_the_text_inside_in_tables_and_in_erasure() -> None:
    written = ['="0012"', ' ="A-7" ', '="1"x', "=1+1"]
    assert outcome(read(written, type="string", role="identifier"))[0] == ["0012", "A-7", '="1"x', "=1+1"]
    found = [duckdb.sql(f"SELECT {subject_text(literal(each), integer=False)}").fetchone() for each in written]
    assert found == [("0012",), ("A-7",), ('="1"x',), ("=1+1",)]
    assert outcome(read(['="0012"'], type="string"))[0] == ['="0012"']


def test_invisible_characters_inside_a_value_stay() -> None:
    assert outcome(read(["a\u200bb"], type="string"))[0] == ["a\u200bb"]


def test_numbers_between_invisible_characters_are_numbers() -> None:
    assert outcome(read(["\ufeff1.5", "2\u200b", "\u20613"], type="number"))[0][:2] == [1.5, 2.0]
