"""Sheets and data sets of statistical packages: the values that the program that wrote them shows, and none lost."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat
import pytest

from assets_tests.sources.conftest import Load
from assets_tests.worlds.tables.workbook import write_workbook
from clinical_assets.foundation.errors import SourceError

MORNING = dt.datetime(2024, 1, 31, 10, 30)
ROWS: list[list[Any]] = [
    ["id", "creatinine", "born", "taken", "smokes", "note"],
    ["P1", 1.23456789012e-10, dt.date(1950, 5, 31), MORNING, True, "3"],
    [],
    ["P2", 12345678901, None, None, None, "#N/A"],
    ["P3", 3, dt.date(2024, 2, 29), None, False, "<0,5"],
]
WANTED = [
    ("P1", 1.23456789012e-10, dt.datetime(1950, 5, 31), MORNING, True, "3"),
    ("P2", 12345678901.0, None, None, None, "#N/A"),
    ("P3", 3.0, dt.datetime(2024, 2, 29), None, False, "<0,5"),
]


def test_a_sheet_is_read_with_the_types_of_its_cells(load: Load, tmp_path: Path) -> None:
    write_workbook(tmp_path / "lab.xlsx", {"Lab": ROWS})
    loaded = load(path="lab.xlsx")
    assert loaded.columns == ROWS[0]
    assert loaded.rows == WANTED
    assert (loaded.numbers, loaded.records) == ([1, 2, 3], 3)
    assert [file.name for file in loaded.files] == ["lab.xlsx"]
    assert loaded.files[0].bytes == (tmp_path / "lab.xlsx").stat().st_size


def test_sheet_and_header_row_are_those_of_the_description_and_are_asked_for(load: Load, tmp_path: Path) -> None:
    shifted = [[None, *row] for row in [["Ward 3, as of 1.2.2024"], [], *ROWS]]
    write_workbook(tmp_path / "lab.xlsx", {"Cover": [["x"]], "Lab": shifted})
    with pytest.raises(SourceError, match="has 2 sheets: Cover, Lab"):
        load(path="lab.xlsx")
    with pytest.raises(SourceError, match="has no sheet 'Labor'; it has Cover, Lab"):
        load(path="lab.xlsx", excel={"sheet": "Labor"})
    with pytest.raises(SourceError, match="the header seems to stand in row 3") as caught:
        load(path="lab.xlsx", excel={"sheet": "Lab"})
    assert caught.value.cure == "Set `excel: {header_row: 3}` in the source."
    loaded = load(path="lab.xlsx", excel={"sheet": "Lab", "header_row": 3})
    assert (loaded.columns, loaded.rows) == (ROWS[0], WANTED)


def test_two_columns_of_one_name_in_a_sheet_are_refused(load: Load, tmp_path: Path) -> None:
    write_workbook(tmp_path / "lab.xlsx", {"Lab": [["id", "date", "date"], ["a", 1, 2]]})
    with pytest.raises(SourceError, match="columns 2 and 3 are both called 'date'"):
        load(path="lab.xlsx")


def test_a_file_that_is_no_workbook_is_refused(load: Load) -> None:
    with pytest.raises(SourceError, match=r"lab\.xlsx cannot be opened as a workbook"):
        load(path="lab.xlsx", content="id,x\n1,2\n")


def test_a_workbook_that_is_called_text_says_its_format(load: Load, tmp_path: Path) -> None:
    write_workbook(tmp_path / "lab.csv", {"Lab": ROWS})
    with pytest.raises(SourceError, match="Excel workbook") as caught:
        load(path="lab.csv")
    assert "`format: excel`" in str(caught.value.cure)
    assert load(path="lab.csv", format="excel").rows == WANTED


DATA = pl.DataFrame(
    {
        "id": ["P1", "P2", "P3"],
        "creatinine": [0.9, None, 1.4],
        "sex": [1, 2, 9],
        "born": [dt.date(1950, 5, 31), None, dt.date(2024, 2, 29)],
        "taken": [MORNING, None, MORNING],
    }
)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("lab.sav", pyreadstat.write_sav),
        ("lab.dta", pyreadstat.write_dta),
        ("lab.xpt", pyreadstat.write_xport),
    ],
)
def test_data_sets_of_statistical_packages_are_read_as_codes_with_their_dates(
    load: Load, tmp_path: Path, name: str, write: Any
) -> None:
    labels = {} if name.endswith("xpt") else {"variable_value_labels": {"sex": {1: "male", 2: "female"}}}
    write(DATA, str(tmp_path / name), **labels)
    loaded = load(path=name)
    assert loaded.columns == DATA.columns
    assert loaded.rows == DATA.rows()
    assert loaded.records == 3


def test_codes_that_spss_calls_missing_are_missing(load: Load, tmp_path: Path) -> None:
    pyreadstat.write_sav(DATA, str(tmp_path / "lab.sav"), missing_ranges={"sex": [9]})
    assert [row[2] for row in load(path="lab.sav").rows] == [1.0, 2.0, None]


@pytest.mark.parametrize("name", ["lab.sav", "lab.dta", "lab.xpt", "lab.sas7bdat"])
def test_a_damaged_data_set_is_refused(load: Load, name: str) -> None:
    with pytest.raises(SourceError, match=rf"{name} cannot be read as"):
        load(path=name, content="id,x\n1,2\n")


def test_a_cell_whose_formula_failed_is_text_and_not_nothing(load: Load, tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["id", "x", "d"],
        ["a", 1.5, "#REF!"],
        [],
        ["b", "#DIV/0!", dt.date(2024, 2, 29)],
        ["c", 2],
    ]
    write_workbook(tmp_path / "lab.xlsx", {"Lab": [["", "", "Title"], *rows]})
    loaded = load(path="lab.xlsx", excel={"header_row": 2})
    assert [row[1] for row in loaded.rows] == ["1.5", "#DIV/0!", "2.0"]
    assert [row[2] and row[2][:10] for row in loaded.rows] == ["#REF!", "2024-02-29", None]


def test_an_error_that_no_reader_knows_is_named(load: Load, tmp_path: Path) -> None:
    write_workbook(tmp_path / "lab.xlsx", {"Lab": [["id", "x"], ["a", "#SPILL!"]]})
    with pytest.raises(SourceError, match=r"sheet 'Lab', cannot be read: .*#SPILL!"):
        load(path="lab.xlsx")
