"""Erasing a subject takes what came through the inbox as well: records, refused ones, facts, conflicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assets_tests.worlds.team.arrivals import Arrivals, ward, write
from assets_tests.worlds.team.cohorts import made_subjects, made_visits
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.privacy.erasure import erasure
from clinical_assets.warehouse.intake.inbox_intake import take_in
from clinical_assets.warehouse.validation.validation import validate_cohort
from clinical_assets.workspace import Workspace

GONE, STAYS = "SECRET-80007", "SECRET-80012"
LATER = ("followed_days", "died")


@pytest.fixture
def team(settings: Settings, tmp_path: Path) -> Arrivals:
    """Patients whom the source does not hold, received from the inbox with outcomes; some rows of them are refused."""
    mine = ward(
        replace(settings, memory_limit="1GB", threads=2, inbox_settled_s=0, inbox_folder_settled_s=0), tmp_path / "team"
    )
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

    erasure.erase(Workspace(team.settings, catalogue).cohort("ward_team"), GONE, reason="request 12")

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


def test_a_subject_goes_however_accents_of_its_identifier_were_written(settings: Settings, tmp_path: Path) -> None:
    """Validation composes letters and accents; the source, its remarks and the inbox may hold them apart."""
    mine = ward(settings, tmp_path / "team")
    description = mine.home / "ward_team.yaml"
    description.write_text(description.read_text().replace("SECRET-[0-9]+", ".+-[0-9]+"))
    cohort = Workspace(mine.settings, Catalogue.from_settings(mine.settings)).cohort("ward_team")
    mine = replace(mine, spec=cohort.spec)
    apart, gone = "SE\u0301CRET-", "S\u00c9CRET-0007"
    subjects = [{**row, "PatID": row["PatID"].replace("SECRET-", apart)} for row in made_subjects()]
    subjects[1]["remark"] = f"brother of {apart}0007, well"
    visits = [{**row, "patient_id": row["patient_id"].replace("SECRET-", apart)} for row in made_visits()]
    write(mine.home / "ward_team" / "subjects.csv", subjects)
    write(mine.home / "ward_team" / "visits.csv", visits)

    def numbers() -> list[int]:
        return [
            mine.rows(f"SELECT count(*) FROM {schema}.{table}")[0][0]
            for schema in ("raw", "validated")
            for table in ("subjects", "visits")
        ]

    mine.ingest()
    validate_cohort(mine.spec, mine.warehouse)
    assert numbers() == [60, 180, 60, 180]
    erasure.erase(cohort, gone, reason="request 12")
    assert numbers() == [59, 177, 59, 177]
    for again in (False, True):
        if again:
            mine.ingest()
            validate_cohort(mine.spec, mine.warehouse)
            assert numbers() == [59, 177, 59, 177]
        texts = repr(mine.rows("FROM raw.subjects")) + repr(mine.rows("FROM raw.visits"))
        assert f"{apart}0007" not in texts
        assert "brother of [erased], well" in texts
