"""The count of records: equal to the standard library's, whatever the chunks, and unmoved by malformed quotes."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.record_scan import RecordScanner, Scan

SOUP = st.text(alphabet=st.sampled_from('ab",\n \r'), max_size=60).map(lambda text: text.replace("\r", "\r\n"))


def scan(text: str, *, chunk: int | None = None, skip: int = 0, quote: str = '"') -> Scan:
    scanner = RecordScanner("x.csv", delimiter=",", quote=quote, skip=skip)
    raw = text.encode()
    size = chunk or max(len(raw), 1)
    for start in range(0, len(raw), size):
        scanner.feed(raw[start : start + size])
    return scanner.finish()


def plain(result: Scan) -> dict[str, Any]:
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(result).items()}


@given(
    rows=st.lists(st.lists(st.text(alphabet='ab",\n é', max_size=5), min_size=2, max_size=3), max_size=8),
    newline=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 50),
)
def test_it_counts_what_a_csv_writer_wrote(rows: list[list[str]], newline: str, chunk: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerows(rows)
    result = scan(text.getvalue(), chunk=chunk)
    assert result.records == len(rows)
    assert result.malformed_quote_line is None
    assert result.blank_ordinals.size == 0
    assert result.newline == (newline if rows else "\n")
    broken = {place: sum(value.count("\n") for value in row) for place, row in enumerate(rows, start=1)}
    assert dict(zip(result.broken_ordinals.tolist(), result.extra_lines.tolist(), strict=True)) == {
        place: extra for place, extra in broken.items() if extra
    }


@given(text=SOUP, chunk=st.integers(1, 20))
def test_any_text_gives_the_same_whatever_the_chunks(text: str, chunk: int) -> None:
    def outcome(size: int | None) -> object:
        try:
            return {**plain(scan(text, chunk=size)), "malformed_quote_line": None}
        except SourceError as error:
            return error.message

    assert outcome(chunk) == outcome(None)


@given(text=st.text(alphabet='ab",\n', max_size=60))
def test_without_a_quote_every_line_that_is_not_blank_is_a_record(text: str) -> None:
    result = scan(text, quote="")
    lines = text.split("\n")
    assert result.records == sum(line != "" for line in lines)
    assert result.longest_bytes == max(map(len, lines))


def test_skipped_lines_may_hold_anything() -> None:
    result = scan('a "title\n\nid,age\n1,2\n\n3,4', skip=2)
    assert (result.records, result.blank_ordinals.tolist(), result.skipped) == (3, [5], 2)


def test_a_quote_inside_a_value_does_not_hide_line_breaks() -> None:
    result = scan('id,height\n1,5\' 11"\n2,6\' 0"\n3,"x\ny"\n4,z\n')
    assert (result.records, result.malformed_quote_line) == (5, 2)
    assert result.broken_ordinals.tolist() == [4]


def test_spaces_before_an_opening_quote_belong_to_it() -> None:
    assert scan('id,note\n1,  "a\nb"\n2,c\n').records == 3


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_a_quote_left_open_is_named_by_the_line_where_it_opens(chunk: int | None) -> None:
    with pytest.raises(SourceError, match=r"x\.csv, line 4: a quoted value begins here"):
        scan('id,note\n1,"a\nb"\n2,"c\n3,d\n4,e\n', chunk=chunk)
