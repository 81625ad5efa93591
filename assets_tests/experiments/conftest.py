"""A trial on a released ward."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import Releasable, second_release
from assets_tests.worlds.ward.trial import WardTrial, ward_trial


@pytest.fixture(scope="session")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Releasable:
    """The first model serves, and a second waits; look, do not touch."""
    return second_release(tmp_path_factory)


@pytest.fixture
def trial(released_once: Releasable, tmp_path: Path) -> WardTrial:
    """The second against the first, in a folder of the test's own; nobody signed yet."""
    return ward_trial(released_once.copy_to(tmp_path / "released"))
