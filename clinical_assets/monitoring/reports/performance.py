"""Whether the champion is as good as its card promised."""

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


def _worse(report: StoredReport) -> list[str]:
    return [words(each) for each in report.report.get("worse", ())]


REPORT = ReportType(
    name="performance_report",
    place=3,
    label="Performance",
    alert="performance",
    maker=f"{__name__}:make",
    question=(
        "How the champion does on outcomes that are known by now, against its card; until then estimated without them."
    ),
    promise=Promise(
        "performance_as_promised",
        "The champion is as good as its card promised, on outcomes that are known by now.",
        "error",
    ),
    lines=(
        ReportLine("auroc", "AUROC", 0.5, 1.0),
        ReportLine("calibration_intercept", "calibration intercept", -1.0, 1.0, rest=0.0),
        ReportLine("calibration_slope", "calibration slope", 0.0, 2.0, rest=1.0),
        ReportLine("net_benefit", "net benefit", -0.05, 0.2, rest=0.0),
    ),
    exported={
        name: name for name in ("auroc", "calibration_intercept", "calibration_slope", "net_benefit", "outcomes")
    },
    table="measures",
    news=ReportNews("newly worse than promised:", "as promised again:", _worse),
)


def make(champion: ChampionContext) -> tuple[Report, str]:
    """The report on all matured outcomes of the champion's scores."""
    from clinical_assets.modelling.trainings import trainings
    from clinical_assets.monitoring import windows
    from clinical_assets.monitoring.performance.label_free import label_free_report
    from clinical_assets.monitoring.performance.performance import performance_report

    training = trainings.with_bundle(champion.cohort.settings, champion.cohort.spec.name, champion.digest)
    with champion.cohort.warehouse.reader() as connection:
        rows = windows.followed_records(connection, champion.cohort.spec, bundle_digest=champion.digest)
        unlabelled = label_free_report(connection, champion.cohort.spec, champion.bundle)
    if rows is None and unlabelled is None:
        raise NothingToReport("No record was scored by the present champion yet.")
    report = performance_report(
        rows, champion.cohort.spec, champion.bundle, card=training.results.plain(), unlabelled=unlabelled
    )
    window = f"outcomes known by {report.until[:19]} UTC" if report.until else "before any outcome"
    return report, window
