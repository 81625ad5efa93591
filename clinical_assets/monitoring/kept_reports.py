"""Where monitoring reports lie: one JSON file a report and window, and a pointer to the newest.

``data/reports/<cohort>/<report>/<time>.json``; ``latest.json`` beside them is a copy of the newest. Reports hold counts
and estimates, and no record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clinical_assets.settings import Settings
from clinical_assets.whole_files import write_whole

Name = Literal["data_quality_report", "drift_report", "performance_report", "fairness_report", "update_recommendation"]
NAMES: tuple[Name, ...] = (
    "data_quality_report",
    "drift_report",
    "performance_report",
    "fairness_report",
    "update_recommendation",
)
_LATEST = "latest.json"


def folder_of(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's reports."""
    return settings.data / "reports" / cohort


def keep(settings: Settings, cohort: str, name: Name, content: Mapping[str, Any]) -> Path:
    """Keep a report with the time of its making (``made_at``, UTC); it becomes the newest.

    Returns
    -------
    Path
        The file.
    """
    made_at = datetime.now(UTC).isoformat(timespec="microseconds")
    text = json.dumps({"made_at": made_at, **content}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder = folder_of(settings, cohort) / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made_at[:26].replace(':', '').replace('-', '')}.json"
    write_whole(path, text)
    write_whole(folder / _LATEST, text)
    return path


def latest(settings: Settings, cohort: str, name: Name) -> dict[str, Any] | None:
    """The newest report, or None."""
    try:
        text = (folder_of(settings, cohort) / name / _LATEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return dict(json.loads(text))


def history(settings: Settings, cohort: str, name: Name, *, limit: int = 60) -> list[dict[str, Any]]:
    """The newest reports, the oldest first."""
    folder = folder_of(settings, cohort) / name
    files = sorted(path for path in folder.glob("*.json") if path.name != _LATEST)[-limit:] if folder.exists() else []
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]
