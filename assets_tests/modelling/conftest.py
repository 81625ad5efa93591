"""A trained cohort, made once a session and copied for every test that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.ward.served import Served
from assets_tests.worlds.ward.trained import Trained, shared_ward


@pytest.fixture(scope="session")
def trained_ward(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The cohort as it was trained; look, do not touch."""
    return shared_ward(tmp_path_factory)


@pytest.fixture
def served(trained_ward: Trained, tmp_path: Path) -> Served:
    """The cohort in a folder of the test's own."""
    return Served(trained_ward.copy_to(tmp_path / "trained"), tmp_path / "sent")
