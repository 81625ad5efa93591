"""Schedules: what runs by the clock, whether or not a file came.

What belongs here: when, and for which cohorts. Whether a model needs an update is asked by every monitoring run
(``update_recommendation``), so that the retrain question has no clock of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import dagster as dg

from clinical_assets.automation.jobs import ingest_cohort, monitor_cohort
from clinical_assets.settings import Settings

_KIND = "clinical_assets/schedule"


# Running from the start: outcomes mature and windows move also on days without a file.
@dg.schedule(
    name="daily_monitoring",
    job=monitor_cohort,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: scores, reports and recommendation for each cohort that has a champion.",
)
def daily_monitoring(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a day for each cohort that something serves."""
    from clinical_assets.governance import champions

    settings, day = Settings.from_environment(), _day(context)
    none = True
    for name in _cohorts():
        try:
            serving = champions.current(settings, name)
        except champions.ChampionError as error:
            # One broken pointer must not keep the other cohorts from being watched.
            context.log.error(f"{name} is not monitored today: {error}")
            continue
        if serving is not None:
            none = False
            yield dg.RunRequest(partition_key=name, run_key=f"daily:{name}:{day}", tags={_KIND: "daily"})
    if none:
        yield dg.SkipReason("No cohort has a champion yet.")


# Stopped until somebody wants it: it reads sources that may be large, remote or metered.
@dg.schedule(
    name="weekly_ingestion",
    job=ingest_cohort,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every Sunday: cohorts that were ingested before are read from their sources again.",
)
def weekly_ingestion(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a week for each cohort that has a warehouse; it changes no model."""
    settings, day = Settings.from_environment(), _day(context)
    there = [name for name in _cohorts() if (settings.warehouse / f"{name}.duckdb").exists()]
    for name in there:
        yield dg.RunRequest(partition_key=name, run_key=f"weekly:{name}:{day}", tags={_KIND: "weekly"})
    if not there:
        yield dg.SkipReason("No cohort was ingested yet.")


def _cohorts() -> list[str]:
    from clinical_assets.assets.partitions import COHORTS

    return list(COHORTS.get_partition_keys())


def _day(context: dg.ScheduleEvaluationContext) -> str:
    """The day that the tick is for, not the one on which it is evaluated: a late tick asks for the same runs."""
    return context.scheduled_execution_time.astimezone(UTC).strftime("%Y-%m-%d")


SCHEDULES = [daily_monitoring, weekly_ingestion]
