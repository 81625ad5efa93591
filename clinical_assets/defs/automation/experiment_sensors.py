"""The sensor that ends an experiment by itself, and keeps its report fresh.

What belongs here: when to look. What ends an experiment is the work of ``clinical_assets.experiments``.
"""

import json

import dagster as dg

from clinical_assets.defs import partitions
from clinical_assets.defs.automation import jobs
from clinical_assets.defs.automation.sensors import cohorts_with_open_runs
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.errors import ClinicalAssetsError

ACTOR = "automation:experiments"
#: Behind every other run of the cohort that waits.
REPORT_PRIORITY = "-5"


@dg.sensor(
    job=jobs.report_experiment,
    # Running from the start: nobody stands by at night to end what does harm.
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Ends an experiment that does harm, is not divided as planned, or is decided; then reports on it.",
)
def experiments(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Each experiment that goes on is judged at every tick in which its log grew, and ended within that tick.

    The end is in the ledger before a run is asked for, so that a queue of runs delays no patient's safety. The cursor
    holds the last line of each log that was judged, and the hour, because time alone ends one, too.
    """
    from clinical_assets.experiments.watching import watch_experiment

    workspace = platform.workspace()
    if not workspace.records.exists:
        return dg.SkipReason("Nothing was ever recorded.")
    known = set(partitions.cohorts().get_partition_keys())
    began = {str(each.cohort) for each in workspace.ledger.entries(action="experiment")} & known
    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    requests = []
    busy = cohorts_with_open_runs(context.instance, jobs.report_experiment.name) if began else set()
    for name in sorted(began):
        try:
            view = watch_experiment(workspace.cohort(name), actor=ACTOR)
        except ClinicalAssetsError as error:
            # The others must not wait; its server lets it take no part either, where its records are not sound.
            context.log.error(f"The experiment of {name} cannot be judged: {error}")
            continue
        if view is None:
            continue
        if view.judgement.verdict is not None:
            context.log.warning(f"{name}: {view.judgement.verdict}: {view.judgement.reason}")
        digest, verdict = view.experiment.protocol.digest[-12:], view.judgement.verdict
        mark = f"{digest}:{view.log.read_to}:{verdict}:{view.evaluation.at:%Y%m%d%H}"
        # Reports must not fill the queue that a promotion waits in; the end of an experiment is always told.
        if seen.get(name) != mark and (verdict is not None or name not in busy):
            seen[name] = mark
            requests.append(
                dg.RunRequest(
                    partition_key=name, run_key=f"experiment:{name}:{mark}", tags={"dagster/priority": REPORT_PRIORITY}
                )
            )
    if not requests:
        return dg.SkipReason("No experiment goes on that was not reported on already.")
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))
