"""Figures on the page of costs are those of the committed table, put there by its script."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, whose parts lie beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("table_page")


def test_the_page_shows_the_committed_table(table: Any) -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    content = json.loads(table.QUOTED.read_text(encoding="utf-8"))
    assert page == table.page_with_table(page, content)
    changed = {**content, "rows": [{**content["rows"][0], "ours": 12345.0}, *content["rows"][1:]]}
    assert page != table.page_with_table(page, changed)


def test_figures_of_a_quick_run_are_not_quoted(table: Any) -> None:
    content = {**json.loads(table.QUOTED.read_text(encoding="utf-8")), "size": "quick"}
    with pytest.raises(SystemExit, match="full size"):
        table.page_with_table(table.PAGE.read_text(encoding="utf-8"), content)
