"""Promises about what serves, as checks that can fail: records keep coming, values are sound, risks hold.

A check reads the newest kept report, so that it can be run again at any time. None blocks: a model that drifts must
still be reported on. What could not be judged has not passed, and is a warning. Reports about an earlier champion say
nothing about the present one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from clinical_assets.assets.partitions import COHORTS
from clinical_assets.assets.resources import Cohort, Platform, told

if TYPE_CHECKING:
    from clinical_assets.monitoring.kept_reports import Name


@dg.asset_check(asset="incoming_records", partitions_def=COHORTS)
def batch_is_fresh(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """The newest batch of a cohort with a champion is not older than its description allows."""
    from datetime import UTC, datetime, timedelta

    from clinical_assets.governance import champions
    from clinical_assets.records.clock import parse
    from clinical_assets.warehouse.received_tables import BATCHES, has_table

    cohort = platform.cohort(context.partition_key)
    with told():
        champion = champions.current(cohort.settings, cohort.name)
        limit = timedelta(hours=cohort.spec.monitoring.stale_after_hours)
        if champion is None:
            return dg.AssetCheckResult(passed=True, description="Nothing serves, so that no record is waited for.")
        newest = None
        if cohort.warehouse.exists():
            with cohort.warehouse.reader() as connection:
                if has_table(connection, *BATCHES.split(".")):
                    (newest,) = connection.execute(f"SELECT max(received_at) FROM {BATCHES}").fetchone() or (None,)
    # Before the first batch, the champion's own beginning is what silence is counted from.
    since = parse(str(newest)) if newest is not None else parse(champion.since)
    age = datetime.now(UTC) - since
    hours = age.total_seconds() / 3600
    return dg.AssetCheckResult(
        passed=age <= limit,
        description=None
        if age <= limit
        else (
            f"The newest batch is {hours:.0f} hours old, {limit.total_seconds() / 3600:.0f} are allowed: nothing is "
            "known about how the model does now."
        ),
        metadata={"age (hours)": round(hours, 1), "batches": "none yet" if newest is None else str(newest)[:19]},
    )


def _report_check(
    name: str, report: "Name", promise: str, *, severity: dg.AssetCheckSeverity
) -> dg.AssetChecksDefinition:
    @dg.asset_check(name=name, asset=report, partitions_def=COHORTS, description=promise)
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from clinical_assets.monitoring import kept_reports

        cohort = platform.cohort(context.partition_key)
        with told():
            newest = kept_reports.latest(cohort.settings, cohort.name, report)
            return _judged(cohort, newest, severity)

    return check


def _judged(cohort: Cohort, newest: Mapping[str, Any] | None, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    from clinical_assets.governance import champions
    from clinical_assets.monitoring.signals import signal_of

    champion = champions.current(cohort.settings, cohort.name)
    unknown = None
    if champion is None:
        unknown = "Nothing serves, so that there is nothing to judge."
    elif newest is None:
        unknown = "There is no report yet."
    elif newest["bundle_digest"] != champion.digest:
        unknown = "The newest report is about an earlier champion."
    if unknown is not None or newest is None:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=unknown)
    light = signal_of(newest)
    return dg.AssetCheckResult(
        passed=light.colour == "green",
        severity=dg.AssetCheckSeverity.WARN if light.colour == "grey" else severity,
        description=str(newest["summary"]),
        metadata={
            "verdict": light.word,
            "light": light.colour,
            "made at (UTC)": str(newest["made_at"])[:19],
            "window": str(newest.get("window", "-")),
            "bundle digest": str(newest["bundle_digest"]),
        },
    )


CHECKS = [
    batch_is_fresh,
    _report_check(
        "no_quality_alarm",
        "data_quality_report",
        "No column of the newest batches looks broken.",
        severity=dg.AssetCheckSeverity.ERROR,
    ),
    _report_check(
        "no_drift",
        "drift_report",
        "The newest batches look like the records that the champion was trained on.",
        # Drift alone harms nobody; it is a reason to look.
        severity=dg.AssetCheckSeverity.WARN,
    ),
    _report_check(
        "performance_as_promised",
        "performance_report",
        "The champion is as good as its card promised, on outcomes that are known by now.",
        severity=dg.AssetCheckSeverity.ERROR,
    ),
    _report_check(
        "groups_served_alike",
        "fairness_report",
        "No group is served worse than the cohort's limits allow, on outcomes that are known by now.",
        severity=dg.AssetCheckSeverity.ERROR,
    ),
]
