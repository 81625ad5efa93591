"""The ward, whose description says where a hospital keeps its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.serving.hospital.sent import coded_tables
from assets_tests.worlds.ward.released import Releasable


@pytest.fixture
def released(released_once: Releasable, tmp_path: Path) -> Releasable:
    """The ward that serves, with codes in its description, in a folder of the test's own."""
    found = released_once.copy_to(tmp_path / "released")
    found.trained.describe(tables=coded_tables())
    return found
