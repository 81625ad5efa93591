"""Whether new records have moved away from the champion's training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinical_assets.monitoring.report_type import ChampionContext, Promise, Report, ReportLine, ReportNews, ReportType
from clinical_assets.reporting.formats import words

if TYPE_CHECKING:
    from clinical_assets.monitoring.report_type import StoredReport


def _drifting(report: StoredReport) -> list[str]:
    columns = [*report.report.get("features", ()), *filter(None, [report.report.get("prediction")])]
    return [words(each["distances"]["name"]) for each in columns if each["verdict"] == "drift"]


REPORT = ReportType(
    name="drift_report",
    place=2,
    label="Drift",
    alert="drift",
    maker=f"{__name__}:make",
    question=(
        "Have the newest batches moved away from the champion's training rows, and do the features that moved matter?\n"
        "\n"
        "Decided on all rows, with multiplicity control, limits on size and a least number of records."
    ),
    kinds=("duckdb",),
    # Drift alone harms nobody; it is a reason to look.
    promise=Promise(
        "no_drift", "The newest batches look like the records that the champion was trained on.", "warning"
    ),
    lines=(
        ReportLine("psi_max", "largest PSI of a feature", 0.0, 0.4, rest=0.2),
        ReportLine("prediction_psi", "PSI of the risk", 0.0, 0.4, rest=0.2),
    ),
    exported={name: name for name in ("psi_max", "prediction_psi", "features_drifted")},
    # Features are drawn in a section of their own (``drift.section``).
    news=ReportNews("newly drifting:", "drifting no longer:", _drifting),
)


def make(champion: ChampionContext) -> tuple[Report, str]:
    """The report on the newest batches against the rows of the training."""
    from clinical_assets.modelling.trainings import trainings
    from clinical_assets.modelling.trainings.reference import relation_of
    from clinical_assets.monitoring import windows
    from clinical_assets.monitoring.drift import drift

    names, limits = champion.bundle.feature_columns, champion.cohort.spec.monitoring
    results = trainings.with_bundle(champion.cohort.settings, champion.cohort.spec.name, champion.digest).results
    with champion.cohort.warehouse.reader() as connection:
        window = champion.newest(connection, at_least=limits.minimum_n)
        report = drift.drift_report(
            relation_of(champion.digest),
            windows.drift_relation(
                connection, champion.cohort.spec, window, bundle_digest=champion.digest, features=names
            ),
            features=names,
            # Without a row to explain there are no contributions, and no feature weighs more than another.
            importance=results.contributions or None,
            limits=limits,
            connection=connection,
        )
    return report, window.name
