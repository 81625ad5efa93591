"""Running the real job, or one check of it, in this process; and looking into what Dagster kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from clinical_assets.definitions import load
from clinical_assets.defs.resources import Platform

# A cohort of a team may stand in for a shipped one of the same name, so this process knows its partition.
COHORT = "heart_disease"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def definitions_with(platform: Platform) -> dg.Definitions:
    """The project's definitions on another data folder or catalogue."""
    return dg.Definitions(
        assets=load().assets,
        asset_checks=load().asset_checks,
        jobs=load().jobs,
        resources={**(load().resources or {}), "platform": platform},
        executor=load().executor,
    )


def run_job(instance: dg.DagsterInstance, platform: Platform, *assets: str) -> dg.ExecuteInProcessResult:
    """Run ``ingest_cohort``, or only some assets of it, for the cohort."""
    return (
        definitions_with(platform)
        .resolve_job_def("ingest_cohort")
        .execute_in_process(
            partition_key=COHORT,
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in assets] or None,
            raise_on_error=False,
            run_config=QUIET,
        )
    )


def run_check(instance: dg.DagsterInstance, platform: Platform, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation:
    """Run one check and nothing else."""
    job = definitions_with(platform).resolve_job_def("ingest_cohort")
    alone = job.get_subset(asset_check_selection={key}, asset_selection=set())
    result = alone.execute_in_process(partition_key=COHORT, instance=instance, raise_on_error=False, run_config=QUIET)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


class Told(Protocol):
    """A run's events, from the run itself or from what was kept of it."""

    @property
    def all_events(self) -> Sequence[dg.DagsterEvent]: ...


def metadata_of(result: Told) -> dict[str, dict[str, Any]]:
    """What each materialised asset said about itself, by asset and name."""
    events = [event for event in result.all_events if event.is_step_materialization]
    return {
        event.asset_key.to_user_string(): dict(event.materialization.metadata)
        for event in events
        if event.asset_key is not None
    }


def data_versions(result: Told) -> dict[str, str]:
    """The data version of each materialised asset."""
    return {
        event.asset_key.to_user_string(): (event.materialization.tags or {})["dagster/data_version"]
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }


def files_that_hold(folder: Path, word: str) -> list[str]:
    """Files below a folder with these letters in them, whatever the file's format."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    )
