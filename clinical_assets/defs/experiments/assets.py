"""What is known of a cohort's newest experiment: ``experiment_report`` and ``shadow_report``, and a page of both.

What belongs here: what Dagster needs to know. The numbers are the work of ``clinical_assets.experiments``.
"""

import dagster as dg

from clinical_assets.defs.shared.cohort_asset import AssetResult, cohort_asset
from clinical_assets.workspace import CohortHandle

GROUP, OWNER = "experiments", "team:clinical-data-science"
_NONE = AssetResult(metadata={"verdict": "insufficient", "why": "No experiment was started yet."})


@cohort_asset(group=GROUP, owner=OWNER, deps=["champion_model"], kinds={"html"})
def experiment_report(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """The newest experiment of the cohort: verdict, the sequence over time, number exposed, guardrails, allocation.

    Both arms alike, final outcomes alone. Looking at it as often as one likes spends no error.
    """
    from clinical_assets.experiments.reports import experiment_report as report_of
    from clinical_assets.experiments.reports import write_reports
    from clinical_assets.experiments.watching import newest_experiment, view_experiment

    newest = newest_experiment(cohort)
    if newest is None:
        return _NONE
    view = view_experiment(cohort, newest)
    page = write_reports(cohort.settings, cohort.spec, view)
    report = report_of(view, cohort.spec)
    return AssetResult(
        metadata={
            "experiment": report["experiment"],
            "state": report["state"],
            "share": report["share"],
            "verdict": report["verdict"],
            "reason": dg.MetadataValue.md(report["reason"]),
            "observations": report["observations"],
            "planned observations": report["planned"],
            "exposed patients": report["exposed_patients"],
            **{f"net benefit difference, {name}": value for name, value in (report["difference"] or {}).items()},
            "guardrails": report["guardrails"],
            "page": page,
        }
    )


@cohort_asset(group=GROUP, owner=OWNER, deps=["experiment_report"], kinds={"python"})
def shadow_report(_: dg.AssetExecutionContext, cohort: CohortHandle) -> AssetResult:
    """Champion and challenger on the same answers: scores, alerts, tiers, calibration and net benefit, pair by pair."""
    from clinical_assets.experiments.reports import shadow_report as report_of
    from clinical_assets.experiments.watching import newest_experiment, view_experiment

    newest = newest_experiment(cohort)
    if newest is None:
        return _NONE
    report = report_of(view_experiment(cohort, newest))
    benefit = report.get("net_benefit_difference") or {}
    return AssetResult(
        metadata={
            "verdict": report["verdict"],
            "pairs": report["pairs"],
            "answers without a pair": report["unpaired"],
            **{
                name: report[name] for name in ("mean_difference", "largest_difference", "same_alert") if name in report
            },
            "tiers": report.get("tiers", []),
            **{f"net benefit difference, {name}": value for name, value in benefit.items()},
        }
    )
