"""Units whose outcome is known join the cohort's source, as if it had held them all along."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.team.arrivals import Arrivals, arrivals, ward, write
from assets_tests.worlds.team.cohorts import made_subjects, made_visits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.validation.validation import validate_cohort

LATER = ("followed_days", "died")
YOUNG = {"name": "young", "expression": "NOT (died AND age_years < 50)", "cure": "-"}


@pytest.fixture
def team(settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of two tables with an index date."""
    return ward(settings, tmp_path / "team")


def others() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Patients whom the source does not hold, with their outcomes."""
    subjects = [{**row, "PatID": row["PatID"].replace("-", "-8")} for row in made_subjects()]
    visits = [{**row, "patient_id": row["patient_id"].replace("-", "-8")} for row in made_visits()]
    return subjects, visits


def deliver(team: Arrivals, *, ending: str = "csv") -> None:
    """The others, without what is known later; then what is known later."""
    subjects, visits = others()
    early = [{name: value for name, value in row.items() if name not in LATER} for row in subjects]
    kinds = {"admitted_on": pl.Date} if ending == "parquet" else {}
    done = team.receive(
        {
            "subjects": [write(team.sent / "one" / f"subjects.{ending}", early, **kinds)],
            "visits": [write(team.sent / "one" / f"visits.{ending}", visits)],
        }
    )
    assert (done.status, done.rows) == ("accepted", 60)
    late = [{name: row[name] for name in ("PatID", *LATER)} for row in subjects]
    assert not team.outcomes(team.file(f"o.{ending}", late)).refused
    team.mature()


def features(team: Arrivals) -> list[tuple[Any, ...]]:
    """What a model would be trained on."""
    team.ingest()
    validate_cohort(team.spec, team.warehouse)
    build_features(team.spec, team.sql, team.warehouse)
    return sorted(team.rows("FROM model.features"), key=repr)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_features_are_those_of_a_source_that_holds_the_records(
    team: Arrivals, settings: Settings, tmp_path: Path, ending: str
) -> None:
    deliver(team, ending=ending)
    found = features(team)
    judged = [row[0] for row in team.rows("SELECT unit FROM monitoring.outcomes")]
    (censored,) = team.rows("SELECT count(*) FROM monitoring.outcomes WHERE outcome IS NULL AND event_code = 0")[0]

    whole = ward(replace(settings, data=tmp_path / "data2"), tmp_path / "whole")
    subjects, visits = others()
    for table, key, rows, own in (
        ("subjects", "PatID", subjects, made_subjects()),
        ("visits", "patient_id", visits, made_visits()),
    ):
        write(whole.home / "ward_team" / f"{table}.csv", [*own, *(row for row in rows if row[key] in judged)])
    # The censored join, too: others are to stand for them.
    assert 0 < censored < len(judged) == 60
    assert found == features(whole)


def test_without_a_known_outcome_nothing_joins_the_source(team: Arrivals) -> None:
    subjects, visits = others()
    early = [{name: value for name, value in row.items() if name not in LATER} for row in subjects]
    files = {"subjects": [team.file("b/subjects.csv", early)], "visits": [team.file("b/visits.csv", visits)]}
    team.receive(files)
    team.mature()
    team.ingest()
    assert team.rows("SELECT count(*) FROM raw.subjects") == [(60,)]


def test_what_the_source_holds_by_now_is_left_to_the_source(team: Arrivals) -> None:
    deliver(team)
    subjects, visits = others()
    write(team.home / "ward_team" / "subjects.csv", [*made_subjects(), *subjects])
    write(team.home / "ward_team" / "visits.csv", [*made_visits(), *visits])
    team.ingest()
    assert team.rows('SELECT count(*), count(DISTINCT "PatID") FROM raw.subjects') == [(120, 120)]
    assert team.rows("SELECT count(*) FROM raw.visits") == [(360,)]


def test_record_numbers_go_on_without_doubles(team: Arrivals) -> None:
    deliver(team)
    team.ingest()
    for table in ("subjects", "visits"):
        assert team.rows(f"SELECT count(*) = count(DISTINCT _row) AND max(_row) = count(*) FROM raw.{table}") == [
            (True,)
        ]


def test_a_unit_that_came_twice_is_known_by_its_newest_record(
    small_spec: CohortSpec, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "small_cohort.csv").write_text("patient_id,age_years,sex,died\n1,50,f,no\n")
    mine = arrivals(small_spec, settings, tmp_path)
    mine.receive(mine.file("a.csv", [{"patient_id": "7", "age_years": 40, "sex": "f"}]))
    mine.receive(mine.file("b.csv", [{"patient_id": "7", "age_years": 41, "sex": "f"}]))
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "yes"}]))
    assert mine.mature() == [("7", 1)]
    mine.ingest()
    assert mine.rows("SELECT age_years, died FROM raw.subjects ORDER BY _row") == [("50", "no"), ("41", "true")]


def test_a_record_that_is_sent_after_its_outcome_teaches_nobody(
    small_spec: CohortSpec, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "small_cohort.csv").write_text("patient_id,age_years,sex,died\n1,50,f,no\n")
    mine = arrivals(small_spec, settings, tmp_path)
    mine.receive(mine.file("a.csv", [{"patient_id": "7", "age_years": 40, "sex": "f"}]))
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "yes"}]))
    mine.mature()
    known = mine.rows("SELECT known_at FROM monitoring.outcomes")
    mine.receive(mine.file("b.csv", [{"patient_id": "7", "age_years": 99, "sex": "f"}]))
    assert mine.mature() == [("7", 1)]
    assert mine.rows("SELECT known_at FROM monitoring.outcomes") == known
    mine.ingest()
    assert mine.rows("SELECT age_years, died FROM raw.subjects ORDER BY _row") == [("50", "no"), ("40", "true")]


def test_values_are_written_as_the_source_writes_them(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    columns = minimal["tables"]["subjects"]["columns"]
    columns["died"] |= {"true_values": ["ja"], "false_values": ["nein"]}
    columns["seen_on"] = {"type": "date", "role": "date", "format": "%d.%m.%Y", "description": "Seen."}
    (tmp_path / "small_cohort.csv").write_text("patient_id,age_years,sex,died,seen_on\n1,50,f,nein,31.01.2024\n")
    mine = arrivals(CohortSpec.model_validate(minimal), settings, tmp_path)
    row = {"patient_id": "7", "age_years": 40, "sex": "f", "seen_on": "2024-02-29"}
    mine.receive(mine.file("a.parquet", [row], seen_on=pl.Date))
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "ja"}]))
    assert mine.mature() == [("7", 1)]
    mine.ingest()
    validate_cohort(mine.spec, mine.warehouse)
    found = mine.rows("SELECT died, strftime(seen_on, '%Y-%m-%d') FROM validated.subjects ORDER BY patient_id")
    assert found == [(False, "2024-01-31"), (True, "2024-02-29")]


def test_an_outcome_that_breaks_a_rule_of_the_record_is_no_outcome(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    minimal["tables"]["subjects"]["rules"] = [YOUNG]
    mine = arrivals(CohortSpec.model_validate(minimal), settings, tmp_path)
    rows = [{"patient_id": "7", "age_years": 40, "sex": "f"}, {"patient_id": "8", "age_years": 60, "sex": "f"}]
    mine.receive(mine.file("a.csv", rows))
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "yes"}]))
    mine.outcomes(mine.file("p.csv", [{"patient_id": "8", "died": "yes"}]))
    assert mine.mature() == [("8", 1)]


def test_where_every_outcome_breaks_a_rule_nothing_is_known(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    minimal["tables"]["subjects"]["rules"] = [YOUNG]
    mine = arrivals(CohortSpec.model_validate(minimal), settings, tmp_path)
    mine.receive(mine.file("a.csv", [{"patient_id": "7", "age_years": 40, "sex": "f"}]))
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "yes"}]))
    assert mine.mature() == []


def test_outcomes_that_lie_in_another_table_come_as_records_of_it(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    minimal["tables"]["deaths"] = {
        "description": "Who died.",
        "source": {"kind": "file", "path": "deaths.csv"},
        "key": ["patient_id"],
        "columns": {
            "patient_id": {"type": "string", "role": "identifier", "description": "Patient."},
            "cause": {"type": "string", "role": "outcome", "description": "Cause of death."},
        },
    }
    spec = CohortSpec.model_validate(minimal)
    mine = arrivals(spec, settings, tmp_path)
    mine.receive(mine.file("a.csv", [{"patient_id": "7", "age_years": 40, "sex": "f"}]))
    done = mine.receive({"deaths": [mine.file("deaths.csv", [{"patient_id": "7", "cause": "a fall"}])]})
    assert dict(done.tables) == {"deaths": 1}
    assert mine.rows("SELECT cause FROM received.deaths") == [("a fall",)]
    mine.outcomes(mine.file("o.csv", [{"patient_id": "7", "died": "yes"}]))
    assert mine.mature() == [("7", 1)]


def test_an_early_event_is_no_outcome_before_the_horizon_has_ended_for_those_without_one(team: Arrivals) -> None:
    subjects, visits = others()
    lately = (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=30)).isoformat()
    recent = {row["PatID"] for row in subjects[::2]}
    rows = [{**row, "admitted_on": lately if row["PatID"] in recent else row["admitted_on"]} for row in subjects]
    early = [{name: value for name, value in row.items() if name not in LATER} for row in rows]
    team.receive({"subjects": [team.file("subjects.csv", early)], "visits": [team.file("visits.csv", visits)]})
    # A month after admission, deaths are known and survival is not.
    dead = [{"PatID": row["PatID"], "followed_days": 20, "died": "yes"} for row in rows]
    assert not team.outcomes(team.file("outcomes.csv", dead)).refused
    team.mature()
    known = {row[0] for row in team.rows("SELECT unit FROM monitoring.outcomes")}
    assert known == {row["PatID"] for row in subjects} - recent
