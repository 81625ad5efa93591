"""Known vulnerabilities come from a report of pip-audit, and nothing passes that was not checked."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest

from clinical_assets.governance.gates.security.gate import known_vulnerabilities
from clinical_assets.governance.supply_chain.vulnerabilities import AdvisoriesUnreadable, audit

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
INSTALLED = {"left-pad": "1.4.2", "numpy": "2.4.6", "clinical-assets": "0.1.0"}
NUMPY = {"name": "numpy", "version": "2.4.6", "vulns": []}
PROJECT = {"name": "clinical-assets", "skip_reason": "not on PyPI"}
# As pip-audit 2.10 writes it.
KNOWN = {"id": "PYSEC-2026-1", "fix_versions": ["1.5"], "aliases": ["GHSA-x"], "description": "..."}


def left_pad(*vulns: dict[str, Any], version: str = "1.4.2") -> dict[str, Any]:
    return {"name": "Left_Pad", "version": version, "vulns": list(vulns)}


def report(folder: Path, *packages: dict[str, Any]) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps({"dependencies": list(packages), "fixes": []}), encoding="utf-8")
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    return path


def test_without_a_report_nothing_is_said_to_be_checked(tmp_path: Path) -> None:
    for place in (None, tmp_path / "gone.json", tmp_path):
        verdict = known_vulnerabilities(INSTALLED, place, now=NOW)
        assert verdict.verdict == "insufficient"
        assert verdict.reason.startswith("Not checked: ")


def test_a_vulnerable_version_fails_and_is_named_with_its_cure(tmp_path: Path) -> None:
    verdict = known_vulnerabilities(INSTALLED, report(tmp_path, NUMPY, left_pad(KNOWN)), now=NOW)
    assert (verdict.verdict, verdict.value) == ("fail", 1.0)
    assert "left-pad 1.4.2: PYSEC-2026-1, fixed in 1.5" in verdict.reason


def test_a_report_that_knows_nothing_passes_while_it_is_young(tmp_path: Path) -> None:
    place = report(tmp_path, NUMPY, left_pad(), PROJECT)
    assert known_vulnerabilities(INSTALLED, place, now=NOW).verdict == "pass"
    late = known_vulnerabilities(INSTALLED, place, now=NOW + dt.timedelta(days=91))
    assert (late.verdict, "91 days old" in late.reason) == ("insufficient", True)


@pytest.mark.parametrize(
    "packages",
    [(NUMPY,), (NUMPY, {"name": "left-pad", "skip_reason": "not found"}), (NUMPY, left_pad(version="1.4.3"))],
)
def test_a_report_on_other_packages_or_versions_is_no_pass(tmp_path: Path, packages: tuple[dict[str, Any]]) -> None:
    verdict = known_vulnerabilities(INSTALLED, report(tmp_path, *packages), now=NOW)
    assert verdict.verdict == "insufficient"
    assert "left-pad 1.4.2" in verdict.reason


def test_a_vulnerability_of_a_version_that_is_not_installed_does_not_count(tmp_path: Path) -> None:
    assert audit(INSTALLED, report(tmp_path, NUMPY, left_pad(KNOWN, version="1.4.1"))).found == ()


@pytest.mark.parametrize(
    "content", ["no json", "[]", "{}", '{"dependencies": 7}', '{"dependencies": [{"name": "x", "version": "1"}]}']
)
def test_what_is_no_report_is_never_a_pass(tmp_path: Path, content: str) -> None:
    place = tmp_path / "advisories.json"
    place.write_text(content)
    with pytest.raises(AdvisoriesUnreadable, match=r"advisories\.json"):
        audit({"x": "1"}, place)
    assert known_vulnerabilities({"x": "1"}, place, now=NOW).verdict == "insufficient"
