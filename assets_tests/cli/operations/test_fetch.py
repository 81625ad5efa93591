"""What the command asks Debian's tools for, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets_tests.worlds.tables.debian import Debian
from clinical_assets.cli import context
from clinical_assets.cli.main import app
from clinical_assets.sources.r_packages import debian


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own, with Debian's tools replaced."""
    monkeypatch.setenv("CLINICAL_ASSETS_DATA", str(tmp_path))
    monkeypatch.delenv("CLINICAL_ASSETS_CATALOGUE", raising=False)
    monkeypatch.delenv("CLINICAL_ASSETS_OFFLINE", raising=False)
    context.workspace.cache_clear()
    yield tmp_path
    context.workspace.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["fetch", *arguments])
    return done.exit_code, done.output + str(done.exception or "")


def test_archives_of_cohorts_and_packages_come_into_the_data_folder_each_once(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Debian({"r-cran-mass": {}, "r-cran-rpart": {}})
    monkeypatch.setattr(debian, "_run", tools)
    code, _ = run("melanoma_survival_denmark", "prostate_cancer_progression", "r-cran-mass")
    assert code == 0
    assert sorted(path.name for path in (data / debian.FOLDER).iterdir()) == [
        "r-cran-mass_1.0_all.deb",
        "r-cran-rpart_1.0_all.deb",
    ]


def test_a_cohort_of_another_source_needs_nothing_and_nothing_is_fetched_offline(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "_run", Debian({}))
    assert "None of them is read from a Debian package" in run("lung_cancer_risk")[1]
    monkeypatch.setenv("CLINICAL_ASSETS_OFFLINE", "1")
    context.workspace.cache_clear()
    code, told = run("r-cran-mass")
    assert (code, "switched off" in told) == (1, True)
    assert not (data / debian.FOLDER).exists()
