"""Reports are kept whole, the newest is found, and none holds what JSON cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.monitoring import kept_reports
from clinical_assets.settings import Settings


def test_the_newest_is_found_and_the_older_ones_are_kept(settings: Settings) -> None:
    for number in range(5):
        kept_reports.keep(settings, "ward", "drift_report", {"verdict": str(number)})
    newest = kept_reports.latest(settings, "ward", "drift_report")
    assert newest is not None
    assert newest["verdict"] == "4"
    assert [each["verdict"] for each in kept_reports.history(settings, "ward", "drift_report")] == list("01234")
    assert [each["verdict"] for each in kept_reports.history(settings, "ward", "drift_report", limit=2)] == list("34")


def test_without_a_report_there_is_none(settings: Settings) -> None:
    assert kept_reports.latest(settings, "ward", "drift_report") is None
    assert kept_reports.history(settings, "ward", "drift_report") == []


def test_a_number_that_is_none_is_refused_and_the_old_report_stays(settings: Settings) -> None:
    kept_reports.keep(settings, "ward", "drift_report", {"verdict": "stable"})
    with pytest.raises(ValueError, match="JSON"):
        kept_reports.keep(settings, "ward", "drift_report", {"verdict": "drift", "psi": float("nan")})
    newest = kept_reports.latest(settings, "ward", "drift_report")
    assert newest is not None
    assert newest["verdict"] == "stable"


def test_a_full_disk_leaves_the_old_report_and_no_litter(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_reports.keep(settings, "ward", "drift_report", {"verdict": "stable"})
    before = set(settings.data.rglob("*"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clinical_assets.whole_files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        kept_reports.keep(settings, "ward", "drift_report", {"verdict": "drift"})
    assert set(settings.data.rglob("*")) == before


def test_others_may_read_what_was_kept(settings: Settings) -> None:
    path: Path = kept_reports.keep(settings, "ward", "drift_report", {"verdict": "stable"})
    assert path.stat().st_mode & 0o777 == 0o644
