"""Whether groups of people are served alike; made by the rules of the bias gate (``governance.fairness``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.monitoring.report_type import Promise, ReportNews, ReportType

if TYPE_CHECKING:
    from clinical_assets.monitoring.report_type import StoredReport


def _failing(report: StoredReport) -> list[str]:
    return [each["criterion"] for each in report.report.get("criteria", ()) if each["verdict"] == "fail"]


REPORT = ReportType(
    name="fairness_report",
    place=4,
    label="Fairness",
    alert="fairness",
    maker="clinical_assets.governance.gates.bias.fairness:make",
    question="The bias gate's questions, asked again of matured outcomes: one row per group and measure.",
    kinds=("fairlearn",),
    promise=Promise(
        "groups_served_alike",
        "No group is served worse than the cohort's limits allow, on outcomes that are known by now.",
        "error",
    ),
    table="criteria",
    news=ReportNews("newly beyond a limit:", "within its limit again:", _failing),
)
