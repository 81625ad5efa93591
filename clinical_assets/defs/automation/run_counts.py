"""How many runs of each job ended how: counted in Dagster's store, for metrics."""

from __future__ import annotations

import dagster as dg

from clinical_assets.defs.automation import jobs
from clinical_assets.run_liveness import died

#: Runs that Dagster starts for assets by their conditions have one job without a name of ours.
ASSETS = "assets"
_IMPLICIT = "__ASSET_JOB"
JOB_LABELS = (*(job.name for job in jobs.JOBS), jobs.verify_evidence.name, ASSETS)
#: Runs that Dagster calls started although their process was killed.
PROCESS_GONE = "process_gone"
#: Dagster's statuses by what they come to.
STATES = {
    "success": [dg.DagsterRunStatus.SUCCESS],
    "failure": [dg.DagsterRunStatus.FAILURE],
    "canceled": [dg.DagsterRunStatus.CANCELED],
    "under_way": [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
        dg.DagsterRunStatus.SUSPENDED,
    ],
}


def counted_runs(instance: dg.DagsterInstance) -> dict[tuple[str, str], int]:
    """Runs by label of the job and state; every pair of a known job is there, because none is a true zero.

    Runs of jobs that are not known any more are counted under ``other``.
    """
    counted: dict[tuple[str, str], int] = {(label, PROCESS_GONE): 0 for label in JOB_LABELS}
    for state, statuses in STATES.items():
        left = instance.get_runs_count(dg.RunsFilter(statuses=statuses))
        for label in JOB_LABELS:
            name = _IMPLICIT if label == ASSETS else label
            found = instance.get_runs_count(dg.RunsFilter(job_name=name, statuses=statuses)) if left else 0
            counted[label, state] = found
            left -= found
        if left > 0:
            counted["other", state] = left
    # Dagster calls them started; they are not under way.
    for run in died(instance):
        label = ASSETS if run.job_name == _IMPLICIT else run.job_name if run.job_name in JOB_LABELS else "other"
        counted[label, "under_way"] -= 1
        counted[label, PROCESS_GONE] = counted.get((label, PROCESS_GONE), 0) + 1
    return counted
