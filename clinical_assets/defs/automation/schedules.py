"""Schedules: what runs by the clock, whether or not a file came.

What belongs here: when, and for which cohorts. Whether a model needs an update is asked by every monitoring run
(``update_recommendation``), so that the retrain question has no clock of its own.
"""

from collections.abc import Iterator
from datetime import UTC

import dagster as dg

from clinical_assets.defs import partitions
from clinical_assets.defs.automation import jobs
from clinical_assets.defs.resources import Platform

Requests = Iterator[dg.RunRequest | dg.SkipReason]
_KIND = "clinical_assets/schedule"


# Running from the start: outcomes mature and windows move also on days without a file.
@dg.schedule(
    name="daily_monitoring",
    job=jobs.monitor_cohort,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: scores, reports and recommendation for each cohort that has a champion.",
)
def daily_monitoring(context: dg.ScheduleEvaluationContext, platform: Platform) -> Requests:
    """One run a day for each cohort that something serves."""
    from clinical_assets.modelling.champion import champion_pointer

    settings, day = platform.settings(), _day(context)
    none = True
    for name in partitions.cohorts().get_partition_keys():
        try:
            serving = champion_pointer.current(settings, name)
        except champion_pointer.ChampionError as error:
            # One broken pointer must not keep the other cohorts from being watched.
            context.log.error(f"{name} is not monitored today: {error}")
            continue
        if serving is not None:
            none = False
            yield dg.RunRequest(partition_key=name, run_key=f"daily:{name}:{day}", tags={_KIND: "daily"})
    if none:
        yield dg.SkipReason("No cohort has a champion yet.")


# Running from the start, before the day's work: what is wrong is known before anybody relies on it.
@dg.schedule(
    name="daily_verification",
    job=jobs.verify_evidence,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: all evidence of the installation held against the ledger, as audit verify --all does.",
)
def daily_verification(context: dg.ScheduleEvaluationContext, platform: Platform) -> Requests:
    """One run a day, once anything was recorded."""
    if platform.workspace().records.exists:
        yield dg.RunRequest(run_key=f"verify:{_day(context)}", tags={_KIND: "daily"})
    else:
        yield dg.SkipReason("Nothing was ever recorded.")


# Stopped until somebody wants it: it reads sources that may be large, remote or metered.
@dg.schedule(
    name="weekly_ingestion",
    job=jobs.ingest_cohort,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every Sunday: cohorts that were ingested before are read from their sources again.",
)
def weekly_ingestion(context: dg.ScheduleEvaluationContext, platform: Platform) -> Requests:
    """One run a week for each cohort that has a warehouse; it changes no model."""
    settings, day = platform.settings(), _day(context)
    there = [
        name for name in partitions.cohorts().get_partition_keys() if (settings.warehouse / f"{name}.duckdb").exists()
    ]
    for name in there:
        yield dg.RunRequest(partition_key=name, run_key=f"weekly:{name}:{day}", tags={_KIND: "weekly"})
    if not there:
        yield dg.SkipReason("No cohort was ingested yet.")


def _day(context: dg.ScheduleEvaluationContext) -> str:
    """The day that the tick is for, not the one on which it is evaluated: a late tick asks for the same runs."""
    return context.scheduled_execution_time.astimezone(UTC).strftime("%Y-%m-%d")
