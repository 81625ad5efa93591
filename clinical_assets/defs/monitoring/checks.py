"""Promises about what serves, as checks that can fail: records keep coming, values are sound, risks hold.

A check reads the newest kept report, so that it can be run again at any time. None blocks: a model that drifts must
still be reported on. What could not be judged has not passed, and is a warning. Reports about an earlier champion say
nothing about the present one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from clinical_assets.defs.shared.cohort_asset import cohort_check
from clinical_assets.monitoring.report_type import Promise, ReportType
from clinical_assets.monitoring.reports import REPORTS
from clinical_assets.workspace import CohortHandle

if TYPE_CHECKING:
    from clinical_assets.monitoring.report_type import StoredReport

_SEVERITY = {"error": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}


@cohort_check(asset="incoming_records")
def batch_is_fresh(cohort: CohortHandle) -> dg.AssetCheckResult:
    """The newest batch of a cohort with a champion is not older than its description allows."""
    from datetime import UTC, datetime, timedelta

    from clinical_assets.modelling.champion import champion_pointer
    from clinical_assets.records.clock import parse
    from clinical_assets.warehouse.outcomes.received_tables import BATCHES, has_table

    champion = champion_pointer.current(cohort.settings, cohort.name)
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


@cohort_check(asset="incoming_records")
def deliveries_are_usable(cohort: CohortHandle) -> dg.AssetCheckResult:
    """No delivery was refused as a whole since the last one of its kind that was taken in."""
    from clinical_assets.warehouse.intake.refused_deliveries import open_refusals

    refused: Mapping[str, int] = {}
    if cohort.warehouse.exists():
        with cohort.warehouse.reader() as connection:
            refused = open_refusals(connection)
    total = sum(refused.values())
    return dg.AssetCheckResult(
        passed=not total,
        description=None
        if not total
        else f"{total} were refused and nothing came since; reasons and cures lie in the inbox under refused/.",
        metadata={f"refused ({kind})": count for kind, count in refused.items()},
    )


def _report_check(report: ReportType, promise: Promise) -> dg.AssetChecksDefinition:
    @cohort_check(name=promise.name, asset=report.name, promise=promise.words)
    def check(cohort: CohortHandle) -> dg.AssetCheckResult:
        from clinical_assets.monitoring import report_store

        return _judged(cohort, report_store.latest(cohort.settings, cohort.name, report.name), promise)

    return check


def _judged(cohort: CohortHandle, newest: "StoredReport | None", promise: Promise) -> dg.AssetCheckResult:
    from clinical_assets.modelling.champion import champion_pointer
    from clinical_assets.monitoring.traffic_lights import signal_of

    champion = champion_pointer.current(cohort.settings, cohort.name)
    unknown = None
    if champion is None:
        unknown = "Nothing serves, so that there is nothing to judge."
    elif newest is None:
        unknown = "There is no report yet; the asset says why."
    elif newest.bundle_digest != champion.digest:
        unknown = "The newest report is about an earlier champion."
    if unknown is not None or newest is None:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=unknown)
    light = signal_of(newest)
    return dg.AssetCheckResult(
        passed=light.colour == "green",
        severity=dg.AssetCheckSeverity.WARN if light.colour == "grey" else _SEVERITY[promise.severity],
        description=newest.summary,
        metadata={
            "verdict": light.word,
            "light": light.colour,
            "made at (UTC)": newest.made_at[:19],
            "window": newest.window or "-",
            "bundle digest": newest.bundle_digest,
        },
    )


REPORT_CHECKS = [_report_check(report, report.promise) for report in REPORTS if report.promise is not None]
