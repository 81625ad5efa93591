"""Sensors: what starts runs without anyone's click.

What belongs here: looking, cheaply, and asking for runs. What a run does is the work of the assets.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg

from clinical_assets.assets.updates import CAUSE_TAG, UPDATE_TAG
from clinical_assets.automation import alert_sensors
from clinical_assets.automation.jobs import monitor_cohort, recalibrate_model, train_cohort
from clinical_assets.settings import Settings

_UPDATES = ("intercept", "intercept_and_slope", "refit")
#: Runs that one look asks for at most; the rest follows at the next.
MOST_REQUESTS = 100

# A new model gets its gates and its dossier, a new signature gets the promotion looked at; both are conditions that
# stand on the assets. Running from the start, because a fresh installation should react by itself.
release_automation = dg.AutomationConditionSensorDefinition(
    name="release_automation",
    target=dg.AssetSelection.groups("release"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Evaluates gates and writes the dossier after a training; promotes after a signature.",
)


@dg.sensor(
    job=monitor_cohort,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Complete new files in data/inbox/<cohort>/ start scoring and reports for that cohort.",
)
def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run a cohort whose inbox holds something complete that no run was asked for yet.

    The cursor holds the fingerprint of what each cohort's last run was asked for. It looks at names, sizes and times
    only; no file is opened and no description read.
    """
    from clinical_assets.assets.partitions import COHORTS
    from clinical_assets.sources.inbox import pending

    found = pending(Settings.from_environment())
    # What lies there unchanged for an hour after its run, because that failed, is asked for again.
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    marks = {name: f"{what.fingerprint[:32]}:{hour}" for name, what in found.items()}
    asked: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    known = set(COHORTS.get_partition_keys())
    new = [name for name, mark in marks.items() if name in known and asked.get(name) != mark]
    requests = []
    # A run that goes on empties the inbox; what came meanwhile is asked for when it has ended.
    busy = _busy(context.instance) if new else set()
    for name in [each for each in new if each not in busy][:MOST_REQUESTS]:
        asked[name] = marks[name]
        requests.append(
            dg.RunRequest(
                partition_key=name,
                run_key=f"inbox:{name}:{marks[name]}",
                tags={"clinical_assets/inbox_files": str(found[name].files)},
            )
        )
    strangers = sorted(set(found) - known)
    if strangers:
        context.log.warning(
            f"data/inbox has folders of cohorts that nobody described: {', '.join(strangers[:5])}. "
            "Describe the cohort, or remove the folder."
        )
    if not requests:
        return dg.SkipReason("No inbox has anything new that is complete.")
    kept = {name: mark for name, mark in asked.items() if name in found}
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(kept, sort_keys=True))


def _busy(instance: dg.DagsterInstance) -> set[str]:
    """Cohorts of which a monitoring run is queued or goes on."""
    open_states = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    records = instance.get_run_records(dg.RunsFilter(job_name=monitor_cohort.name, statuses=open_states))
    return {record.dagster_run.tags.get("dagster/partition", "") for record in records}


@dg.sensor(
    jobs=[train_cohort, recalibrate_model],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="A recommended update that the cohort's change control plan permits starts the run that makes it.",
)
def model_updates(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run for one cause: the newest recommendation of each cohort, if it is an update and was not acted on yet.

    Whether an update may be made (plan, cool-down, budget) was decided with the recommendation. What is made is a
    challenger; promotion stays with the gates and the signatures.
    """
    from clinical_assets.assets.partitions import COHORTS
    from clinical_assets.monitoring import kept_reports

    settings = Settings.from_environment()
    done: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    requests = []
    for name in COHORTS.get_partition_keys():
        newest = kept_reports.latest(settings, name, "update_recommendation")
        if newest is None or newest["action"] not in _UPDATES or done.get(name) == newest["cause"]:
            continue
        done[name] = newest["cause"]
        requests.append(
            dg.RunRequest(
                job_name=train_cohort.name if newest["action"] == "refit" else recalibrate_model.name,
                partition_key=name,
                run_key=f"update:{name}:{newest['cause']}",
                tags={
                    UPDATE_TAG: newest["action"],
                    CAUSE_TAG: newest["cause"],
                    "clinical_assets/rule": newest["rule"],
                },
            )
        )
    if not requests:
        return dg.SkipReason("No update is recommended that was not started already.")
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(done, sort_keys=True))


SENSORS = [release_automation, inbox, model_updates, *alert_sensors.SENSORS]
