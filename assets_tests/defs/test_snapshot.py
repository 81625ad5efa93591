"""What Dagster is shown changes only on purpose: a committed picture of all definitions, compared name by name.

After a change that is meant, ``python -m assets_tests.defs.test_snapshot`` writes the picture anew; the difference is
part of the review.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import dagster as dg

from clinical_assets.definitions import load
from clinical_assets.defs import partitions

PICTURE = Path(__file__).with_name("definitions.json")
RENEW = "python -m assets_tests.defs.test_snapshot"
# Cohorts come and go by themselves; the picture says which catalogue an asset follows.
FAMILIES = {"cohorts": partitions.cohorts, "micro_cohorts": partitions.micro_cohorts}


def picture(definitions: dg.Definitions) -> dict[str, Any]:
    """Assets, checks, jobs, schedules, sensors and resources by name, without code versions and cohort names."""
    assets = {}
    for definition in definitions.resolve_asset_graph().assets_defs:
        for spec in definition.specs:
            policy = definition.backfill_policy
            assets[spec.key.to_user_string()] = {
                "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "group": spec.group_name,
                "owners": list(spec.owners),
                "kinds": sorted(spec.kinds),
                "tags": {k: v for k, v in sorted(spec.tags.items()) if not k.startswith("dagster/kind")},
                "partitions": family_of(spec.partitions_def),
                "made by": definition.op.name if definition.is_executable else None,
                "can be subset": definition.is_executable and definition.can_subset,
                "pool": definition.op.pool if definition.is_executable else None,
                "partitions per run of a backfill": None if policy is None else policy.max_partitions_per_run,
                "freshness": spec.freshness_policy is not None,
                "automation": spec.automation_condition is not None,
                "has a code version": spec.code_version is not None,
            }
    checks = {
        f"{spec.asset_key.to_user_string()}.{spec.name}": {
            "blocking": spec.blocking,
            "partitions": family_of(spec.partitions_def),
        }
        for check in definitions.asset_checks or ()
        for spec in check.check_specs
    }
    repository = definitions.get_repository_def()
    jobs = {
        job.name: {
            "assets": sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys),
            "partitions": family_of(job.partitions_def),
        }
        for job in repository.get_all_jobs()
        if not job.name.startswith("__")
    }
    sensors = {
        sensor.name: {"status": sensor.default_status.value, "jobs": sorted(t.job_name for t in sensor.targets)}
        for sensor in repository.sensor_defs
    }
    schedules = {
        schedule.name: {
            "cron": schedule.cron_schedule,
            "job": schedule.job_name,
            "status": schedule.default_status.value,
        }
        for schedule in repository.schedule_defs
    }
    return {
        "assets": dict(sorted(assets.items())),
        "checks": dict(sorted(checks.items())),
        "jobs": dict(sorted(jobs.items())),
        "schedules": dict(sorted(schedules.items())),
        "sensors": dict(sorted(sensors.items())),
        "resources": sorted(definitions.resources or {}),
        "executor": definitions.executor.name if isinstance(definitions.executor, dg.ExecutorDefinition) else None,
    }


def family_of(definition: dg.PartitionsDefinition[str] | None) -> str | None:
    """Name of the catalogue whose names are the partitions."""
    return next((name for name, family in FAMILIES.items() if definition == family()), None)


def written(definitions: dg.Definitions) -> str:
    return json.dumps(picture(definitions), indent=1) + "\n"


def test_definitions_are_those_of_the_committed_picture() -> None:
    now, before = written(load()), PICTURE.read_text()
    difference = "\n".join(
        difflib.unified_diff(before.splitlines(), now.splitlines(), "committed", "now", lineterm="", n=2)
    )
    assert now == before, f"The definitions changed. If that is meant: {RENEW}\n{difference}"


if __name__ == "__main__":
    PICTURE.write_text(written(load()))
