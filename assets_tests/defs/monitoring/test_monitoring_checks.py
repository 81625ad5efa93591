"""Checks after release: green passes, grey is a warning and never a pass, red is an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets_tests.worlds.ward.state import DIGEST, OTHER_DIGEST, State, state
from clinical_assets.definitions import load
from clinical_assets.defs.monitoring.checks import REPORT_CHECKS, batch_is_fresh
from clinical_assets.defs.resources import Platform
from clinical_assets.warehouse.store.warehouse import Warehouse

__all__ = ["state"]
COHORT = "heart_disease"
CHECKS = [batch_is_fresh, *REPORT_CHECKS]
BY_NAME = {check.check_key.name: check for check in CHECKS}


def run(name: str) -> dg.AssetCheckResult:
    context = dg.build_op_context(partition_key=COHORT)
    found = BY_NAME[name](context, platform=Platform())
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.mark.parametrize(
    ("check", "report", "green", "red", "severity"),
    [
        ("no_quality_alarm", "data_quality_report", "sound", "alarm", dg.AssetCheckSeverity.ERROR),
        ("no_drift", "drift_report", "stable", "drift", dg.AssetCheckSeverity.WARN),
        ("performance_as_promised", "performance_report", "as promised", "worse", dg.AssetCheckSeverity.ERROR),
        ("groups_served_alike", "fairness_report", "pass", "fail", dg.AssetCheckSeverity.ERROR),
    ],
)
def test_a_report_passes_where_it_is_green_and_warns_where_nothing_can_be_judged(
    state: State, check: str, report: str, green: str, red: str, severity: dg.AssetCheckSeverity
) -> None:
    def judged() -> tuple[bool, dg.AssetCheckSeverity]:
        found = run(check)
        assert found.passed or found.description
        return found.passed, found.severity

    warning = (False, dg.AssetCheckSeverity.WARN)
    assert judged() == warning
    state.promote(COHORT)
    assert judged() == warning
    state.report(report, "insufficient", COHORT)  # type: ignore[arg-type]
    assert judged() == warning
    state.report(report, green, COHORT)  # type: ignore[arg-type]
    assert judged()[0] is True
    state.report(report, red, COHORT)  # type: ignore[arg-type]
    assert judged() == (False, severity)
    # What was said about the champion before says nothing about the one that serves.
    state.promote(COHORT, digest=OTHER_DIGEST)
    assert judged() == warning


def test_a_cohort_is_stale_when_its_newest_batch_or_before_any_its_champion_is_too_old(state: State) -> None:
    assert run("batch_is_fresh").passed
    old = (datetime.now(UTC) - timedelta(days=36)).isoformat(timespec="microseconds")
    state.promote(COHORT, since=old)
    found = run("batch_is_fresh")
    assert not found.passed
    assert "hours old" in str(found.description)
    state.score(COHORT, tiers={}, digest=DIGEST)
    assert run("batch_is_fresh").passed
    with Warehouse(COHORT, state.settings).writer() as connection:
        connection.execute(f"UPDATE received.batches SET received_at = '{old}'")
    assert not run("batch_is_fresh").passed


def test_no_check_after_release_blocks_because_what_is_wrong_must_still_be_reported() -> None:
    known = {spec.key for check in load().asset_checks or () for spec in check.check_specs}
    for check in CHECKS:
        (spec,) = check.check_specs
        assert spec.key in known
        assert not spec.blocking
