"""Shipped cohorts are built once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from assets_tests.worlds.tables.shipped import Built


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """A shipped cohort by name, built when a test first asks for it."""
    from assets_tests.worlds.tables.shipped import build_cohort, own_settings

    settings = own_settings(tmp_path_factory.mktemp("shipped"))
    done: dict[str, Built] = {}

    def build(name: str) -> Built:
        if name not in done:
            done[name] = build_cohort(name, settings)
        return done[name]

    return build
