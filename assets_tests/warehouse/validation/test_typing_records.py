"""From values as found to described types: every value is read, missing, or told."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SpecError
from clinical_assets.warehouse.validation.conversions import check_format
from clinical_assets.warehouse.validation.typing_records import Typed, type_records

MORNING = dt.datetime(2020, 1, 5, 4)


def table_of(*, decimal: str = ".", **columns: dict[str, Any]) -> Table:
    described = {name: {"description": "A column.", **column} for name, column in columns.items()}
    source = {"kind": "file", "path": "a.csv", "csv": {"decimal": decimal}}
    return Table.model_validate(
        {"description": "A table.", "source": source, "key": [next(iter(columns))], "columns": described}
    )


def read(
    values: list[Any], *, dtype: Any = None, decimal: str = ".", timezone: str | None = None, **column: Any
) -> Typed:
    frame = pl.DataFrame({"_row": range(1, len(values) + 1), "value": pl.Series(values, dtype=dtype)})
    return type_records(frame, table_of(decimal=decimal, value=column), table_name="t", timezone=timezone)


def outcome(typed: Typed) -> tuple[list[Any], list[str | None], int]:
    """Values, texts that could not be read, and how many were made missing."""
    unread = pl.concat(typed.findings)["value"].to_list() if typed.findings else []
    return typed.frame["value"].to_list(), unread, typed.missing_made.get("value", 0)


def test_numbers_are_trimmed_and_what_is_no_finite_number_is_told() -> None:
    values, unread, made = outcome(read([" 1.5", "2", "1e3", "", None, "inf", "nan", "1,5", "12 mg"], type="number"))
    assert values == [1.5, 2.0, 1000.0, None, None, None, None, None, None]
    assert unread == ["inf", "nan", "1,5", "12 mg"]
    assert made == 0


def test_integers_must_be_whole_however_they_are_written() -> None:
    values, unread, _ = outcome(read(["3", "3.0", "3e0", "3.5", "-7", "9007199254740993.0"], type="integer"))
    assert values == [3, 3, 3, None, -7, None]
    assert unread == ["3.5", "9007199254740993.0"]


def test_an_integer_beyond_the_exact_floats_keeps_every_digit() -> None:
    assert outcome(read(["9007199254740993"], type="integer"))[0] == [9007199254740993]


def test_a_decimal_comma_is_read_where_the_dialect_says_so_and_a_point_is_refused_there() -> None:
    values, unread, _ = outcome(read(["1,5", "2", "1.234", "1.234,5", "1,2,3"], type="number", decimal=","))
    assert values == [1.5, 2.0, None, None, None]
    assert unread == ["1.234", "1.234,5", "1,2,3"]


def test_a_decimal_comma_without_a_dialect_is_a_finding_whose_cure_names_the_dialect() -> None:
    (finding,) = read(["1,5"], type="number").findings
    assert "decimal: ','" in finding["cure"].item()


def test_values_that_stand_for_missing_become_null_and_are_counted_and_empty_cells_are_not() -> None:
    values, unread, made = outcome(read(["0", "0.0", " N/A", "", "5", None], type="number", missing=[0, "N/A"]))
    assert (values, unread, made) == ([None, None, None, None, 5.0, None], [], 3)


def test_a_missing_value_written_as_text_also_stands_for_the_same_number() -> None:
    assert outcome(read([-9, 4], type="integer", missing=["-9"])) == ([None, 4], [], 1)


def test_missing_dates_are_known_by_text_and_by_value() -> None:
    column: dict[str, Any] = {"type": "date", "missing": ["9999-12-31", "unk"]}
    assert outcome(read(["9999-12-31", "unk", "2020-01-05"], **column)) == ([None, None, dt.date(2020, 1, 5)], [], 2)
    assert outcome(read([dt.date(9999, 12, 31)], **column)) == ([None], [], 1)


@pytest.mark.parametrize(
    "values",
    [["1", "0", "TRUE", "False", "yes", " n", "1.0"], [1, 0, 1, 0, 1, 0, 1], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]],
)
def test_booleans_are_read_from_words_and_from_zero_and_one(values: list[Any]) -> None:
    read_values, unread, _ = outcome(read(values, type="boolean"))
    assert read_values == [True, False, True, False, True, False, True]
    assert unread == []


def test_own_words_for_true_and_false_replace_the_usual_ones() -> None:
    typed = read(["ja", "NEIN", "yes"], type="boolean", true_values=["ja"], false_values=["nein"])
    assert outcome(typed) == ([True, False, None], ["yes"], 0)


def test_a_boolean_may_have_a_code_for_missing_in_text_and_in_numbers() -> None:
    assert outcome(read(["1", "9"], type="boolean", missing=[9])) == ([True, None], [], 1)
    numbers = read([1.0, 9.0, math.nan, 7.0], type="boolean", missing=[9])
    assert outcome(numbers) == ([True, None, None, None], ["7.0"], 2)


def test_dates_are_iso_or_of_the_given_format_and_never_of_two_digit_years() -> None:
    values, unread, _ = outcome(
        read(["2020-01-05", "2020-01-05T23:59", "2020-02-30", "20-01-05", "2020-01", "05.01.2020"], type="date")
    )
    assert values == [dt.date(2020, 1, 5)] * 2 + [None] * 4
    assert unread == ["2020-02-30", "20-01-05", "2020-01", "05.01.2020"]
    assert outcome(read(["05.01.2020", "2020-01-05"], type="date", format="%d.%m.%Y")) == (
        [dt.date(2020, 1, 5), None],
        ["2020-01-05"],
        0,
    )
    assert outcome(read(["05JAN2020"], type="date", format="%d%b%Y"))[0] == [dt.date(2020, 1, 5)]


def test_datetimes_need_a_time_of_day_and_an_offset_is_turned_into_utc() -> None:
    texts = [
        "2020-01-05 10:00:00",
        "2020-01-05T10:00",
        "2020-01-05T10:00:00.5+02:00",
        "2020-01-05T10:00Z",
        "2020-01-05",
    ]
    values, unread, _ = outcome(read(texts, type="datetime"))
    ten = dt.datetime(2020, 1, 5, 10)
    assert values == [ten, ten, dt.datetime(2020, 1, 5, 8, 0, 0, 500_000), ten, None]
    assert unread == ["2020-01-05"]


@pytest.mark.parametrize(
    ("values", "dtype", "column", "expected"),
    [
        ([1.0, 2.5], None, {"type": "string"}, ["1", "2.5"]),
        ([1, 2], None, {"type": "string"}, ["1", "2"]),
        ([True, False], None, {"type": "integer"}, [1, 0]),
        ([Decimal("1.00")], None, {"type": "integer"}, [1]),
        ([dt.datetime(2020, 1, 5, 4)], None, {"type": "date"}, [dt.date(2020, 1, 5)]),
        ([dt.date(2020, 1, 5)], None, {"type": "string"}, ["2020-01-05"]),
        (["a", None], pl.Categorical, {"type": "string"}, ["a", None]),
        ([None, None], pl.Null, {"type": "number"}, [None, None]),
        ([MORNING], pl.Datetime("ns", "Asia/Tokyo"), {"type": "datetime"}, [MORNING]),
    ],
)
def test_columns_that_are_typed_already_keep_their_meaning(
    values: list[Any], dtype: Any, column: dict[str, Any], expected: list[Any]
) -> None:
    assert outcome(read(values, dtype=dtype, **column)) == (expected, [], 0)


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ([dt.date(2020, 1, 5)], None, "datetime"),
        ([dt.date(2020, 1, 5)], None, "number"),
        ([20200105], None, "date"),
        ([1.5], None, "integer"),
        ([math.inf], None, "number"),
        ([2**64 - 1], pl.UInt64, "integer"),
        ([[1, 2]], None, "number"),
        ([b"x"], None, "string"),
    ],
)
def test_a_value_of_another_kind_is_a_finding_and_never_a_silent_null(values: list[Any], dtype: Any, kind: str) -> None:
    typed = read(values, dtype=dtype, type=kind)
    assert typed.frame["value"].to_list() == [None]
    assert [finding.height for finding in typed.findings] == [1]


def test_nan_in_a_column_of_floats_is_missing_and_counted() -> None:
    assert outcome(read([math.nan, 1.0], type="number")) == ([None, 1.0], [], 1)


def test_a_column_without_any_value_stays_empty_in_the_described_type() -> None:
    for values, dtype in (([None, None], pl.Null), (["", " "], None), ([None, None], pl.String)):
        typed = read(values, dtype=dtype, type="date")
        assert typed.frame.schema["value"] == pl.Date
        assert outcome(typed) == ([None, None], [], 0)


def test_an_empty_frame_gets_the_described_types() -> None:
    typed = read([], dtype=pl.String, type="boolean")
    assert typed.frame.schema == pl.Schema({"_row": pl.Int64, "value": pl.Boolean})


def test_findings_carry_the_row_number_of_the_record_and_not_its_position() -> None:
    frame = pl.DataFrame({"_row": [70, 80, 90], "chol": ["1", "high", "3"]})
    (finding,) = type_records(frame, table_of(chol={"type": "number"}), table_name="subjects").findings
    assert finding.row(0, named=True) | {"cure": ""} == {
        "table_name": "subjects",
        "_row": 80,
        "column_name": "chol",
        "rule": "type",
        "value": "high",
        "reason": "not a finite number",
        "cure": "",
    }


def test_columns_are_found_under_the_name_of_the_source() -> None:
    frame = pl.DataFrame({"_row": [1], "CHOL (mg)": ["233"]})
    table = table_of(cholesterol_mg_dl={"type": "number", "from": "CHOL (mg)"})
    assert type_records(frame, table, table_name="t").frame["cholesterol_mg_dl"].to_list() == [233.0]


KINDS = ("integer", "number", "string", "boolean", "date", "datetime")
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.sampled_from(["", " ", "0", "1", "yes", "-9", " -9 ", "N/A", "1.0", "1,5", "2020-01-05T10:00", "inf"]),
    st.integers().map(str),
    st.floats().map(str),
    st.dates().map(str),
)


@settings(max_examples=60)
@given(kind=st.sampled_from(KINDS), values=st.lists(TEXTS, max_size=12), decimal=st.sampled_from([".", ","]))
def test_every_cell_is_either_read_or_empty_or_made_missing_or_told(
    kind: str, values: list[str | None], decimal: str
) -> None:
    typed = read(values, dtype=pl.String, decimal=decimal, type=kind, missing=[-9, "N/A"])
    texts = pl.Series(values, dtype=pl.String).str.strip_chars()
    empty = int((texts.is_null() | (texts == "")).sum())
    present = typed.frame["value"].len() - typed.frame["value"].null_count()
    told = sum(finding.height for finding in typed.findings)
    assert present + empty + told + typed.missing_made.get("value", 0) == len(values)
    if typed.frame.schema["value"].is_float():
        assert typed.frame["value"].is_finite().all()


@settings(max_examples=60)
@given(
    st.one_of(
        st.tuples(st.just("integer"), st.lists(st.integers(-(2**63), 2**63 - 1))),
        st.tuples(st.just("number"), st.lists(st.floats(allow_nan=False, allow_infinity=False))),
        st.tuples(st.just("boolean"), st.lists(st.booleans())),
        st.tuples(st.just("date"), st.lists(st.dates(min_value=dt.date(1000, 1, 1)))),
        st.tuples(st.just("datetime"), st.lists(st.datetimes(min_value=dt.datetime(1000, 1, 1)))),
    )
)
def test_what_is_written_as_text_is_read_back_unchanged(case: tuple[str, list[Any]]) -> None:
    kind, values = case
    texts = [value.isoformat() if isinstance(value, dt.date) else repr(value) for value in values]
    assert outcome(read(texts, dtype=pl.String, type=kind)) == (values, [], 0)


SPELT = ["2024-06-01T11:00:00+02:00", "2024-06-01 11:00+0200", "2024-06-01T11:00:00+02", "2024-06-01 09:00:00 UTC"]


@pytest.mark.parametrize(("zone", "hour"), [(None, 9), ("Europe/Berlin", 11), ("UTC", 9), ("America/New_York", 5)])
def test_every_way_to_write_an_offset_is_one_moment_on_the_clock_of_the_cohort(zone: str | None, hour: int) -> None:
    typed = read([*SPELT, "2024-06-01T09:00Z", "2024-06-01T10:00"], type="datetime", timezone=zone)
    assert outcome(typed)[0] == [dt.datetime(2024, 6, 1, hour)] * 5 + [dt.datetime(2024, 6, 1, 10)]
    assert (typed.clocks["value"].zoned, typed.clocks["value"].bare) == (5, 1)


@pytest.mark.parametrize("offset", ["+0100", "+01:00", "+01"])
def test_a_format_with_an_offset_is_read(offset: str) -> None:
    typed = read([f"03.02.2024 10:15 {offset}"], type="datetime", format="%d.%m.%Y %H:%M %z")
    assert outcome(typed) == ([dt.datetime(2024, 2, 3, 9, 15)], [], 0)
    assert typed.clocks["value"].zoned == 1
    day = read([f"03.02.2024 00:15 {offset}"], type="date", format="%d.%m.%Y %H:%M %z")
    assert outcome(day) == ([dt.date(2024, 2, 3)], [], 0)


def test_a_moment_with_a_zone_is_a_day_on_the_clock_of_the_cohort_and_counted_without_one() -> None:
    midnight = pl.Series([dt.datetime(2024, 5, 31, 22)]).dt.replace_time_zone("UTC")
    typed = read(midnight.to_list(), dtype=midnight.dtype, type="date", timezone="Europe/Berlin")
    assert outcome(typed)[0] == [dt.date(2024, 6, 1)]
    assert read(midnight.to_list(), dtype=midnight.dtype, type="date").clocks["value"].undated == 1
    plain = pl.Series([dt.datetime(2024, 6, 1)]).dt.replace_time_zone("UTC")
    assert read(plain.to_list(), dtype=plain.dtype, type="date").clocks["value"].undated == 0


def test_a_year_of_two_digits_is_never_in_the_future_and_has_its_century_from_the_limits() -> None:
    texts = ["12.03.45", "12.03.99", "29.02.24", "01.02.51"]
    free = read(texts, type="date", format="%d.%m.%y")
    assert outcome(free) == ([None, dt.date(1999, 3, 12), dt.date(2024, 2, 29), None], ["12.03.45", "01.02.51"], 0)
    assert "`earliest` and `latest`" in pl.concat(free.findings)["cure"][0]
    limits = {"earliest": "1925-01-01", "latest": "2024-12-31"}
    assert [day.year for day in outcome(read(texts, type="date", format="%d.%m.%y", **limits))[0]] == [
        1945,
        1999,
        2024,
        1951,
    ]
    births = {"earliest": "1900-01-01", "latest": "1990-12-31"}
    assert [day.year for day in outcome(read(texts[:3], type="date", format="%d.%m.%y", **births))[0]] == [
        1945,
        1899,
        1924,
    ]


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_an_infinite_time_is_a_finding_or_missing_and_stops_nothing(zone: str | None) -> None:
    dtype = pl.Datetime("us", zone)
    found = pl.Series([2**63 - 1, 1_700_000_000_000_000, -(2**63) + 1]).cast(dtype)
    frame = pl.DataFrame({"_row": [1, 2, 3], "value": found})
    for kind in ("date", "datetime", "string"):
        typed = type_records(frame, table_of(value={"type": kind}), table_name="t")
        assert outcome(typed)[1] == ["infinity", "infinity"]
        listed = type_records(frame, table_of(value={"type": kind, "missing": ["infinity"]}), table_name="t")
        assert outcome(listed)[1:] == ([], 2)
        assert typed.frame["value"].null_count() == listed.frame["value"].null_count() == 2


@pytest.mark.parametrize(
    ("kind", "form", "usable"),
    [
        ("date", "%d.%m.%Y", True),
        ("date", "%d%b%Y", True),
        ("date", "%d.%m.%y", True),
        ("date", "%Y-%m", False),
        ("date", "%d.%m.%Q", False),
        ("date", "DD.MM.YYYY", False),
        ("datetime", "%d.%m.%Y %H:%M %z", True),
        ("datetime", "%Y-%m-%dT%H:%M:%S%.f", True),
        ("datetime", "%d.%m.%Y", False),
        ("datetime", "%d.%m.%Y %H:%M %Z", False),
    ],
)
def test_a_format_is_tried_before_any_record_is_read(kind: str, form: str, usable: bool) -> None:
    column = table_of(value={"type": kind, "format": form}).columns["value"]
    if usable:
        check_format("value", column)
    else:
        with pytest.raises(SpecError, match=r"column value: format .* cannot be used"):
            check_format("value", column)


def test_a_letter_and_its_accent_are_one_text_whichever_system_wrote_them() -> None:
    apart = unicodedata.normalize("NFD", "männlich")
    assert outcome(read([apart, "männlich"], type="string"))[0] == ["männlich", "männlich"]


@pytest.mark.parametrize("mark", [" ", "\u00a0", "\u202f", "\u2009", "'", "\u2019"])
def test_marks_between_thousands_are_told_whatever_stands_there(mark: str) -> None:
    typed = read([f"29{mark}000,5"], type="number", decimal=",")
    assert pl.concat(typed.findings)["cure"][0].startswith("Write numbers without marks between thousands")


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String])
def test_a_date_written_as_a_number_is_read_by_its_format(dtype: Any) -> None:
    days = pl.Series([19650917, 20240229, 20230229, None]).cast(dtype)
    typed = read(days.to_list(), dtype=dtype, type="date", format="%Y%m%d")
    assert typed.frame["value"].to_list() == [dt.date(1965, 9, 17), dt.date(2024, 2, 29), None, None]
    assert sum(block.height for block in typed.findings) == 1


@pytest.mark.parametrize(
    ("kind", "value", "cure"),
    [
        ("number", "1,234", "If the comma parts thousands"),
        ("number", "7,2", "If the comma is a decimal mark"),
        ("integer", "1.234", "If the point parts thousands"),
        ("integer", "1.5", "Describe the column as a number"),
        ("date", "39448", "It looks like a spreadsheet's day number"),
        ("datetime", "45292.645833", "It looks like a spreadsheet's day number"),
        ("date", "2024", "The date is partial"),
    ],
)
def test_a_cure_that_would_make_a_wrong_value_pass_is_not_given(kind: str, value: str, cure: str) -> None:
    typed = read([value], type=kind)
    assert outcome(typed) == ([None], [value], 0)
    assert pl.concat(typed.findings)["cure"][0].startswith(cure)


@pytest.mark.parametrize(
    ("kind", "value", "meant"),
    [
        ("date", "20240102", dt.date(2024, 1, 2)),
        ("datetime", "202401021530", dt.datetime(2024, 1, 2, 15, 30)),
        ("datetime", "20240102153059", dt.datetime(2024, 1, 2, 15, 30, 59)),
        ("datetime", "20240102153059+0100", dt.datetime(2024, 1, 2, 14, 30, 59)),
    ],
)
def test_the_format_that_is_proposed_for_dates_of_dicom_and_hl7_reads_them(kind: str, value: str, meant: Any) -> None:
    told = pl.concat(read([value], type=kind).findings)["cure"][0]
    form = told.partition("such as ")[2].partition(",")[0]
    assert outcome(read([value], type=kind, format=form, timezone="UTC")) == ([meant], [], 0)
