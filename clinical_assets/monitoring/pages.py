"""Static pages about monitoring: one a cohort with all reports, one for the platform; no server, no script.

What belongs here: turning kept reports into pages. What does not: making reports.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.monitoring import kept_reports
from clinical_assets.monitoring.page_pictures import pictures_of
from clinical_assets.monitoring.signals import signal_of
from clinical_assets.whole_files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

    from clinical_assets.cohorts.registry import Catalogue
    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"
_LABELS = {
    "data_quality_report": "Data quality",
    "drift_report": "Drift",
    "performance_report": "Performance",
    "fairness_report": "Fairness",
    "update_recommendation": "Recommendation",
}
_MOST_ROWS = 200
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T")


def write_cohort_page(settings: Settings, spec: CohortSpec, *, champion: str | None) -> Path:
    """Write ``data/reports/<cohort>/index.html`` from the newest reports and their history.

    Parameters
    ----------
    champion : str or None
        Digest of the bundle that serves.
    """
    reports = []
    for name in kept_reports.NAMES:
        newest = kept_reports.latest(settings, spec.name, name)
        if newest is None:
            reports.append(_missing(name))
            continue
        rows = _rows(newest)
        drawn = pictures_of(name, kept_reports.history(settings, spec.name, name), synthetic=spec.synthetic)
        reports.append(
            {
                "name": name,
                "label": _LABELS[name],
                "signal": signal_of(newest),
                "summary": newest["summary"],
                "window": _TIME.sub(r"\1 ", str(newest.get("window", "outcomes known by then"))),
                "made_at": str(newest["made_at"])[:19].replace("T", " "),
                "bundle_digest": newest["bundle_digest"],
                "of_other_model": champion is not None and newest["bundle_digest"] != champion,
                "rows": rows,
                "columns": list(rows[0]) if rows else [],
                "numbers": _numbers(rows),
                "pictures": [
                    {"alt": alt, "data": f"data:image/png;base64,{base64.b64encode(png).decode()}"}
                    for alt, png in drawn
                ],
            }
        )
    text = (
        _environment()
        .get_template("cohort.html.j2")
        .render(
            style=_style(),
            cohort=spec.name,
            title=spec.title,
            synthetic=spec.synthetic,
            champion=champion,
            written_at=_now(),
            reports=reports,
        )
    )
    return write_whole(kept_reports.folder_of(settings, spec.name) / "index.html", text)


def write_platform_page(settings: Settings, catalogue: Catalogue, *, since: Mapping[str, str]) -> Path:
    """Write ``data/reports/index.html``: every cohort with a light a report.

    Parameters
    ----------
    since : mapping
        When each cohort's champion took over; cohorts without one are left out.
    """
    cohorts = []
    for name in catalogue.names():
        spec = catalogue.spec(name)
        page = kept_reports.folder_of(settings, name) / "index.html"
        cohorts.append(
            {
                "name": name,
                "kind": "synthetic" if spec.synthetic else "real",
                "since": str(since[name])[:10] if name in since else "no champion",
                "page": f"{name}/index.html" if page.exists() else None,
                "signals": [signal_of(kept_reports.latest(settings, name, report)) for report in kept_reports.NAMES],
            }
        )
    text = (
        _environment()
        .get_template("platform.html.j2")
        .render(style=_style(), written_at=_now(), labels=list(_LABELS.values()), cohorts=cohorts)
    )
    return write_whole(settings.data / "reports" / "index.html", text)


def _missing(name: kept_reports.Name) -> dict[str, Any]:
    """A line for a report that was not made yet, so that nobody takes its absence for good news."""
    told = {"name": name, "label": _LABELS[name], "signal": signal_of(None), "summary": "Nothing was judged yet."}
    return {**told, "window": "–", "made_at": "–", "rows": [], "pictures": []}


def _numbers(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Columns that hold nothing but numbers: they are set flush right."""
    names = set(rows[0]) if rows else set()
    return {
        name
        for name in names
        if all(row.get(name) is None or type(row[name]) in (int, float) for row in rows)
        and any(row.get(name) is not None for row in rows)
    }


def _rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report's table: whichever list of rows it keeps."""
    if "rule" in report:
        return _evidence(report)
    inner = report.get("report", {})
    for name in ("measures", "criteria", "questions", "features"):
        rows = inner.get(name)
        if rows:
            return [_flat(row) for row in rows[:_MOST_ROWS]]
    return []


def _evidence(recommended: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a recommendation rests on: its rule, and every number and test that it saw."""
    rows = [
        {"evidence": "rule that decided", "value": recommended["rule"].replace("_", " ")},
        {"evidence": "update that the tests ask for", "value": (recommended.get("wanted") or "none").replace("_", " ")},
        {"evidence": "outcomes judged by", "value": recommended["n"]},
        {"evidence": "events among them", "value": recommended["events"]},
    ]
    for name, value in recommended.get("evidence", {}).items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            for test in value.get("tests", ()):
                asked = f"{words}: {test['smaller']} against {test['larger']}"
                found = f"chi-squared {test['statistic']:.3g} on {test['df']}, p = {test['p_value']:.3g}"
                rows.append({"evidence": asked, "value": found})
        elif isinstance(value, list):
            rows += [{"evidence": words, "value": str(each)} for each in value]
        else:
            rows.append({"evidence": words, "value": value})
    if recommended.get("cause"):
        rows.append({"evidence": "digest of the cause", "value": recommended["cause"]})
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


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    environment.filters["shown"] = _shown
    return environment


def _style() -> Any:
    from markupsafe import Markup

    return Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")[:19]
