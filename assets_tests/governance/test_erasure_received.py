"""Erasing a subject takes what came through the inbox as well: records, refused ones, facts, conflicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets_tests.team_cohorts import made_subjects, made_visits
from assets_tests.warehouse.arrivals import Arrivals, ward, write
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.governance import erasure
from clinical_assets.settings import Settings
from clinical_assets.sources import inbox
from clinical_assets.warehouse.intake import take_in

GONE, STAYS = "SECRET-80007", "SECRET-80012"
LATER = ("followed_days", "died")


@pytest.fixture
def team(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arrivals:
    """Patients whom the source does not hold, received from the inbox with outcomes; some rows of them are refused."""
    monkeypatch.setattr(inbox, "SETTLED_S", 0.0)
    monkeypatch.setattr(inbox, "SETTLED_FOLDER_S", 0.0)
    mine = ward(replace(settings, memory_limit="1GB", threads=2), tmp_path / "team")
    subjects = [{**row, "PatID": row["PatID"].replace("-", "-8")} for row in made_subjects()]
    visits = [{**row, "patient_id": row["patient_id"].replace("-", "-8")} for row in made_visits()]
    early: list[dict[str, Any]] = [{name: row[name] for name in row if name not in LATER} for row in subjects]
    visits[18] = {**visits[18], "systolic_bp_mmhg": 999}  # the first visit of the one to be erased
    write(mine.inbox / "may" / "subjects.csv", early)
    write(mine.inbox / "may" / "visits.csv", visits)
    late = [{name: row[name] for name in ("PatID", *LATER)} for row in subjects]
    write(mine.inbox / "outcomes" / "o.csv", late)
    write(mine.inbox / "outcomes" / "p.csv", [{"PatID": GONE, "died": "yes", "followed_days": 9}])
    mine.ingest()
    done = take_in(mine.spec, settings=mine.settings)
    assert done.refused == []
    assert mine.mature()
    return mine


def test_nothing_of_the_subject_is_left_in_the_warehouse_and_nothing_comes_back(team: Arrivals) -> None:
    catalogue = Catalogue.from_settings(team.settings)
    before = {f"{info.schema}.{info.name}": info.rows for info in team.warehouse.tables()}

    erasure.erase("ward_team", GONE, reason="request 12", settings=team.settings, catalogue=catalogue)

    lost = {
        f"{info.schema}.{info.name}": before[f"{info.schema}.{info.name}"] - info.rows
        for info in team.warehouse.tables()
    }
    assert {name: rows for name, rows in lost.items() if rows and name.startswith(("received", "monitoring"))} == {
        "monitoring.outcomes": 1,
        "received.findings": 1,
        "received.outcome_conflicts": 2,
        "received.outcome_values": 2,
        "received.refused_records": 1,
        "received.subjects": 1,
        "received.visits": 2,
        "received_valid.subjects": 1,
        "received_valid.visits": 2,
    }
    everything = [path for path in (team.settings.data / "warehouse").rglob("*") if path.is_file()]
    assert not any(GONE.encode() in path.read_bytes() for path in everything)
    assert GONE not in dict(team.mature())
    team.ingest()
    assert team.rows(f"SELECT count(*) FROM raw.subjects WHERE \"PatID\" = '{GONE}'") == [(0,)]
    assert team.rows(f"SELECT count(*) FROM raw.subjects WHERE \"PatID\" = '{STAYS}'") == [(1,)]
