"""Reports are kept whole, the newest is found, and none holds what JSON cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clinical_assets.foundation.settings import Settings
from clinical_assets.monitoring import report_store


def _content(verdict: str) -> dict[str, Any]:
    return {"verdict": verdict, "summary": "A sentence.", "bundle_digest": "sha256:a"}


def test_the_newest_is_found_and_the_older_ones_are_kept(settings: Settings) -> None:
    for number in range(5):
        report_store.keep(settings, "ward", "drift_report", _content(str(number)))
    newest = report_store.latest(settings, "ward", "drift_report")
    assert newest is not None
    assert newest.verdict == "4"
    assert [each.verdict for each in report_store.history(settings, "ward", "drift_report")] == list("01234")
    assert [each.verdict for each in report_store.history(settings, "ward", "drift_report", limit=2)] == list("34")


def test_without_a_report_there_is_none(settings: Settings) -> None:
    assert report_store.latest(settings, "ward", "drift_report") is None
    assert report_store.history(settings, "ward", "drift_report") == []


def test_a_number_that_is_none_is_refused_and_the_old_report_stays(settings: Settings) -> None:
    report_store.keep(settings, "ward", "drift_report", _content("stable"))
    with pytest.raises(ValueError, match="JSON"):
        report_store.keep(settings, "ward", "drift_report", {**_content("drift"), "metrics": {"psi": float("nan")}})
    newest = report_store.latest(settings, "ward", "drift_report")
    assert newest is not None
    assert newest.verdict == "stable"


def test_a_full_disk_leaves_the_old_report_and_no_litter(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    report_store.keep(settings, "ward", "drift_report", _content("stable"))
    before = set(settings.data.rglob("*"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clinical_assets.foundation.atomic_files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        report_store.keep(settings, "ward", "drift_report", _content("drift"))
    assert set(settings.data.rglob("*")) == before


def test_others_may_read_what_was_kept(settings: Settings) -> None:
    path: Path = report_store.keep(settings, "ward", "drift_report", _content("stable"))
    assert path.stat().st_mode & 0o777 == 0o644
