"""Delimited text: every hazard of real exports, on real files, and the promise that no record is lost."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.sources.conftest import Load, load_source, make_settings
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.readers import number_sql

VALUES = st.text(alphabet=st.sampled_from("ab0 ,;\t|\"\n'.éß漢"), max_size=6)


def test_values_are_text_as_written_and_only_nothing_is_missing(load: Load) -> None:
    loaded = load(content='id,value,note\n1,1e3,NA\n2,,"a ""quoted"" word"\n3,"",NULL\n')
    assert loaded.columns == ["id", "value", "note"]
    assert set(loaded.types) == {"VARCHAR"}
    assert loaded.rows == [("1", "1e3", "NA"), ("2", None, 'a "quoted" word'), ("3", None, "NULL")]
    assert loaded.numbers == [1, 2, 3]
    assert loaded.records == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_even_beside_decimal_commas(load: Load, delimiter: str) -> None:
    value = "1.5" if delimiter == "," else "1,5"
    rows = [["id", "a", "b"], ["1", value, "x"], ["2", value, "y"]]
    loaded = load(content="\n".join(delimiter.join(row) for row in rows))
    assert loaded.columns == rows[0]
    assert [list(row) for row in loaded.rows] == rows[1:]


def test_a_decimal_comma_stays_text_and_has_its_conversion_beside_it(
    load: Load, connection: duckdb.DuckDBPyConnection
) -> None:
    loaded = load(content="id;mmol\n1;1,5\n2;-0,25\n3;1.234,5\n4;x\n", csv={"decimal": ","})
    assert [row[1] for row in loaded.rows] == ["1,5", "-0,25", "1.234,5", "x"]
    query = f"SELECT {number_sql('mmol', ',')} FROM stored ORDER BY _row"
    assert connection.execute(query).fetchall() == [(1.5,), (-0.25,), (None,), (None,)]
    assert connection.execute(f"SELECT {number_sql(repr('1.5'), '.')}").fetchall() == [(1.5,)]


def test_two_equally_good_delimiters_are_refused(load: Load) -> None:
    with pytest.raises(SourceError, match="comma and semicolon") as caught:
        load(content="a,b;c,d\n1,2;3,4\n")
    assert "delimiter" in str(caught.value.cure)
    assert load(content="a,b;c,d\n1,2;3,4\n", csv={"delimiter": ";"}).rows == [("1,2", "3,4")]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("id,age,id", ["columns 1 and 3", "'id'"]),
        ("id,Age,age", ["columns 2 and 3", "'Age'", "'age'", "case"]),
        ("id,_row,x", ["column 2", "_row", "reserved"]),
        (",,", ["line 1", "names no column"]),
    ],
)
def test_a_header_that_cannot_name_columns_is_refused_by_place(load: Load, header: str, told: list[str]) -> None:
    with pytest.raises(SourceError) as caught:
        load(content=f"{header}\n1,2,3\n")
    assert all(part in caught.value.message for part in ["Table 'subjects'", "records.csv", *told])
    assert caught.value.cure


def test_a_blank_header_is_called_after_its_place(load: Load) -> None:
    loaded = load(content='"",age\n1,50\n')
    assert loaded.columns == ["column_1", "age"]


def test_a_file_without_header_takes_its_names_from_the_description(load: Load) -> None:
    loaded = load(content="1,50\n2,60\n", csv={"columns": ["id", "age"]})
    assert loaded.columns == ["id", "age"]
    assert loaded.rows == [("1", "50"), ("2", "60")]
    with pytest.raises(SourceError, match="names 3 columns"):
        load(content="1,50\n2,60\n", csv={"columns": ["id", "age", "sex"]})


def test_title_lines_are_skipped_only_when_told(load: Load) -> None:
    content = 'Export "of today\n\nid,age\n1,50\n2\n'
    loaded = load(content=content, csv={"skip_rows": 1})
    assert loaded.rows == [("1", "50")]
    assert loaded.rejects == [(5, "too few values: 2 expected, 1 found", "2")]


def test_r_style_row_names_without_header_are_explained(load: Load) -> None:
    with pytest.raises(SourceError, match=r"names 2 columns, but none of the first 2 records.*have 3") as caught:
        load(content="a,b\n1,2,3\n2,3,4\n")
    assert "row name" in str(caught.value.cure)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "  \n"])
def test_an_empty_file_is_refused(load: Load, content: str) -> None:
    with pytest.raises(SourceError, match="empty"):
        load(content=content)


@pytest.mark.parametrize("content", ["id,age", "id,age\n", "\ufeffid,age\r\n"])
def test_a_header_alone_gives_no_rows(load: Load, content: str) -> None:
    loaded = load(content=content)
    assert (loaded.columns, loaded.rows, loaded.records) == (["id", "age"], [], 0)


def test_ragged_lines_are_rejected_once_each_with_line_reason_and_text(load: Load) -> None:
    loaded = load(content='id,age,sex\n1,50,F\n2,60\n"3\n3",70,M\n\n4,80,F,x,y\n5\n6,"x"y,M\n7,90,M\n')
    assert loaded.rows == [("1", "50", "F"), ("3\n3", "70", "M"), ("7", "90", "M")]
    assert loaded.rejects == [
        (3, "too few values: 3 expected, 2 found", "2,60"),
        (7, "too many values: 3 expected, 5 found", "4,80,F,x,y"),
        (8, "too few values: 3 expected, 1 found", "5"),
        (9, "malformed quotes: text behind a closing quote", '6,"x"y,M'),
    ]
    assert loaded.numbers == [1, 3, 7]
    assert loaded.records == 7


def test_a_truncated_last_line_is_rejected_and_not_padded(load: Load) -> None:
    loaded = load(content="id,age,sex\n1,50,F\n2,6")
    assert loaded.rows == [("1", "50", "F")]
    assert loaded.rejects == [(3, "too few values: 3 expected, 2 found", "2,6")]


def test_a_quote_never_closed_is_refused_with_the_line_where_it_opens(load: Load) -> None:
    lines = [f"{i},text {i}" for i in range(2000)]
    lines[1234] = '1234,"open'
    with pytest.raises(SourceError, match=r"records\.csv, line 1236: a quoted value begins here") as caught:
        load(content="id,note\n" + "\n".join(lines) + "\n")
    assert 'quote: ""' in str(caught.value.cure)
    loaded = load(content="id,note\n" + "\n".join(lines) + "\n", csv={"quote": ""})
    assert len(loaded.rows) == 2000
    assert loaded.rows[1234] == ("1234", '"open')


def test_a_quote_in_the_middle_of_a_value_is_text(load: Load) -> None:
    loaded = load(content='id,height\n1,5\' 11"\n2,"6\' 0"""\n3,x\n')
    assert [row[1] for row in loaded.rows] == ["5' 11\"", "6' 0\"", "x"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_break_is_read(load: Load, newline: str) -> None:
    loaded = load(content=newline.join(["id,age", "1,50", "2", "3,70", ""]))
    assert loaded.rows == [("1", "50"), ("3", "70")]
    assert loaded.rejects == [(3, "too few values: 2 expected, 1 found", "2")]


def test_mixed_line_breaks_are_read_through_a_copy(load: Load) -> None:
    loaded = load(content='id,note\n1,a\r\n2,"b\r\nc"\n3,d\r\n')
    assert loaded.rows == [("1", "a"), ("2", "b\nc"), ("3", "d")]
    assert "copy" in loaded.description


def test_a_carriage_return_inside_a_record_is_refused_by_line(load: Load) -> None:
    with pytest.raises(SourceError, match=r"line 3: a carriage return"):
        load(content="id,note\n1,a\n2,b\rc\n")
    assert load(content='id,note\n1,a\n2,"b\rc"\n').rows[1] == ("2", "b\rc")


def test_a_blank_line_in_one_column_is_a_record_with_a_missing_value(load: Load) -> None:
    assert load(content="age\n50\n\n60\n").rows == [("50",), (None,), ("60",)]


def test_thousands_of_columns_are_read(load: Load) -> None:
    names = [f"gene {i}" for i in range(4900)]
    loaded = load(content=",".join(names) + "\n" + ",".join(map(str, range(4900))) + "\n1,2\n")
    assert loaded.columns == names
    assert loaded.rows == [tuple(map(str, range(4900)))]
    assert loaded.rejects == [(3, "too few values: 4900 expected, 2 found", "1,2")]


def test_a_record_longer_than_duckdbs_limit_is_read(load: Load) -> None:
    note = "y" * 3_000_000
    loaded = load(content=f"id,note\n1,x\n2,{note}\n3,z\n")
    assert [len(row[1]) for row in loaded.rows] == [1, 3_000_000, 1]


def test_a_record_without_end_is_refused(load: Load) -> None:
    with pytest.raises(SourceError, match=r"line 3: the record that begins here is longer than 32 MB"):
        load(content=b'id,note\n1,x\n2,"' + b"y\n" * (20 << 20) + b'"\n')


def test_several_files_are_read_in_the_order_of_their_names_and_numbered_on(load: Load, tmp_path: Path) -> None:
    for place, newline in (("b", "\r\n"), ("a", "\n"), ("c", "\n")):
        text = newline.join(["id,site", f"{place}1,x", f"{place}2", "", f"{place}3,y", ""])
        (tmp_path / f"site={place}").mkdir()
        (tmp_path / f"site={place}" / "part.csv").write_bytes(text.encode())
    loaded = load(path="site=*/part.csv")
    assert loaded.columns == ["id", "site"]
    assert [row[0] for row in loaded.rows] == ["a1", "a3", "b1", "b3", "c1", "c3"]
    assert loaded.numbers == [1, 3, 4, 6, 7, 9]
    assert [(line, reason.split(":")[0], text) for line, reason, text in loaded.rejects] == [
        (3, f"site={place}/part.csv", f"{place}2") for place in "abc"
    ]
    assert [file.name for file in loaded.files] == [f"site={place}/part.csv" for place in "abc"]


def test_files_with_other_columns_are_refused_by_name(load: Load, tmp_path: Path) -> None:
    (tmp_path / "p1.csv").write_text("id,age\n1,2\n")
    (tmp_path / "p2.csv").write_text("id,sex\n1,2\n")
    with pytest.raises(SourceError, match=r"p2\.csv has other columns.*column 2 is 'sex' here and 'age' there"):
        load(path="p*.csv")


def test_a_name_with_pattern_letters_is_taken_as_written(load: Load) -> None:
    loaded = load(path="cohort [1]*/it's.csv", content="id,age\n1,50\n")
    assert loaded.rows == [("1", "50")]


def test_many_records_keep_their_order_over_all_threads_and_line_breaks_in_values(load: Load) -> None:
    filler = "z" * 60
    lines = [f'{i},"two\nlines",{filler}' if i % 7 == 0 else f"{i},one,{filler}" for i in range(600_000)]
    lines[400_000] = "bad,line"
    loaded = load(content="id,note,filler\n" + "\n".join(lines) + "\n")
    good = [i for i in range(600_000) if i != 400_000]
    assert [int(row[0]) for row in loaded.rows] == good
    assert loaded.numbers == [i + 1 for i in good]
    breaks_before = len(range(0, 400_000, 7))
    assert loaded.rejects == [(400_002 + breaks_before, "too few values: 3 expected, 2 found", "bad,line")]


@given(
    names=st.integers(2, 4),
    table=st.data(),
    newline=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@hypothesis_settings(max_examples=60)
def test_what_a_csv_writer_wrote_comes_back_whole(
    names: int, table: st.DataObject, newline: str, delimiter: str, quoting: int
) -> None:
    rows = table.draw(st.lists(st.lists(VALUES, min_size=names, max_size=names), max_size=8))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow([f"column {i}" for i in range(names)])
    writer.writerows([[value.strip(" ") for value in row] for row in rows])
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        (Path(folder) / "x.csv").write_bytes(text.getvalue().encode())
        loaded = load_source(
            connection,
            make_settings(Path(folder) / "data"),
            Path(folder),
            kind="file",
            path="x.csv",
            csv={"delimiter": delimiter},
        )
    assert loaded.rows == [tuple(value.strip(" ") or None for value in row) for row in rows]
    assert loaded.rejects == []
    assert loaded.numbers == list(range(1, len(rows) + 1))


@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=30), gaps=st.lists(st.booleans(), min_size=30, max_size=30)
)
@hypothesis_settings(max_examples=60)
def test_rows_and_rejects_together_are_the_physical_records(widths: list[int], gaps: list[bool]) -> None:
    widths = [3, *widths]
    lines, expected, rejected = ["a,b,c"], [], []
    for number, (width, gap) in enumerate(zip(widths, [False, *gaps], strict=False), start=1):
        lines += [""] if gap else []
        lines.append(",".join(f"v{number}" for _ in range(width)))
        if width == 3:
            expected.append(number)
        else:
            rejected.append((len(lines), lines[-1]))
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        (Path(folder) / "x.csv").write_text("\n".join(lines))
        loaded = load_source(connection, make_settings(Path(folder) / "data"), Path(folder), kind="file", path="x.csv")
    assert loaded.numbers == expected
    assert [row[0] for row in loaded.rows] == [f"v{number}" for number in expected]
    assert [(line, text) for line, _, text in loaded.rejects] == rejected
    assert len(loaded.rows) + len(loaded.rejects) == loaded.records == len(widths)


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"])
def test_the_line_by_which_excel_knows_the_delimiter_is_obeyed_and_is_no_record(load: Load, line: str) -> None:
    loaded = load(content=f"{line}\nid;a,b;c\n1;2,5;x\n2;3,5;y\n")
    assert loaded.columns == ["id", "a,b", "c"]
    assert loaded.rows == [("1", "2,5", "x"), ("2", "3,5", "y")]
    assert loaded.numbers == [1, 2]


@pytest.mark.parametrize(
    ("title", "skip"),
    [("Evaluation of ward 3, as of 1.2.2024\n\n", 2), ("Ward 3\n", 1), ("Ward;3\nMarch\n\n", 3), ("\nWard 3\n", 2)],
)
def test_lines_of_title_are_refused_with_the_number_to_skip(load: Load, title: str, skip: int) -> None:
    table = "id;value;sex\n" + "".join(f"P{n};{n},5;m\n" for n in range(5))
    with pytest.raises(SourceError, match=f"begin on line {skip + 1} with 3 columns") as caught:
        load(content=title + table)
    assert caught.value.cure == f"Set `csv: {{skip_rows: {skip}}}` in the source."
    loaded = load(content=title + table, csv={"skip_rows": skip})
    assert (loaded.columns, len(loaded.rows)) == (["id", "value", "sex"], 5)


def test_a_letter_and_its_accent_are_one_name_whichever_system_wrote_them(load: Load) -> None:
    apart, whole = unicodedata.normalize("NFD", "Größe"), "Größe"
    assert apart != whole
    assert load(content=f"id,{apart}\n1,2\n").columns == ["id", whole]
    with pytest.raises(SourceError, match="columns 1 and 2 are both called"):
        load(content=f"{apart},{whole}\n1,2\n")


def test_a_backslash_before_a_quote_is_explained(load: Load) -> None:
    loaded = load(content='id,note\n1,"he said \\"no\\" twice"\n2,fine\n')
    assert loaded.rows == [("2", "fine")]
    assert "a backslash before a quote. Export with quotes doubled" in loaded.rejects[0][1]


def test_headers_that_repeat_are_numbered_where_the_description_says_so(load: Load) -> None:
    content = "Record ID,Date,Complete?,Date,date,Complete?\n1,a,b,c,d,e\n"
    with pytest.raises(SourceError, match="columns 2 and 4") as caught:
        load(content=content)
    assert "repeated_names: number" in str(caught.value.cure)
    loaded = load(content=content, csv={"repeated_names": "number"})
    assert loaded.columns == ["Record ID", "Date", "Complete?", "Date_2", "date_3", "Complete?_2"]
