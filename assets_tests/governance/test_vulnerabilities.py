"""Known vulnerabilities are found by name and version, and nothing passes that was not checked."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest

from clinical_assets.governance.gates.security import known_vulnerabilities
from clinical_assets.governance.vulnerabilities import AdvisoriesUnreadable, audit

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
INSTALLED = {"left-pad": "1.4.2", "numpy": "2.4.6"}


def _osv(identifier: str = "PYSEC-2026-1", *, name: str = "Left_Pad", **changes: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.4"}, {"fixed": "1.5"}]}],
    }
    return {"id": identifier, "modified": "2026-05-20T10:00:00Z", "affected": [{**affected, **changes}]}


def _write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_without_advisories_nothing_is_said_to_be_checked() -> None:
    verdict = known_vulnerabilities(INSTALLED, None, now=NOW)
    assert verdict.verdict == "insufficient"
    assert "Not checked: no advisory file" in verdict.reason


@pytest.mark.parametrize("shape", ["folder", "list", "single"])
def test_a_vulnerable_version_fails_in_every_shape_of_file(tmp_path: Path, shape: str) -> None:
    if shape == "folder":
        (tmp_path / "deeper").mkdir()
        _write(tmp_path / "deeper" / "PYSEC-2026-1.json", _osv())
        place = tmp_path
    else:
        place = _write(tmp_path / "all.json", [_osv()] if shape == "list" else _osv())
    verdict = known_vulnerabilities(INSTALLED, place, now=NOW)
    assert verdict.verdict == "fail"
    assert "left-pad 1.4.2: PYSEC-2026-1, fixed in 1.5" in verdict.reason


@pytest.mark.parametrize(
    ("version", "events", "hit"),
    [
        ("1.3.9", [{"introduced": "1.4"}, {"fixed": "1.5"}], False),
        ("1.4", [{"introduced": "1.4"}, {"fixed": "1.5"}], True),
        ("1.5rc1", [{"introduced": "1.4"}, {"fixed": "1.5"}], True),
        ("1.5", [{"introduced": "1.4"}, {"fixed": "1.5"}], False),
        ("1.10", [{"introduced": "1.9"}], True),
        ("0.0.1", [{"introduced": "0"}], True),
        ("2.0", [{"introduced": "0"}, {"last_affected": "2.0"}], True),
        ("2.0.1", [{"introduced": "0"}, {"last_affected": "2.0"}], False),
        ("3.1", [{"introduced": "0"}, {"fixed": "2.0"}, {"introduced": "3.0"}, {"fixed": "3.2"}], True),
        ("2.5", [{"introduced": "3.0"}, {"fixed": "3.2"}, {"introduced": "0"}, {"fixed": "2.0"}], False),
    ],
)
def test_ranges_are_read_as_the_format_says(tmp_path: Path, version: str, events: list[Any], hit: bool) -> None:
    place = _write(tmp_path / "a.json", [_osv(ranges=[{"type": "ECOSYSTEM", "events": events}])])
    assert bool(audit({"left-pad": version}, place).found) is hit


def test_listed_versions_count_however_they_are_written(tmp_path: Path) -> None:
    place = _write(tmp_path / "a.json", [_osv(versions=["0-alpha-strange", "1.4.2.0"], ranges=[])])
    assert audit(INSTALLED, place).found[0].version == "1.4.2"


def test_withdrawn_records_and_other_ecosystems_do_not_count(tmp_path: Path) -> None:
    withdrawn = {**_osv(), "withdrawn": "2026-05-21T00:00:00Z"}
    other = _osv(package={"ecosystem": "npm", "name": "left-pad"})
    place = _write(tmp_path / "a.json", [withdrawn, other])
    assert audit(INSTALLED, place).found == ()
    verdict = known_vulnerabilities(INSTALLED, place, now=NOW)
    assert (verdict.verdict, "nothing about Python packages" in verdict.reason) == ("insufficient", True)


def test_fresh_advisories_that_concern_nothing_pass_and_old_ones_do_not(tmp_path: Path) -> None:
    place = _write(tmp_path / "a.json", [_osv(name="something-else")])
    assert known_vulnerabilities(INSTALLED, place, now=NOW).verdict == "pass"
    late = known_vulnerabilities(INSTALLED, place, now=NOW + dt.timedelta(days=200))
    assert (late.verdict, "212 days old" in late.reason or "211 days old" in late.reason) == ("insufficient", True)


def _report(path: Path, *packages: dict[str, Any]) -> Path:
    _write(path, {"dependencies": list(packages), "fixes": []})
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    return path


def test_a_report_of_pip_audit_is_understood(tmp_path: Path) -> None:
    numpy = {"name": "numpy", "version": "2.4.6", "vulns": []}
    vulnerable = {"name": "left-pad", "version": "1.4.2", "vulns": [{"id": "GHSA-x", "fix_versions": ["1.5"]}]}
    place = _report(tmp_path / "report.json", numpy, vulnerable)
    assert known_vulnerabilities(INSTALLED, place, now=NOW).verdict == "fail"
    clean = _report(tmp_path / "clean.json", numpy, {**vulnerable, "vulns": []})
    assert known_vulnerabilities(INSTALLED, clean, now=NOW).verdict == "pass"


def test_a_report_on_other_versions_is_no_pass(tmp_path: Path) -> None:
    packages = [{"name": "numpy", "version": "2.4.6", "vulns": []}, {"name": "left-pad", "skip_reason": "not found"}]
    verdict = known_vulnerabilities(INSTALLED, _report(tmp_path / "report.json", *packages), now=NOW)
    assert verdict.verdict == "insufficient"
    assert "left-pad 1.4.2" in verdict.reason


@pytest.mark.parametrize(
    "content", ["no json", '{"dependencies": [{"name": "x", "version": "1"}]}', '[{"affected": 3}]', "[7]"]
)
def test_what_cannot_be_understood_is_never_a_pass(tmp_path: Path, content: str) -> None:
    place = tmp_path / "advisories.json"
    place.write_text(content)
    with pytest.raises(AdvisoriesUnreadable, match="advisories"):
        audit({"x": "1"}, place)
    assert known_vulnerabilities({"x": "1"}, place, now=NOW).verdict == "insufficient"


def test_advisories_that_are_not_there_are_never_a_pass(tmp_path: Path) -> None:
    assert known_vulnerabilities(INSTALLED, tmp_path / "gone.json", now=NOW).verdict == "insufficient"
    (tmp_path / "empty").mkdir()
    assert known_vulnerabilities(INSTALLED, tmp_path / "empty", now=NOW).verdict == "insufficient"
