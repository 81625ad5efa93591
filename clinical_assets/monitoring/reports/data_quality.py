"""Whether new records look like records at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.monitoring.report_type import (
    ChampionContext,
    NothingToReport,
    Promise,
    Report,
    ReportLine,
    ReportNews,
    ReportType,
)
from clinical_assets.reporting.formats import words

if TYPE_CHECKING:
    from clinical_assets.monitoring.report_type import StoredReport


def _alarms(report: StoredReport) -> list[str]:
    asked = report.report.get("questions", ())
    return [f"{words(each['column'])} ({each['kind']})" for each in asked if each["alarm"]]


REPORT = ReportType(
    name="data_quality_report",
    place=1,
    label="Data quality",
    alert="data_quality",
    maker=f"{__name__}:make",
    question=(
        "Whether the newest batches look like records at all: missing, refused, implausible, stuck or shifted values, "
        "outcomes that are all alike, deliveries that were refused as a whole."
    ),
    kinds=("duckdb",),
    promise=Promise("no_quality_alarm", "No column of the newest batches looks broken.", "error"),
    lines=(
        ReportLine("mean missing share", "mean missing share", 0.0, 0.2),
        ReportLine("alarms", "alarms", 0.0, 5.0, rest=0.0),
    ),
    exported={"alarms": "quality_alarms"},
    table="questions",
    news=ReportNews("new alarm about", "no alarm any more about", _alarms),
)


def make(champion: ChampionContext) -> tuple[Report, str]:
    """The report on as many of the newest batches as are needed for the least number of records."""
    from clinical_assets.monitoring.performance.label_quality import label_questions
    from clinical_assets.monitoring.quality import delivery_questions, nothing_but_refusals, quality_report
    from clinical_assets.monitoring.windows import matured_records
    from clinical_assets.warehouse.intake.refused_deliveries import open_refusals

    spec, bundle = champion.cohort.spec, champion.bundle
    with champion.cohort.warehouse.reader() as connection:
        refused = open_refusals(connection)
        try:
            window = champion.newest(connection, at_least=spec.monitoring.minimum_n)
        except NothingToReport:
            if not refused:
                raise
            return nothing_but_refusals(refused), "before the first batch"
        known = matured_records(connection, spec, bundle_digest=bundle.digest)
        asked = delivery_questions(refused) + label_questions(known, action_from=bundle.description.action_from)
        return quality_report(connection, spec, bundle, window, more=asked), window.name
