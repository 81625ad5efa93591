"""Where monitoring reports lie: one JSON file a report and window, and a pointer to the newest.

``data/reports/<cohort>/<report>/<time>.json``; ``latest.json`` beside them is a copy of the newest. Reports hold counts
and estimates, and no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.canonical import readable_json
from clinical_assets.foundation.settings import Settings
from clinical_assets.monitoring.report_type import StoredReport
from clinical_assets.monitoring.reports import REPORTS

#: Name of a report.
ReportName = str
NAMES: tuple[ReportName, ...] = tuple(report.name for report in REPORTS)
_LATEST = "latest.json"


def folder_of(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's reports."""
    return settings.data / "reports" / cohort


def keep(settings: Settings, cohort: str, name: ReportName, content: Mapping[str, Any]) -> Path:
    """Keep a report with the time of its making; it becomes the newest.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    name : str
        Name of the report.
    content : mapping
        Fields of `StoredReport` without ``made_at``.

    Returns
    -------
    Path
        The file.
    """
    made_at = datetime.now(UTC).isoformat(timespec="microseconds")
    text = readable_json(StoredReport.of({"made_at": made_at, **content}, where=name).to_json())
    folder = folder_of(settings, cohort) / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made_at[:26].replace(':', '').replace('-', '')}.json"
    write_whole(path, text)
    write_whole(folder / _LATEST, text)
    return path


def latest(settings: Settings, cohort: str, name: ReportName) -> StoredReport | None:
    """The newest report, or None."""
    path = folder_of(settings, cohort) / name / _LATEST
    return StoredReport.read(path) if path.exists() else None


def history(settings: Settings, cohort: str, name: ReportName, *, limit: int = 60) -> list[StoredReport]:
    """The newest reports, the oldest first."""
    folder = folder_of(settings, cohort) / name
    files = sorted(path for path in folder.glob("*.json") if path.name != _LATEST)[-limit:] if folder.exists() else []
    return [StoredReport.read(path) for path in files]
