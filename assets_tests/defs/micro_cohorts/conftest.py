"""A paired cohort that went through the whole job once, copies of its files, and an empty ward."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets_tests.worlds.team.paired import PairedTeam, Ward


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No key and no catalogue from outside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CATALOGUE", "KEY", "KEY_FILE"):
            patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
        yield


@pytest.fixture
def quiet_environment() -> Iterator[None]:
    """No key and no catalogue from outside."""
    with _quiet():
        yield


def new_ward(folder: Path) -> Iterator[Ward]:
    (folder / "dagster").mkdir(parents=True)
    with dg.instance_for_test(temp_dir=str(folder / "dagster"), set_dagster_home=False) as instance:
        yield Ward(folder, instance)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ward, dg.ExecuteInProcessResult]]:
    """A sound cohort that went through the whole job once; nobody changes its files."""
    for ward in new_ward(tmp_path_factory.mktemp("ward")):
        ward.write(PairedTeam())
        with _quiet():
            result = ward.run()
        yield ward, result


@pytest.fixture
def ward(tmp_path: Path, quiet_environment: None) -> Iterator[Ward]:
    """An empty ward."""
    yield from new_ward(tmp_path / "ward")


@pytest.fixture
def copy(finished: tuple[Ward, dg.ExecuteInProcessResult], ward: Ward) -> Ward:
    """The finished cohort's files in a ward of the test's own."""
    for name in ("data", "catalogue"):
        shutil.copytree(finished[0].folder / name, ward.folder / name)
    return ward
