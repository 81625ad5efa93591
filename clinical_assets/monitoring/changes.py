"""What changed from one round of reports to the next, in sentences for a clinician.

What belongs here: comparing the newest report of each kind with the one before it. A difference is described, not
judged: whether it matters is said by the reports' own verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.report_store import StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import signal_of
from clinical_assets.reporting.formats import prose, words


def changes_since(
    histories: Mapping[report_store.ReportName, Sequence[StoredReport]], spec: CohortSpec
) -> tuple[str, ...]:
    """One sentence per report that changed, and one for all that did not.

    Parameters
    ----------
    histories : mapping
        Reports of each kind, the oldest first.
    spec : CohortSpec
        The cohort's description: labels of its groups.
    """
    found, same, first = [], [], []
    for name, history in histories.items():
        label = BY_NAME[name].label
        if not history:
            continue
        if len(history) == 1:
            first.append(label)
            continue
        before, now = history[-2], history[-1]
        parts = _changes(name, before, now, spec)
        if parts:
            found.append(f"{label}: {'; '.join(parts)}.")
        else:
            same.append(f"{label} ({signal_of(now).word})")
    if same:
        found.append(f"Unchanged: {', '.join(same)}.")
    if first:
        found.append(f"Made for the first time: {', '.join(first)}.")
    return tuple(found) or ("No report was made yet.",)


def _changes(name: report_store.ReportName, before: StoredReport, now: StoredReport, spec: CohortSpec) -> list[str]:
    if before.bundle_digest != now.bundle_digest:
        return [f"{signal_of(now).word}; the report before was about another model"]
    parts = []
    if signal_of(before) != signal_of(now):
        parts.append(f"was {signal_of(before).word}, is {signal_of(now).word}")
    came, went = _INTRODUCTIONS[name]
    then, since = _items(name, before, spec), _items(name, now, spec)
    for introduction, items in ((came, sorted(since - then)), (went, sorted(then - since))):
        if items:
            more = f" and {len(items) - 5} more" if len(items) > 5 else ""
            parts.append(f"{introduction} {', '.join(items[:5])}{more}")
    return parts


# How new and vanished findings of each report are introduced.
_INTRODUCTIONS: dict[report_store.ReportName, tuple[str, str]] = {
    "data_quality_report": ("new alarm about", "no alarm any more about"),
    "drift_report": ("newly drifting:", "drifting no longer:"),
    "performance_report": ("newly worse than promised:", "as promised again:"),
    "fairness_report": ("newly beyond a limit:", "within its limit again:"),
    "update_recommendation": ("now rests on groups", "no longer rests on groups"),
}


def _items(name: report_store.ReportName, report: StoredReport, spec: CohortSpec) -> set[str]:
    """Findings of a report that may come and go, as words."""
    inner = report.report
    match name:
        case "data_quality_report":
            found = [
                f"{words(each['column'])} ({each['kind']})" for each in inner.get("questions", ()) if each["alarm"]
            ]
        case "drift_report":
            columns = [*inner.get("features", ()), *filter(None, [inner.get("prediction")])]
            found = [words(each["distances"]["name"]) for each in columns if each["verdict"] == "drift"]
        case "performance_report":
            found = [words(each) for each in inner.get("worse", ())]
        case "fairness_report":
            failed = [each["criterion"] for each in inner.get("criteria", ()) if each["verdict"] == "fail"]
            found = [prose(spec.labelled(each)) for each in failed]
        case "update_recommendation":
            found = [prose(spec.labelled(str(each))) for each in report.evidence.get("groups", ())]
    return set(found)
