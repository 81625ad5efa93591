"""Sensors: what starts runs without anyone's click.

What belongs here: looking, cheaply, and asking for runs. What a run does is the work of the assets.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets.resources import PARTITION
from clinical_assets.assets.updates import CAUSE_TAG, UPDATE_TAG
from clinical_assets.automation import alert_sensors
from clinical_assets.automation.jobs import monitor_cohort, promote_champion, recalibrate_model, train_cohort
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.records.ledger import Action

#: What may end the last reason against a release.
_SETTLES: tuple[Action, ...] = ("dossier", "gate_verdict", "waiver", "signature")
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

    Whether an update may be made (plan, cool-down, budget) was decided with the recommendation, so that one that was
    made before the last update ended, or about a model that no longer serves, is none to act on. What is made is a
    challenger; promotion stays with the gates and the signatures.
    """
    from clinical_assets.assets.partitions import COHORTS
    from clinical_assets.governance import champions
    from clinical_assets.monitoring import kept_reports

    settings = Settings.from_environment()
    done: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    requests = []
    for name in COHORTS.get_partition_keys():
        try:
            newest = kept_reports.latest(settings, name, "update_recommendation")
        except ValueError:
            context.log.error(f"{name} is not updated: its newest recommendation is no JSON; run monitor_cohort again.")
            continue
        if newest is None or newest["action"] not in _UPDATES or done.get(name) == newest["cause"]:
            continue
        try:
            serving = champions.current(settings, name)
        except champions.ChampionError as error:
            # One broken pointer must not keep the other cohorts from being updated.
            context.log.error(f"{name} is not updated: {error}")
            continue
        if serving is None or serving.digest != newest["bundle_digest"]:
            continue
        if _update_since(context.instance, name, datetime.fromisoformat(newest["made_at"])):
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


def _update_since(instance: dg.DagsterInstance, cohort: str, moment: datetime) -> bool:
    """Whether an update of this cohort goes on, or ended after a moment, however it ended."""
    tags = {PARTITION: cohort, UPDATE_TAG: list(_UPDATES)}
    for record in instance.get_run_records(dg.RunsFilter(tags=tags), limit=20):
        if not record.dagster_run.is_finished or (record.end_time or 0.0) > moment.timestamp():
            return True
    return False


@dg.sensor(
    job=promote_champion,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="A change that the cohort's plan lets take effect by itself is promoted without signers.",
)
def self_promotion(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run for one dossier: the newest model of a cohort whose plan says `promotes_itself`, if nothing blocks it.

    The cursor holds the number of the last ledger entry that was looked at, so that nothing is opened where nothing was
    judged, written or signed since. The run asks for blockers once more; what was seen here is not believed there.
    """
    from clinical_assets.assets.partitions import COHORTS
    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.errors import ClinicalAssetsError
    from clinical_assets.governance.unattended import ready
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger
    from clinical_assets.serving.platform_readings import has_records

    settings = Settings.from_environment()
    records = RecordsDatabase(settings)
    if not has_records(records):
        return dg.SkipReason("Nothing was ever recorded.")
    seen: dict[str, Any] = json.loads(context.cursor) if context.cursor else {"seq": 0, "again": []}
    ledger = Ledger(records)
    newest = ledger.newest(1)
    head = newest[0].seq if newest else 0
    names = set(seen["again"])
    if head != seen["seq"]:
        # A ledger that became shorter was restored from a backup: everything in it is looked at.
        after = seen["seq"] if head > seen["seq"] else 0
        names |= {str(entry.cohort) for action in _SETTLES for entry in ledger.entries(action=action, after=after)}
    catalogue, requests, again = Catalogue.from_settings(settings), [], []
    for name in sorted(names & set(COHORTS.get_partition_keys())):
        try:
            found = ready(name, settings=settings, catalogue=catalogue)
        except ClinicalAssetsError as error:
            # Another cohort's model must not wait for this one.
            context.log.error(f"{name} does not promote itself: {error}")
            continue
        if found.again:
            again.append(name)
        if found.dossier is not None:
            tags = {"clinical_assets/dossier": found.dossier}
            requests.append(dg.RunRequest(partition_key=name, run_key=f"promote:{name}:{found.dossier}", tags=tags))
    cursor = json.dumps({"seq": head, "again": again}, sort_keys=True)
    if not requests:
        return dg.SensorResult(skip_reason="No model may take effect by itself now.", cursor=cursor)
    return dg.SensorResult(run_requests=requests, cursor=cursor)


SENSORS = [release_automation, inbox, model_updates, self_promotion, *alert_sensors.SENSORS]
