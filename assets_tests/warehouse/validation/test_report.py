"""What a failed validation says: which columns are not there, and what would bring them."""

from __future__ import annotations

import pytest

from clinical_assets.cohorts.tables import Table
from clinical_assets.warehouse.validation.report import missing_columns

TABLE = Table.model_validate(
    {
        "description": "A table.",
        "source": {"kind": "file", "path": "a.csv"},
        "key": ["id"],
        "columns": {"id": {"type": "string", "description": "A column."}},
    }
)


@pytest.mark.parametrize(
    ("found", "cure"),
    [
        (["'id'", "'x'"], 'set `csv: {quote: "\'"}`'),
        (["`id`"], 'set `csv: {quote: "`"}`'),
        (["'id'", "x"], "with `from:`"),
        (["ID"], "with `from:`"),
    ],
)
def test_names_between_other_quotation_marks_are_cured_by_the_dialect(found: list[str], cure: str) -> None:
    assert cure in missing_columns("subjects", TABLE, found, ["id"]).cure
