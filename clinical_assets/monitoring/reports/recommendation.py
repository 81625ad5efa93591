"""What should happen to the champion; made from the other reports by the asset ``update_recommendation``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.monitoring.report_type import ReportNews, ReportType

if TYPE_CHECKING:
    from clinical_assets.monitoring.report_type import StoredReport


def _groups(report: StoredReport) -> list[str]:
    return [str(each) for each in report.evidence.get("groups", ())]


REPORT = ReportType(
    name="update_recommendation",
    place=99,
    label="Recommendation",
    alert="recommendation",
    news=ReportNews("now rests on groups", "no longer rests on groups", _groups),
)
