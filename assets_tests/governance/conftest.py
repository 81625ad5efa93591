"""A model that nobody has signed, one that may be promoted, and one that waits behind a champion."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.ward.released import Releasable, first_release, put_in_environment, second_release


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """A first model that nobody has signed."""
    return put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)


@pytest.fixture
def signed(made: Releasable) -> Releasable:
    """A first model with every signature that it needs."""
    made.approve()
    assert made.codes() == []
    return made


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releasable:
    """One model serves, another waits for signatures."""
    return put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
