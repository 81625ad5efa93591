"""A full disk, a killed process, a lost key, on a whole cohort: the old tables stay whole, the message names the cure.

Writes that are killed inside DuckDB are in ``warehouse/store``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets_tests.worlds.machine.graphs import COHORT, files_that_hold, run_job
from assets_tests.worlds.machine.processes import child, small_disk
from assets_tests.worlds.team.cohorts import MARK, Team
from assets_tests.worlds.team.faulty import NAME, Ward, told
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import CATALOGUE, KEY, Settings
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.validation.validation import validate_cohort
from clinical_assets.workspace import CohortHandle


@pytest.fixture
def ward(settings: Settings, tmp_path: Path) -> Ward:
    """A cohort of a team with all its tables."""
    return Ward(settings, tmp_path / "catalogue")


STEPS: dict[str, Callable[[CohortHandle], object]] = {
    "raw": lambda cohort: ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder),
    "validated": lambda cohort: validate_cohort(cohort.spec, cohort.warehouse),
    "features": lambda cohort: build_features(cohort.spec, cohort.sql, cohort.warehouse),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_is_named_and_leaves_the_old_tables(settings: Settings, tmp_path: Path, step: str) -> None:
    with small_disk(settings.data, mebibytes=16):
        ward = Ward(settings, tmp_path / "catalogue")
        ward.team.change("visits", 1, systolic_bp_mmhg=101)
        ward.write()
        filler = settings.data / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises(WarehouseError) as caught:
            STEPS[step](ward.cohort)
        text = told(caught)
        assert f"No space is left for cohort '{NAME}'" in text
        assert "point CLINICAL_ASSETS_DATA at a larger disk" in text
        filler.unlink()
        assert ward.changed() == set()
        ward.run()
        assert ward.changed() >= {"raw", "validated"}


KILLED_IN = {
    "raw": """
from clinical_assets.warehouse.snapshots import ingestion_log
ingestion_log.add = lambda *_, **__: reached_and_wait("half way")
from clinical_assets.warehouse.intake.ingestion import ingest
ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder)
""",
    "validated": """
from clinical_assets.warehouse.validation import validation
really_finish, done = validation._finish, []
def finish(*args, **options):
    if done:
        reached_and_wait("half way")
    done.append(really_finish(*args, **options))
    return done[-1]
validation._finish = finish
validation.validate_cohort(cohort.spec, cohort.warehouse)
""",
    "features": """
from clinical_assets.warehouse.features import features
features.check_one_at_a_time = lambda *_, **__: reached_and_wait("half way")
features.build_features(cohort.spec, cohort.sql, cohort.warehouse)
""",
}


@pytest.mark.parametrize("step", KILLED_IN)
def test_a_process_killed_in_the_middle_of_a_step_leaves_the_old_tables_and_the_next_run_goes_on(
    ward: Ward, step: str
) -> None:
    ward.team.change("subjects", 1, age_years=99)
    ward.team.change("visits", 1, systolic_bp_mmhg=101)
    ward.write()
    expected: set[str] = set()
    if step != "raw":
        STEPS["raw"](ward.cohort)
        expected = {"raw"}
    if step == "features":
        STEPS["validated"](ward.cohort)
        expected = {"raw", "validated"}
    prelude = f"""
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.workspace import Workspace
cohort = Workspace(settings).cohort({NAME!r})
"""
    with child(prelude + KILLED_IN[step], {CATALOGUE: str(ward.catalogue)}) as process:
        process.wait_for("half way")
        process.kill()
    assert ward.changed() == expected
    ward.run()
    assert ward.changed() == {"raw", "validated", "model"}


def test_with_a_key_the_whole_graph_runs_and_nothing_can_be_read_without_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a key for this test alone")
    catalogue, dagster = tmp_path / "catalogue", tmp_path / "dagster"
    catalogue.mkdir()
    dagster.mkdir()
    Team(COHORT).write(catalogue)
    platform = Platform(data=str(settings.data), catalogue=str(catalogue))
    with dg.instance_for_test(temp_dir=str(dagster)) as instance:
        result = run_job(instance, platform)
    assert result.success
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    assert files_that_hold(settings.data, MARK) == []
    assert files_that_hold(settings.data, "patient_id") == []
    warehouse = platform.cohort(COHORT).warehouse
    assert warehouse.query("SELECT count(*) FROM marts.cohort_overview").item() == 1
    with pytest.raises(duckdb.Error, match="key"):
        duckdb.connect(str(warehouse.path), read_only=True)
    snapshots = sorted((settings.snapshots / COHORT).rglob("*.parquet"))
    assert len(snapshots) == 2
    for snapshot in snapshots:
        with pytest.raises(duckdb.Error, match=r"encrypt|key"), duckdb.connect() as connection:
            connection.execute(f"SELECT * FROM '{snapshot}'")

    for other, words in (
        ("another key for this test", "cannot be opened with the configured key"),
        (None, "is encrypted"),
    ):
        if other is None:
            monkeypatch.delenv(KEY)
        else:
            monkeypatch.setenv(KEY, other)
        with pytest.raises(WarehouseError) as caught:
            platform.cohort(COHORT).warehouse.query("SELECT 1")
        text = told(caught)
        assert f"Warehouse file {COHORT}.duckdb" in text
        assert words in text
        assert "CLINICAL_ASSETS_KEY_FILE" in text
