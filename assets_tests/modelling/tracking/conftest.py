"""A store of runs and models."""

from __future__ import annotations

import pytest

from assets_tests.worlds.tables.shipped import own_settings
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.tracking import mlflow_store


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a store whose schema is made once for all tests; each uses cohorts of its own."""
    settings = own_settings(tmp_path_factory.mktemp("a place with spaces") / "Daten ü")
    mlflow_store.prepare_store(settings)
    return settings
