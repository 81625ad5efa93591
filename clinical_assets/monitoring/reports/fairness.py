"""Whether groups of people are served alike; made by the rules of the bias gate (``governance.fairness``)."""

from clinical_assets.monitoring.report_type import Promise, ReportType

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
)
