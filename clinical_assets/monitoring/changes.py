"""What changed from one round of reports to the next, in sentences for a clinician.

What belongs here: comparing the newest report of each kind with the one before it. A difference is described, not
judged: whether it matters is said by the reports' own verdicts. What counts as a finding is said by each report's
``news``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import signal_of
from clinical_assets.reporting.formats import prose


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
    news = BY_NAME[name].news
    if news is None:
        return parts
    then, since = ({prose(spec.labelled(each)) for each in news.findings(report)} for report in (before, now))
    for introduction, items in ((news.came, sorted(since - then)), (news.went, sorted(then - since))):
        if items:
            more = f" and {len(items) - 5} more" if len(items) > 5 else ""
            parts.append(f"{introduction} {', '.join(items[:5])}{more}")
    return parts
