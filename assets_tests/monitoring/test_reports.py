"""A report is registered once, and everything that shows it is made of that."""

from __future__ import annotations

from importlib import import_module

import dagster as dg
import pytest

from clinical_assets.definitions import load
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.report_type import ReportType
from clinical_assets.monitoring.reports import BY_NAME, REPORTS
from clinical_assets.observability.alerts.alert import AlertKind
from clinical_assets.observability.metrics.metrics import sample


def test_names_places_and_checks_are_unique_and_kept_reports_follow() -> None:
    assert len(BY_NAME) == len({report.place for report in REPORTS}) == len(REPORTS)
    promises = [report.promise.name for report in REPORTS if report.promise is not None]
    assert len(set(promises)) == len(promises)
    assert [report.name for report in REPORTS] == list(report_store.NAMES)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_each_report_has_its_asset_its_check_its_metrics_and_its_alert(report: ReportType) -> None:
    specs = {spec.key.to_user_string(): spec for spec in load().resolve_all_asset_specs()}
    assert report.name in specs
    if report.maker is not None:
        module, _, function = report.maker.partition(":")
        assert callable(getattr(import_module(module), function))
        assert specs[report.name].description == report.question
        assert report.name in {dep.asset_key.to_user_string() for dep in specs["update_recommendation"].deps}
    checks = {key for check in load().asset_checks or () for key in check.check_keys}
    if report.promise is not None:
        assert dg.AssetCheckKey(dg.AssetKey(report.name), report.promise.name) in checks
    assert report.alert in AlertKind.__args__
    for metric in report.exported.values():
        assert sample(metric, 1.0, "heart_disease")
