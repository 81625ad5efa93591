"""A warehouse with one table that is replaced by a large one, and what a test asks about it afterwards."""

from __future__ import annotations

import pytest

from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.warehouse import Warehouse

SECRET = "a master key for tests only, 32+ bytes"
BOTH = pytest.mark.parametrize("mode", ["plain", "encrypted"], indirect=True)
OLD = (1000, ["old"])
MANY = 1_000_000
NEW = (MANY, ["new"])
REPLACE = f"CREATE OR REPLACE TABLE raw.t AS SELECT range AS i, 'new' AS generation, random() AS r FROM range({MANY})"


def content(warehouse: Warehouse) -> tuple[int, list[str]]:
    """Rows of the table, which are all different, and of which writing they are."""
    frame = warehouse.query("SELECT count(*) AS n, list(DISTINCT generation) AS g, count(DISTINCT i) AS d FROM raw.t")
    n, generations, different = frame.row(0)
    assert n == different
    return n, generations


def leftovers(settings: Settings) -> list[str]:
    """Unfinished and temporary files."""
    return [str(p.relative_to(settings.data)) for p in settings.data.rglob("*") if p.suffix in {".new", ".tmp"}] + [
        str(p.relative_to(settings.data)) for p in (settings.data / "temp").glob("*")
    ]
