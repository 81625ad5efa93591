"""The page about monitoring of a cohort, with all reports.

What belongs here: turning kept reports into the view models of pages. What does not: making reports, HTML
(``clinical_assets.reporting``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.trainings.card import METRICS
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.changes import changes_since
from clinical_assets.monitoring.drift.report import DriftReport
from clinical_assets.monitoring.drift.section import drift_view
from clinical_assets.monitoring.report_plots import pictures_of
from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import Signal, signal_of
from clinical_assets.reporting.formats import prose, shown, words
from clinical_assets.reporting.pages import render_page
from clinical_assets.reporting.views import Badge, MonitoringPage, ReportView, TableView

_MOST_ROWS = 200
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T")
_MEASURES = {name: label for name, (label, _) in METRICS.items()}
_HEADS = {
    "ci_low": "95 % interval from",
    "ci_high": "to",
    "card": "on the card",
    "card ci_low": "its interval from",
    "card ci_high": "to",
    "then": "reference",
    "now": "newest records",
}


def write_cohort_page(
    settings: Settings, spec: CohortSpec, *, champion: str | None, links: Mapping[str, Path] | None = None
) -> Path:
    """Write ``data/reports/<cohort>/index.html`` from the newest reports and their history.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    spec : CohortSpec
        The cohort's description.
    champion : str or None
        Digest of the bundle that serves.
    links : mapping, optional
        Other files about the cohort that there are to read, by name.
    """
    place = report_store.folder_of(settings, spec.name) / "index.html"
    histories = {name: report_store.history(settings, spec.name, name) for name in report_store.NAMES}
    page = MonitoringPage(
        title=f"Monitoring: {spec.title}",
        synthetic=spec.synthetic,
        cohort=spec.name,
        champion=champion,
        written_at=_now(),
        changes=changes_since(histories, spec),
        reports=tuple(_report(name, history, spec, champion=champion) for name, history in histories.items()),
        links=tuple((label, os.path.relpath(path, place.parent)) for label, path in (links or {}).items()),
    )
    return write_whole(place, render_page(page))


def _report(
    name: report_store.ReportName, history: Sequence[StoredReport], spec: CohortSpec, *, champion: str | None
) -> ReportView:
    label = BY_NAME[name].label
    if not history:
        # A line of its own, so that nobody takes a missing report for good news.
        return ReportView(name, label, _badge(signal_of(None)), "Nothing was judged yet.", window="–", made_at="–")
    newest = history[-1]
    is_earlier = champion is not None and newest.bundle_digest != champion
    drift = DriftReport.from_json(newest.report) if name == "drift_report" else None
    return ReportView(
        name=name,
        label=label,
        badge=_badge(signal_of(newest)),
        summary=_prose(newest.summary, spec),
        window=_TIME.sub(r"\1 ", newest.window or "outcomes known by then"),
        made_at=newest.made_at[:19].replace("T", " "),
        earlier_model=newest.bundle_digest if is_earlier else None,
        pictures=pictures_of(name, history, synthetic=spec.synthetic),
        table=None if drift else _table(label, _rows(name, newest), spec),
        drift=drift_view(drift) if drift else None,
    )


def _badge(signal: Signal) -> Badge:
    return Badge(signal.colour, signal.word)


def _table(label: str, rows: Sequence[Mapping[str, Any]], spec: CohortSpec) -> TableView | None:
    if not rows:
        return None
    columns = list(rows[0])
    return TableView(
        label=label,
        columns=tuple(_head(name) for name in columns),
        numeric=tuple(_is_numeric([row.get(name) for row in rows]) for name in columns),
        rows=tuple(tuple(_cell(row.get(name), spec) for name in columns) for row in rows[:_MOST_ROWS]),
        total=len(rows),
    )


def _head(name: str) -> str:
    head = _HEADS.get(name) or words(name)
    return head if len(head) == 1 else head[0].upper() + head[1:]


def _is_numeric(cells: Sequence[Any]) -> bool:
    present = [cell for cell in cells if cell is not None]
    return bool(present) and all(type(cell) in (int, float) for cell in present)


def _cell(value: Any, spec: CohortSpec) -> str:
    return _MEASURES.get(value) or _prose(value, spec) if isinstance(value, str) and value else shown(value)


def _prose(text: str, spec: CohortSpec) -> str:
    """A sentence without code names, of columns as of groups; labelled first, while attributes have their names."""
    return prose(spec.labelled(text), _MEASURES)


def _rows(name: report_store.ReportName, report: StoredReport) -> list[dict[str, Any]]:
    """The report's table."""
    if report.rule is not None:
        return _evidence(report)
    table = BY_NAME[name].table
    return [_flat(row) for row in report.report.get(table, ())] if table else []


def _evidence(recommended: StoredReport) -> list[dict[str, Any]]:
    """What a recommendation rests on: its rule, and every number and test that it saw."""
    rows: list[dict[str, Any]] = [
        {"evidence": "rule that decided", "value": recommended.rule},
        {"evidence": "update that the tests ask for", "value": recommended.wanted or "none"},
        {"evidence": "outcomes judged by", "value": recommended.n},
        {"evidence": "events among them", "value": recommended.events},
    ]
    for name, value in recommended.evidence.items():
        if isinstance(value, Mapping):
            for test in value.get("tests", ()):
                asked = f"{words(name)}: {test['smaller']} against {test['larger']}"
                found = f"chi-squared {test['statistic']:.3g} on {test['df']}, p = {test['p_value']:.3g}"
                rows.append({"evidence": asked, "value": found})
        elif isinstance(value, list):
            rows += [{"evidence": words(name), "value": str(each)} for each in value]
        else:
            rows.append({"evidence": words(name), "value": value})
    if recommended.cause:
        rows.append({"evidence": "digest of the cause", "value": recommended.cause})
    return rows


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {inner}": each for inner, each in value.items() if not isinstance(each, Mapping | list)}
        elif isinstance(value, list):
            flat[name] = "; ".join(str(each) for each in value)
        else:
            flat[name] = value
    return flat


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")[:19]
