"""The stored state of a version, unpacked once a session and copied for every test that changes it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets_tests.worlds.year.world import World

ARCHIVE = Path(__file__).parent / "state_v1.tar.xz"


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the state; look, do not touch."""
    folder = tmp_path_factory.mktemp("state_v1")
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    return folder / "state"


@pytest.fixture
def world(unpacked: Path, tmp_path: Path) -> Iterator[World]:
    """The state in a folder of the test's own, and its environment."""
    mine = World(unpacked).copy_to(tmp_path / "anywhere" / "else")
    with mine.environment():
        yield mine
