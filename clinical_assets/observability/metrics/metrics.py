"""Every metric of the platform: its name, what it means, its labels, and the words a label may hold.

What belongs here: the vocabulary. What does not: reading state (``cohort_readings``, ``platform_readings``).

Labels are bounded: cohorts of the catalogue, tiers of their descriptions and the words below. Anything else is counted
under ``other``. No identifier and no value of a record is ever a label. Times are moments (seconds since 1970), so
that an age is ``time() - metric`` and does not stand still between two readings. What cannot be computed is absent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

PREFIX: Final = "clinical_assets_"
OTHER: Final = "other"
RECOMMENDATIONS = ("none", "wait", "repair_data", "ask", "intercept", "intercept_and_slope", "refit")
RUN_STATES = ("success", "failure", "canceled", "under_way", "process_gone")
PARTS = ("catalogue", "warehouse", "reports", "champion", "gates", "inbox", "ledger", "evidence", "runs")
LIGHTS: Mapping[str, int] = {"grey": 0, "green": 1, "amber": 2, "red": 3}
GATE_LIGHTS: Mapping[str, int] = {"pass": 1, "insufficient": 2, "fail": 3}


@dataclass(frozen=True)
class Metric:
    """What a metric means, and the names of its labels."""

    help: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Metric] = {
    "cohort_info": Metric(
        "1 for every cohort with state; says whether its records are synthetic.", ("cohort", "synthetic")
    ),
    "scored_records": Metric("Records scored by the present champion.", ("cohort", "tier")),
    "alerts": Metric("Records at or above the threshold of the present champion.", ("cohort", "tier")),
    "batches": Metric("Batches taken in.", ("cohort",)),
    "batch_records": Metric("Records accepted in batches.", ("cohort",)),
    "refused_records": Metric("Records refused in batches.", ("cohort",)),
    "newest_batch_timestamp_seconds": Metric("When the newest batch was taken in.", ("cohort",)),
    "stale_after_seconds": Metric("Age from which a cohort's newest batch counts as stale.", ("cohort",)),
    "newest_ingestion_timestamp_seconds": Metric("When the cohort's source was last ingested.", ("cohort",)),
    "report_light": Metric("Verdict about the champion: 0 grey, 1 green, 2 amber, 3 red.", ("cohort", "report")),
    "report_timestamp_seconds": Metric("When the newest report was made.", ("cohort", "report")),
    "psi_max": Metric("Largest population stability index of a feature, newest window.", ("cohort",)),
    "prediction_psi": Metric("Population stability index of the predicted risk, newest window.", ("cohort",)),
    "features_drifted": Metric("Features called drifted, newest window.", ("cohort",)),
    "quality_alarms": Metric("Columns whose values look broken, newest window.", ("cohort",)),
    "auroc": Metric("Area under the ROC curve on matured outcomes.", ("cohort",)),
    "calibration_intercept": Metric("Calibration intercept on matured outcomes; 0 is perfect.", ("cohort",)),
    "calibration_slope": Metric("Calibration slope on matured outcomes; 1 is perfect.", ("cohort",)),
    "net_benefit": Metric("Net benefit at the deployed threshold on matured outcomes.", ("cohort",)),
    "outcomes": Metric("Scored records whose outcome is known.", ("cohort",)),
    "recommendation": Metric("1 for the action that the newest recommendation names.", ("cohort", "action")),
    "gate_state": Metric(
        "Newest training: 1 pass, 2 insufficient, 3 fail; absent before evaluation.", ("cohort", "gate")
    ),
    "verdicts_changed": Metric("1 where stored verdicts are not what the gates said.", ("cohort",)),
    "champion_since_timestamp_seconds": Metric("When the present champion took over.", ("cohort",)),
    "inbox_files": Metric("Complete files that wait in the inbox.", ("cohort",)),
    "inbox_oldest_timestamp_seconds": Metric("When the longest waiting file of the inbox was put there.", ("cohort",)),
    "inbox_refused_files": Metric("Files that lie among the refused.", ("cohort",)),
    "ledger_length": Metric("Entries of the audit ledger's chain."),
    "ledger_entries": Metric("Entries of the audit ledger by action.", ("action",)),
    "ledger_intact": Metric("1 when the last verification found every entry and anchor as written, else 0."),
    "ledger_verified_timestamp_seconds": Metric("When the audit ledger was last verified."),
    "evidence_intact": Metric("1 when the last verification of all evidence found nothing wrong, else 0."),
    "evidence_verified_timestamp_seconds": Metric("When all evidence was last verified."),
    "runs": Metric("Runs that Dagster keeps.", ("dagster_job", "status")),
    "scrape_skipped_cohorts": Metric("Cohorts whose warehouse a run was writing; their last values are shown."),
    "scrape_errors": Metric("What could not be read at the last reading; its values are absent.", ("part",)),
    "scrape_duration_seconds": Metric("How long the last reading took."),
}


@dataclass(frozen=True)
class MetricSample:
    """One value of one metric."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


def sample(name: str, value: float | None, *labels: str) -> list[MetricSample]:
    """The value as a list of one, or an empty list where there is no finite number."""
    if value is None or not math.isfinite(value):
        return []
    return [MetricSample(name, float(value), labels)]


def bounded(word: str, known: Collection[str]) -> str:
    """The word if it is known, else ``other``."""
    return word if word in known else OTHER


def families(samples: Iterable[MetricSample]) -> list[GaugeMetricFamily]:
    """Samples as Prometheus wants them, in the order of `METRICS`; values of the same labels are added up."""
    from prometheus_client.core import GaugeMetricFamily

    added: dict[str, dict[tuple[str, ...], float]] = {}
    for each in samples:
        values = added.setdefault(each.name, {})
        values[each.labels] = values.get(each.labels, 0.0) + each.value
    made = []
    for name in sorted(added, key=list(METRICS).index):
        about = METRICS[name]
        family = GaugeMetricFamily(PREFIX + name, about.help, labels=about.labels)
        for labels, value in sorted(added[name].items()):
            family.add_metric(labels, value)
        made.append(family)
    return made
