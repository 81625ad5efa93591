"""What the command line does with data that nobody describes, and with descriptions that are broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clinical_assets.cli import context, main
from clinical_assets.foundation.settings import CATALOGUE, Settings
from clinical_assets.warehouse.store.warehouse import Warehouse

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(settings: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str]:
        context.workspace.cache_clear()
        monkeypatch.setattr(sys, "argv", ["clinical-assets", *arguments])
        capfd.readouterr()
        code: int | str | None = 0
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code
        said = capfd.readouterr()
        return int(code or 0), " ".join((said.out + said.err).split())

    return call


def test_data_that_nobody_describes_can_be_looked_into_and_removed(settings: Settings, run: Run) -> None:
    with Warehouse("old", settings).writer() as connection:
        connection.execute("CREATE TABLE raw.subjects AS SELECT 1 AS _row, 'p1' AS patient_id")
    assert "cohort old: nobody describes it, but" in run("doctor")[1]
    assert "raw.subjects" in run("warehouse", "tables", "old")[1]
    code, said = run("erase", "p1", "--cohort", "old", "--reason", "asked", "--yes")
    assert code == 1
    assert "clinical-assets cohorts remove old" in said
    assert "is described" in run("cohorts", "remove", "heart_disease", "--reason", "x", "--yes")[1]
    assert run("cohorts", "rename", "old", "nobody", "--reason", "x")[0] == 1
    code, said = run("cohorts", "rename", "old", "heart_disease", "--reason", "x")
    assert (code, "heart_disease has the records of old" in said) == (0, True)
    with Warehouse("old", settings).writer() as connection:
        connection.execute("CREATE TABLE raw.subjects AS SELECT 1 AS _row, 'p1' AS patient_id")
    code, said = run("cohorts", "remove", "old", "--reason", "Study ended.", "--yes")
    assert (code, "old: warehouse were deleted" in said) == (0, True)
    assert "nobody describes" not in run("doctor")[1]
    assert run("warehouse", "tables", "old")[0] == 1


def test_a_broken_description_gets_no_run(
    settings: Settings, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "ward_wrong.yaml").write_text("name: ward_wrong\n  title: [\n")
    monkeypatch.setenv(CATALOGUE, str(folder))
    code, said = run("materialize", "ward_wrong")
    assert code == 1
    assert "ward_wrong is not run: its description is broken" in said
    assert "ward_wrong.yaml:2: not valid YAML" in said
    assert not (settings.data / "dagster").exists()
