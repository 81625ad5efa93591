"""A trained cohort, made once a session and copied for every test that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.governance.trained import Trained, train
from clinical_assets.settings import ACTOR, CATALOGUE, DATA, KEY, KEY_FILE, KEYS, RECORDS_URI, TRACKING_URI


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The cohort as it was trained; look, do not touch."""
    return train(tmp_path_factory.mktemp("trained_once"))


@pytest.fixture
def trained(trained_once: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The cohort in a folder of the test's own; the environment says the same."""
    mine = trained_once.copy_to(tmp_path / "trained")
    monkeypatch.setenv(DATA, str(mine.settings.data))
    monkeypatch.setenv(CATALOGUE, str(mine.settings.catalogue[0]))
    monkeypatch.setenv(ACTOR, str(mine.settings.actor))
    for name in (KEY, KEY_FILE, TRACKING_URI, RECORDS_URI, KEYS):
        monkeypatch.delenv(name, raising=False)
    return mine
