"""Dagster's instance as a terminal opens it: named when it cannot be, and asked for the finished runs of a cohort."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.launch.instance import finished_runs, open_instance

STATUS = dg.DagsterRunStatus


def _run(instance: dg.DagsterInstance, cohort: str, status: dg.DagsterRunStatus) -> str:
    run = dg.DagsterRun(job_name="ingest_cohort", status=status, tags={"dagster/partition": cohort})
    instance.add_run(run)
    return run.run_id


def test_a_dagster_home_that_is_no_folder_is_named_with_its_cure(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ClinicalAssetsError, match="nowhere, which is no folder") as refused, open_instance():
        pass
    assert "unset DAGSTER_HOME" in str(refused.value.cure)
    assert not (tmp_path / "nowhere").exists()


def test_finished_runs_of_one_cohort_are_listed_and_deleted_and_no_other(settings: Settings) -> None:
    with open_instance() as instance:
        mine = {_run(instance, "ward", status) for status in (STATUS.SUCCESS, STATUS.FAILURE, STATUS.CANCELED)}
        others = {_run(instance, "ward", STATUS.STARTED), _run(instance, "clinic", STATUS.SUCCESS)}
    assert set(finished_runs("ward")) == mine
    assert set(finished_runs("ward", delete=True)) == mine
    assert finished_runs("ward") == ()
    with open_instance() as instance:
        assert {run.run_id for run in instance.get_runs()} == others


def test_no_test_sees_the_instance_of_this_checkout(settings: Settings) -> None:
    with open_instance() as instance:
        assert Path(instance.root_directory).is_relative_to(settings.data)
