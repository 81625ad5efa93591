"""Sensors that tell people: runs that failed, reports that turned, gates, rollbacks, cohorts that fell silent.

What belongs here: when to look, and what Dagster knows of a failed run. What is worth an alert, and how it is sent, is
the work of ``clinical_assets.observability``. A receiver that is away never fails a run or a tick: alerts wait for it.
"""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.resources import PARTITION, Platform
from clinical_assets.defs.shared.aftermath import clean_up_after
from clinical_assets.defs.shared.run_tags import WAITS_FOR
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.run_liveness import GONE, PROCESS_GONE_TAG, end_died

if TYPE_CHECKING:
    from clinical_assets.observability.metrics.descriptions import Descriptions

# Running from the start: nobody switches an alarm on after the fire.
_RUNNING = dg.DefaultSensorStatus.RUNNING
# Each gate's failure is told of once, with its criteria, by the sensor `alerts`.
_GATE_CHECKS = frozenset({*(f"gate_verdicts_{gate}_gate" for gate in GATES), "gate_verdicts_nothing_failed"})
_WILL_RETRY = "dagster/will_retry"


@dg.run_failure_sensor(
    name="run_failures",
    default_status=_RUNNING,
    minimum_interval_seconds=30,
    description="Tells people about runs that failed and are not tried again.",
)
def run_failures(context: dg.RunFailureSensorContext, platform: Platform) -> dg.SkipReason | None:
    """One alert a day for a cohort, job and step that fail; the words of the error stay in Dagster."""
    from clinical_assets.observability.alerts.alert import Alert
    from clinical_assets.observability.alerts.alerts import deliver, post

    run = context.dagster_run
    settings = platform.settings()
    if PROCESS_GONE_TAG in run.tags:
        clean_up_after(context.instance, settings, [run])
    if run.tags.get(_WILL_RETRY) == "true":
        return dg.SkipReason("The run is tried again; its last try is told of.")
    now = datetime.now(UTC)
    cohort = run.tags.get(PARTITION)
    failures = context.get_step_failure_events()
    if failures and all(_told_elsewhere(event) for event in failures):
        return dg.SkipReason("A gate that failed has an alert of its own, and what waits for people is no failure.")
    steps = [str(event.step_key) for event in failures]
    gone = PROCESS_GONE_TAG in run.tags
    where = f"in step {steps[0]}" if steps else "because its process was killed" if gone else "outside of its steps"
    alert = Alert(
        kind="run_failed",
        cohort=cohort,
        severity="critical",
        title=f"{cohort or 'platform'}: run of {run.job_name} failed {where}",
        # An error's words may hold what a record holds; whoever may read them finds them in the UI.
        text=f"Run {run.run_id} of {run.job_name}. "
        + (GONE if gone else "What went wrong stands in the UI beside the failed step."),
        at=now.isoformat(),
        cause=f"{run.job_name} {steps[0] if steps else '-'} {now.date()}",
    )
    new = post(settings, [alert])
    deliver(settings)
    return None if new else dg.SkipReason("The same failure was told of today.")


def _told_elsewhere(event: dg.DagsterEvent) -> bool:
    """Whether a failed step needs no alert of its own: a gate's check, or a promotion that waits for people."""
    said = event.step_failure_data.user_failure_data
    if said is not None and WAITS_FOR in said.metadata:
        return True
    return event.step_key in _GATE_CHECKS


@dg.sensor(
    name="interrupted_runs",
    default_status=_RUNNING,
    minimum_interval_seconds=30,
    description="Ends runs whose process was killed, so that they keep no place in the queue and no cohort busy.",
)
def interrupted_runs(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
    """Dagster's run monitoring does it too, where the launcher of the shipped ``dagster.yaml`` is configured."""
    ended = end_died(context.instance)
    clean_up_after(context.instance, platform.settings(), ended)
    for run in ended:
        context.log.warning(f"Run {run.run_id} of {run.job_name} was ended: its process is gone.")
    return dg.SkipReason(f"{len(ended)} runs had lost their process and were ended.")


@dg.sensor(
    name="alerts",
    default_status=_RUNNING,
    minimum_interval_seconds=60,
    description="Tells people about drift, worse performance, broken values, failed gates, rollbacks, silent cohorts.",
)
def alerts(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SkipReason:
    """Look at what is new, put it into the outbox, deliver what waits there. It never starts a run."""
    from clinical_assets.observability.alerts.alerts import deliver, post
    from clinical_assets.observability.alerts.watch import Watcher, load_seen, save_seen
    from clinical_assets.records.database import RecordsDatabase

    settings = platform.settings()
    seen = load_seen(settings)
    watcher = Watcher(settings, platform.cohorts(), RecordsDatabase(settings), _descriptions())
    found = watcher.look(seen)
    # Posted before it counts as seen: a process that dies between the two finds it again, and the outbox knows it.
    new = post(settings, found)
    save_seen(settings, seen)
    done = deliver(settings)
    for alert in new:
        context.log.info(f"{alert.severity}: {alert.title}")
    return dg.SkipReason(f"{len(new)} new alerts, {len(done)} delivered everywhere.")


@cache
def _descriptions() -> "Descriptions":
    """Descriptions that this process has read; they are read again when their files change."""
    from clinical_assets.observability.metrics.descriptions import Descriptions

    return Descriptions()
