"""What is found sound without a frame is what the validation of batches leaves as it is, and never more."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.cohorts.tables import Table
from clinical_assets.serving.requests.sound_rows import SoundRows
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.validation.conversions import described_type
from clinical_assets.warehouse.validation.row_validation import RowValidator

TABLE = Table.model_validate(
    {
        "description": "Patients.",
        "source": {"kind": "file", "path": "t.csv"},
        "key": ["id"],
        "recorded": "seen",
        "columns": {
            "id": {"type": "string", "role": "identifier", "nullable": False, "description": "Id."},
            "age": {"type": "integer", "range": [0, 120], "missing": [99, "-1"], "description": "Age."},
            "site": {"type": "integer", "categories": {"1": "a", "2": "b"}, "nullable": False, "description": "Site."},
            "chol": {"type": "number", "range": [None, 600], "missing": [0], "description": "Cholesterol."},
            "low": {"type": "number", "range": [0.1, None], "description": "Low."},
            "sex": {"type": "string", "categories": ["m", "f"], "missing": ["NA"], "description": "Sex."},
            "code": {"type": "string", "pattern": "[A-Z][0-9]+", "description": "Code."},
            "smokes": {"type": "boolean", "missing": ["unknown"], "description": "Smokes."},
            "born": {"type": "date", "earliest": "1900-01-01", "latest": "2025-12-31", "description": "Born."},
            "seen": {"type": "datetime", "latest": "2026-06-30", "description": "Seen."},
        },
        "rules": [{"name": "low_below_chol", "expression": "low <= chol", "cure": "Correct both."}],
        "corrections": [{"name": "swapped", "where": {"age": 50, "sex": "m"}, "put": {"sex": "f"}, "reason": "Known."}],
    }
)
DAYS = st.dates(dt.date(990, 1, 1), dt.date(2030, 1, 1)) | st.sampled_from(
    [dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date(2025, 12, 31), dt.date(2026, 1, 1)]
)
TIMES = st.datetimes(dt.datetime(990, 1, 1), dt.datetime(2030, 1, 1)) | st.sampled_from(
    [dt.datetime(2026, 6, 30, 23, 59, 59, 999999), dt.datetime(2026, 7, 1), dt.datetime(1000, 1, 1)]
)
WORDS = st.sampled_from(["m", "f", "NA", "", " m", "A1", "A1\n", "a1", "\u00e9", "e\u0301", "\u00a0x", "\x1f", "P-7"])
FLOATS = st.sampled_from([0.0, -0.0, 0.1, 600.0, 600.0000001, 1e300]) | st.floats(-10, 700)
ROWS = st.fixed_dictionaries(
    {
        "id": st.none() | WORDS | st.text(max_size=4),
        "age": st.none() | st.sampled_from([-1, 0, 50, 99, 120, 121, 2**53, -(2**62)]) | st.integers(0, 120),
        "site": st.none() | st.integers(0, 3),
        "chol": st.none() | FLOATS,
        "low": st.none() | FLOATS,
        "sex": st.none() | WORDS,
        "code": st.none() | WORDS,
        "smokes": st.none() | st.booleans(),
        "born": st.none() | DAYS,
        "seen": st.none() | TIMES,
    }
)
SOUND = {
    "id": "P-7",
    "age": 40,
    "site": 1,
    "chol": 200.0,
    "low": 1.5,
    "sex": "m",
    "code": "A1",
    "smokes": True,
    "born": dt.date(1980, 1, 2),
    "seen": dt.datetime(2026, 1, 2, 3),
}
CHANGES = st.sampled_from(list(SOUND)).flatmap(lambda name: ROWS.map(lambda row: {**SOUND, name: row[name]}))
validator = RowValidator.of(TABLE, table_name="t", subject="id")
sound_rows = SoundRows(TABLE, subject="id")


def in_order(row: dict[str, Any]) -> tuple[Any, ...]:
    """Values in the order of the columns."""
    return tuple(row[name] for name in TABLE.columns)


def by_frame(rows: list[dict[str, Any]]) -> dict[int, tuple[Any, ...]]:
    """Rows that validation keeps, as it leaves them."""
    types = {name: described_type(column) for name, column in TABLE.columns.items()}
    frame = pl.DataFrame([in_order(row) for row in rows], schema=types, orient="row")
    kept = validator.check(frame.with_row_index(ROW_NUMBER)).frame
    return dict(zip(kept[ROW_NUMBER].to_list(), kept.select(*TABLE.columns).rows(), strict=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(CHANGES | ROWS, min_size=1, max_size=20))
def test_a_row_found_sound_is_kept_by_validation_as_it_stands(rows: list[dict[str, Any]]) -> None:
    kept = by_frame(rows)
    for number, typed in enumerate(sound_rows.typed(rows)):
        if typed is not None:
            assert kept.get(number) == typed
            assert typed == in_order(rows[number])


def test_ordinary_rows_are_found_sound() -> None:
    """Nearly all rows must be, or every answer would take the time of a frame."""
    names = ("age", "chol", "low", "sex", "code", "smokes", "born")
    rows = [SOUND, *({**SOUND, name: None} for name in names), {**SOUND, "id": "M\u00fcller", "sex": "f", "age": 50}]
    assert None not in sound_rows.typed(rows)
