"""Runs are counted by job and by how they ended; every pair of a known job is there."""

from __future__ import annotations

import dagster as dg

from clinical_assets.defs.automation.run_counts import ASSETS, JOB_LABELS, STATES, counted_runs
from clinical_assets.observability.metrics.metrics import RUN_STATES

STATUS = dg.DagsterRunStatus


def test_runs_are_counted_by_job_and_state_and_unknown_jobs_together(instance: dg.DagsterInstance) -> None:
    for job, status in (
        ("train_cohort", STATUS.SUCCESS),
        ("train_cohort", STATUS.SUCCESS),
        ("train_cohort", STATUS.STARTING),
        ("train_cohort", STATUS.STARTED),
        ("__ASSET_JOB", STATUS.FAILURE),
        ("a_job_of_last_year", STATUS.FAILURE),
        ("another_one", STATUS.FAILURE),
    ):
        instance.add_run(dg.DagsterRun(job_name=job, status=status))
    counted = counted_runs(instance)
    assert set(counted) == {(job, state) for job in JOB_LABELS for state in RUN_STATES} | {("other", "failure")}
    assert {pair: count for pair, count in counted.items() if count} == {
        ("train_cohort", "success"): 2,
        ("train_cohort", "under_way"): 2,
        (ASSETS, "failure"): 1,
        ("other", "failure"): 2,
    }


def test_every_status_of_dagster_belongs_to_one_state(instance: dg.DagsterInstance) -> None:
    named = [status for statuses in STATES.values() for status in statuses]
    # No run is ever in the state "managed": it stands for runs that are kept elsewhere.
    assert sorted(named, key=str) == sorted(set(STATUS) - {STATUS.MANAGED}, key=str)
    # A queued run needs the address of its code, which a test has not.
    for status in set(named) - {STATUS.QUEUED}:
        instance.add_run(dg.DagsterRun(job_name="train_cohort", status=status))
    assert sum(counted_runs(instance).values()) == len(named) - 1
