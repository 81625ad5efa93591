"""A warehouse with one old table, plain or encrypted."""

from __future__ import annotations

import pytest

from assets_tests.worlds.machine.warehouses import SECRET
from clinical_assets.foundation.settings import KEY, Settings
from clinical_assets.warehouse.store.warehouse import Warehouse


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """Plain files, unless a test is marked with ``BOTH``."""
    return str(getattr(request, "param", "plain"))


@pytest.fixture
def settings(mode: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The test's own settings, without or with a key; other processes get the same from the environment."""
    monkeypatch.setenv("CLINICAL_ASSETS_THREADS", "2")
    monkeypatch.setenv("CLINICAL_ASSETS_MEMORY", "1GB")
    if mode == "encrypted":
        monkeypatch.setenv(KEY, SECRET)
    return Settings.from_environment()


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """A warehouse with one old table."""
    made = Warehouse("heart", settings)
    with made.writer() as connection:
        connection.execute("CREATE TABLE raw.t AS SELECT range AS i, 'old' AS generation FROM range(1000)")
    return made
