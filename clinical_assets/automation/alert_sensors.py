"""Sensors that tell people: runs that failed, reports that turned, gates, rollbacks, cohorts that fell silent.

What belongs here: when to look, and what Dagster knows of a failed run. What is worth an alert, and how it is sent, is
the work of ``clinical_assets.serving``. A receiver that is away never fails a run or a tick: alerts wait for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.assets.resources import PARTITION
from clinical_assets.settings import Settings

if TYPE_CHECKING:
    from clinical_assets.serving.descriptions import Descriptions

# Running from the start: nobody switches an alarm on after the fire.
_RUNNING = dg.DefaultSensorStatus.RUNNING
_WILL_RETRY = "dagster/will_retry"


@dg.run_failure_sensor(
    name="run_failures",
    default_status=_RUNNING,
    minimum_interval_seconds=30,
    description="Tells people about runs that failed and are not tried again.",
)
def run_failures(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """One alert a day for a cohort, job and step that fail; the words of the error stay in Dagster."""
    from clinical_assets.serving.alerts import Alert, deliver, post

    run = context.dagster_run
    if run.tags.get(_WILL_RETRY) == "true":
        return dg.SkipReason("The run is tried again; its last try is told of.")
    settings = Settings.from_environment()
    now = datetime.now(UTC)
    cohort = run.tags.get(PARTITION)
    steps = [str(event.step_key) for event in context.get_step_failure_events()]
    where = f"in step {steps[0]}" if steps else "outside of its steps"
    alert = Alert(
        kind="run_failed",
        cohort=cohort,
        severity="critical",
        title=f"{cohort or 'platform'}: run of {run.job_name} failed {where}",
        # An error's words may hold what a record holds; whoever may read them finds them in the UI.
        text=f"Run {run.run_id} of {run.job_name}. What went wrong stands in the UI beside the failed step.",
        at=now.isoformat(),
        cause=f"{run.job_name} {steps[0] if steps else '-'} {now.date()}",
    )
    new = post(settings, [alert])
    deliver(settings)
    return None if new else dg.SkipReason("The same failure was told of today.")


@dg.sensor(
    name="alerts",
    default_status=_RUNNING,
    minimum_interval_seconds=60,
    description="Tells people about drift, worse performance, broken values, failed gates, rollbacks, silent cohorts.",
)
def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look at what is new, put it into the outbox, deliver what waits there. It never starts a run."""
    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.serving.alert_watch import Watcher, load_seen, save_seen
    from clinical_assets.serving.alerts import deliver, post

    settings = Settings.from_environment()
    seen = load_seen(settings)
    watcher = Watcher(settings, Catalogue.from_settings(settings), RecordsDatabase(settings), _descriptions())
    found = watcher.look(seen)
    # Posted before it counts as seen: a process that dies between the two finds it again, and the outbox knows it.
    new = post(settings, found)
    save_seen(settings, seen)
    done = deliver(settings)
    for alert in new:
        context.log.info(f"{alert.severity}: {alert.title}")
    return dg.SkipReason(f"{len(new)} new alerts, {len(done)} delivered everywhere.")


@cache
def _descriptions() -> Descriptions:
    """Descriptions that this process has read; they are read again when their files change."""
    from clinical_assets.serving.descriptions import Descriptions

    return Descriptions()


SENSORS = [run_failures, alerts]
