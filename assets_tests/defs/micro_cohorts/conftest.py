"""A paired cohort that went through the whole job once, copies of its files, and an empty ward."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.team.paired import KeptRun, PairedTeam, Ward


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


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Ward]:
    """A ward with the Dagster instance that lies in its folder."""
    (folder / "dagster").mkdir(parents=True, exist_ok=True)
    with dg.instance_for_test(temp_dir=str(folder / "dagster"), set_dagster_home=False) as instance:
        yield Ward(folder, instance)


def _finish(folder: Path) -> None:
    """Take a sound cohort through the whole job."""
    with _opened(folder) as ward, _quiet():
        ward.write(PairedTeam())
        ward.run()


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound cohort that went through the whole job, once for all workers; look, do not touch."""
    return shared_folder(tmp_path_factory, "finished_micro_cohort", _finish)


@pytest.fixture(scope="session")
def finished(finished_folder: Path) -> Iterator[tuple[Ward, KeptRun]]:
    """The sound cohort, and what Dagster kept of its run."""
    with _opened(finished_folder) as ward:
        yield ward, ward.kept_run()


@pytest.fixture
def ward(tmp_path: Path, quiet_environment: None) -> Iterator[Ward]:
    """An empty ward."""
    with _opened(tmp_path / "ward") as made:
        yield made


@pytest.fixture
def copy(finished_folder: Path, ward: Ward) -> Ward:
    """The finished cohort's files in a ward of the test's own."""
    for name in ("data", "catalogue"):
        shutil.copytree(finished_folder / name, ward.folder / name)
    return ward
