"""The small trained cohort, and new patients of it from bed to outcome, made once a session."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assets_tests.worlds.ward.served import Served, watched_ward


@pytest.fixture(scope="session")
def watched_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, pl.DataFrame]:
    """A cohort whose model serves, and its matured records; look, do not touch."""
    served = watched_ward(tmp_path_factory)
    rows = served.matured()
    assert rows is not None
    return served, rows


@pytest.fixture
def served(watched_once: tuple[Served, pl.DataFrame], tmp_path: Path) -> Served:
    """The same in a folder of the test's own."""
    return Served(watched_once[0].trained.copy_to(tmp_path / "trained"), tmp_path / "sent")


@pytest.fixture
def matured(watched_once: tuple[Served, pl.DataFrame]) -> pl.DataFrame:
    """400 matured records."""
    return watched_once[1]
