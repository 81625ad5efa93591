"""Sensors: what starts runs without anyone's click.

What belongs here: looking, cheaply, and asking for runs. What a run does is the work of the assets.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.defs import partitions
from clinical_assets.defs.automation import jobs
from clinical_assets.defs.resources import PARTITION, Platform
from clinical_assets.defs.shared.run_tags import CAUSE_TAG, UPDATE_TAG
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat

if TYPE_CHECKING:
    from clinical_assets.records.ledger.ledger import LedgerAction

#: What may end the last reason against a release.
_SETTLES: "tuple[LedgerAction, ...]" = ("dossier", "gate_verdict", "waiver", "signature")
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
    job=jobs.monitor_cohort,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Complete new files in data/inbox/<cohort>/ start scoring and reports for that cohort.",
)
def inbox(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """One run a cohort whose inbox holds something complete that no run was asked for yet.

    The cursor holds the fingerprint of what each cohort's last run was asked for. It looks at names, sizes and times
    only; no file is opened and no description read.
    """
    from clinical_assets.sources.inbox import pending

    found = pending(platform.settings())
    # What lies there unchanged for an hour after its run, because that failed, is asked for again.
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    marks = {name: f"{what.fingerprint[:32]}:{hour}" for name, what in found.items()}
    asked: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    known = set(partitions.cohorts().get_partition_keys())
    new = [name for name, mark in marks.items() if name in known and asked.get(name) != mark]
    requests = []
    # A run that goes on empties the inbox; what came meanwhile is asked for when it has ended.
    busy = cohorts_with_open_runs(context.instance, jobs.monitor_cohort.name) if new else set()
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


def cohorts_with_open_runs(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Cohorts of which a run of a job is queued or goes on."""
    open_states = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=open_states))
    return {record.dagster_run.tags.get("dagster/partition", "") for record in records}


@dg.sensor(
    jobs=[jobs.train_cohort, jobs.recalibrate_model],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="A recommended update that the cohort's change control plan permits starts the run that makes it.",
)
def model_updates(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """One run for one cause: the newest recommendation of each cohort, if it is an update and was not acted on yet.

    Whether an update may be made (plan, cool-down, budget) was decided with the recommendation, so that one that was
    made before the last update ended, or about a model that no longer serves, is none to act on. What is made is a
    challenger; promotion stays with the gates and the signatures.
    """
    from clinical_assets.modelling.champion import champion_pointer
    from clinical_assets.monitoring import report_store

    settings = platform.settings()
    done: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    requests = []
    for name in partitions.cohorts().get_partition_keys():
        try:
            newest = report_store.latest(settings, name, "update_recommendation")
        except (BadDocument, NewerFormat) as error:
            context.log.error(f"{name} is not updated: {error.message} Run monitor_cohort again.")
            continue
        if newest is None or newest.action not in _UPDATES or newest.cause is None or newest.cause == done.get(name):
            continue
        try:
            serving = champion_pointer.current(settings, name)
        except champion_pointer.ChampionError as error:
            # One broken pointer must not keep the other cohorts from being updated.
            context.log.error(f"{name} is not updated: {error}")
            continue
        if serving is None or serving.digest != newest.bundle_digest:
            continue
        if _update_since(context.instance, name, datetime.fromisoformat(newest.made_at)):
            continue
        done[name] = newest.cause
        requests.append(
            dg.RunRequest(
                job_name=jobs.train_cohort.name if newest.action == "refit" else jobs.recalibrate_model.name,
                partition_key=name,
                run_key=f"update:{name}:{newest.cause}",
                tags={
                    UPDATE_TAG: newest.action,
                    CAUSE_TAG: newest.cause,
                    "clinical_assets/rule": str(newest.rule),
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
    job=jobs.promote_champion,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Promotes a model after the last signature or waiver, or where the plan lets it take effect by itself.",
)
def promotion(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """One run for one cohort: its newest model, if nothing stands against it; else what it waits for, in words.

    The cursor holds the number of the last ledger entry that was looked at, so that nothing is opened where nothing was
    judged, written or signed since. The run asks for blockers once more; what was seen here is not believed there.
    """
    from clinical_assets.foundation.errors import ClinicalAssetsError
    from clinical_assets.governance.promotion.auto_promotion import ready
    from clinical_assets.governance.promotion.blocker import in_short

    workspace = platform.workspace()
    if not workspace.records.exists:
        return dg.SkipReason("Nothing was ever recorded.")
    seen: dict[str, Any] = json.loads(context.cursor) if context.cursor else {"seq": 0, "again": []}
    ledger = workspace.ledger
    newest = ledger.newest(1)
    head = newest[0].seq if newest else 0
    names = set(seen["again"])
    if head != seen["seq"]:
        # A ledger that became shorter was restored from a backup: everything in it is looked at.
        after = seen["seq"] if head > seen["seq"] else 0
        names |= {str(entry.cohort) for action in _SETTLES for entry in ledger.entries(action=action, after=after)}
    requests: list[dg.RunRequest] = []
    again, waiting = [], dict(seen.get("waiting", {}))
    for name in sorted(names & set(partitions.cohorts().get_partition_keys())):
        try:
            found = ready(workspace.cohort(name))
        except ClinicalAssetsError as error:
            # Another cohort's model must not wait for this one.
            context.log.error(f"{name} is not promoted: {error}")
            continue
        waiting.pop(name, None)
        if found.waits_for:
            waiting[name] = in_short(found.waits_for)
        if found.again:
            again.append(name)
        if found.dossier is not None:
            tags = {"clinical_assets/dossier": found.dossier}
            requests.append(
                dg.RunRequest(partition_key=name, run_key=f"promote:{name}:{found.dossier}:{head}", tags=tags)
            )
    cursor = json.dumps({"seq": head, "again": again, "waiting": waiting}, sort_keys=True)
    if not requests:
        words = "; ".join(f"{name} waits for: {what}" for name, what in sorted(waiting.items()))
        return dg.SensorResult(skip_reason=words or "No model waits to be promoted.", cursor=cursor)
    return dg.SensorResult(run_requests=requests, cursor=cursor)
