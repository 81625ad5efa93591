"""Outcomes come later, in any order, in any format: each counts once, and none overwrites another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.team.arrivals import Arrivals, arrivals, ward, write
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Correction
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.warehouse.intake.outcome_files import conflicts

NEW = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(6)]
DIED = [{"patient_id": f"00{n}", "died": "yes" if n % 2 else "no"} for n in range(6)]
TOLD = [(f"00{n}", n % 2) for n in range(6)]


@pytest.fixture
def small(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of one table, whose keys are texts."""
    return arrivals(small_spec, settings, tmp_path)


def test_outcomes_are_those_of_the_cohorts_own_outcome_model(small: Arrivals) -> None:
    small.receive(small.file("a.csv", NEW))
    done = small.outcomes(small.file("o.csv", DIED))
    assert (done.new, done.known, done.conflicts, done.waiting) == (6, 0, 0, 0)
    assert small.mature() == TOLD


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet", "o.csv.gz"])
def test_every_format_tells_the_same(small: Arrivals, name: str) -> None:
    small.receive(small.file("a.csv", NEW))
    assert small.outcomes(small.file(name, DIED)).new == 6
    assert small.mature() == TOLD


def test_the_same_file_twice_changes_nothing(small: Arrivals) -> None:
    small.receive(small.file("a.csv", NEW))
    small.outcomes(small.file("o.csv", DIED))
    before = small.content()
    again = small.outcomes(small.file("other.jsonl", DIED))
    assert (again.new, again.known, again.conflicts) == (0, 6, 0)
    assert {name: len(rows) for name, rows in small.content().items()} == {n: len(r) for n, r in before.items()}


def test_the_order_of_arrival_does_not_matter(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> None:
    told = set()
    for number, order in enumerate(("abop", "opab", "aopb", "pboa")):
        mine = arrivals(small_spec, _elsewhere(settings, tmp_path / str(number)), tmp_path)
        steps: dict[str, Callable[[], Any]] = {
            "a": lambda mine=mine: mine.receive(mine.file("a.csv", NEW[:3])),  # type: ignore[misc]
            "b": lambda mine=mine: mine.receive(mine.file("b.csv", NEW[3:])),  # type: ignore[misc]
            "o": lambda mine=mine: mine.outcomes(mine.file("o.csv", DIED[:4])),  # type: ignore[misc]
            "p": lambda mine=mine: mine.outcomes(mine.file("p.csv", DIED[3:])),  # type: ignore[misc]
        }
        for step in order:
            steps[step]()
        told.add(tuple(mine.mature()))
    assert told == {tuple(TOLD)}


def _elsewhere(settings: Settings, data: Path) -> Settings:
    from dataclasses import replace

    return replace(settings, data=data)


def test_an_outcome_before_its_record_waits_for_it(small: Arrivals) -> None:
    done = small.outcomes(small.file("o.csv", DIED))
    assert (done.new, done.waiting) == (6, 6)
    assert small.mature() == []
    small.receive(small.file("a.csv", NEW[:2]))
    assert small.mature() == TOLD[:2]


def test_a_contradiction_changes_nothing_and_is_listed_once_with_its_cure(small: Arrivals) -> None:
    small.receive(small.file("a.csv", NEW))
    small.outcomes(small.file("o.csv", DIED))
    against = [{"patient_id": "001", "died": "no"}]
    assert small.outcomes(small.file("p.csv", against)).conflicts == 1
    assert small.outcomes(small.file("p.csv", against)).conflicts == 1
    assert small.mature() == TOLD
    listed = conflicts(small.warehouse)
    assert [row[:3] for row in listed] == [("died", "true", "false")]
    assert listed[0][4]


def test_a_batch_that_says_something_else_is_a_contradiction_too(small: Arrivals) -> None:
    small.receive(small.file("a.csv", [{**row, "died": "yes"} for row in NEW]))
    assert small.outcomes(small.file("o.csv", DIED)).conflicts == 3
    assert small.mature() == [(row["patient_id"], 1) for row in NEW]


def test_corrections_of_other_columns_keep_no_outcome_out_and_those_of_the_outcome_are_made(
    small_spec: CohortSpec, settings: Settings, tmp_path: Path
) -> None:
    one = {"reason": "The original publication."}
    other = Correction(name="a", where={"patient_id": "000", "sex": "f"}, put={"age_years": 41}, **one)
    outcome = Correction(name="b", where={"patient_id": "000"}, put={"died": True}, **one)
    corrected = small_spec.subjects.model_copy(update={"corrections": (other, outcome)})
    spec = small_spec.model_copy(update={"tables": {small_spec.subject_table: corrected}})
    mine = arrivals(spec, settings, tmp_path)
    mine.receive(mine.file("a.csv", [{**new, **died} for new, died in zip(NEW[:3], DIED, strict=False)]))
    mine.receive(mine.file("b.csv", NEW[3:]))
    assert mine.outcomes(mine.file("o.csv", DIED[3:])).new == 3
    assert mine.mature() == [("000", 1), *TOLD[1:]]


def test_unreadable_and_doubled_rows_are_refused_and_the_rest_counts(small: Arrivals) -> None:
    rows = [*DIED, {"patient_id": "000", "died": "yes"}, {"patient_id": "777", "died": "perhaps"}]
    done = small.outcomes(small.file("o.csv", rows))
    assert (done.refused, done.new, done.refused_rows) == (False, 5, 3)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "o.csv"),
        ("patient_id,died\n", "o.csv"),
        ("patient_id,age_years\n1,40\n", "none of its columns"),
        ("name,died\nx,yes\n", "patient_id"),
        ("patient_id,died\n1,perhaps\n2,never\n", "subjects"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(small: Arrivals, content: str, word: str) -> None:
    path = small.file("o.csv", DIED)
    path.write_text(content)
    done = small.outcomes(path)
    assert done.refused
    assert word in str(done.reason)
    assert done.cure


def test_whether_a_score_was_shown_and_acted_upon_stands_beside_the_outcome(small: Arrivals) -> None:
    small.receive(small.file("a.csv", NEW))
    rows = [{**row, "shown": "yes", "acted": "no" if n else ""} for n, row in enumerate(DIED)]
    small.outcomes(small.file("o.csv", rows))
    small.mature()
    assert small.rows("SELECT shown, acted FROM monitoring.outcomes ORDER BY unit LIMIT 2") == [
        (True, None),
        (True, False),
    ]


def test_pseudonyms_name_the_same_units_as_keys(small: Arrivals) -> None:
    small.receive(small.file("a.csv", NEW))
    names = Pseudonyms(small.settings, small.spec.name).of([row["patient_id"] for row in DIED])
    rows = [{"pseudonym": name, "died": row["died"]} for name, row in zip(names, DIED, strict=True)]
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        assert small.outcomes(small.file(name, rows)).conflicts == 0
    assert small.mature() == TOLD
    assert small.outcomes(small.file("keys.csv", DIED)).known == 6


def test_an_outcome_by_pseudonym_waits_for_the_record_as_well(small: Arrivals) -> None:
    names = Pseudonyms(small.settings, small.spec.name).of([row["patient_id"] for row in DIED])
    rows = [{"pseudonym": name, "died": row["died"]} for name, row in zip(names, DIED, strict=True)]
    done = small.outcomes(small.file("o.csv", rows))
    assert (done.new, done.waiting) == (6, 6)
    assert small.outcomes(small.file("o.csv", rows)).known == 6
    small.receive(small.file("a.csv", NEW))
    assert small.mature() == TOLD


def test_pseudonyms_of_an_older_key_are_understood(small: Arrivals) -> None:
    names = Pseudonyms(small.settings, small.spec.name)
    old = names.of(["001"])
    names.rotate()
    small.receive(small.file("a.csv", NEW))
    small.outcomes(small.file("o.csv", [{"pseudonym": old[0], "died": "yes"}]))
    assert small.mature() == [("001", 1)]


def test_nothing_of_an_erased_subjects_outcome_is_taken_in(small: Arrivals) -> None:
    Pseudonyms(small.settings, small.spec.name).of(["003"])
    Pseudonyms(small.settings, small.spec.name).erase("003")
    small.receive(small.file("a.csv", NEW))
    small.outcomes(small.file("o.csv", DIED))
    assert "003" not in dict(small.mature())
    assert "'003'" not in repr(small.content())


def test_facts_carry_the_subject_by_which_they_can_be_erased(small: Arrivals) -> None:
    small.outcomes(small.file("o.csv", DIED))
    assert small.rows("SELECT DISTINCT patient_id = unit FROM received.outcome_values") == [(True,)]


def test_a_source_without_a_header_takes_outcome_files_with_one(
    minimal: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    minimal["tables"]["subjects"]["source"]["csv"] = {"columns": ["patient_id", "age_years", "sex", "died"]}
    mine = arrivals(CohortSpec.model_validate(minimal), settings, tmp_path)
    assert mine.outcomes(mine.file("o.csv", DIED)).new == 6


@pytest.fixture
def team(settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort with an index date; two batches of its patients were received, the second a year later."""
    return ward(settings, tmp_path / "team")


def patient(number: int, admitted: str) -> dict[str, Any]:
    return {
        "PatID": f"SECRET-{number}",
        "remark": "-",
        "age_years": 60,
        "sex": "f",
        "height_m": 1.7,
        "admitted_on": admitted,
    }


def batch(team: Arrivals, name: str, *rows: dict[str, Any]) -> None:
    visits = [{"patient_id": row["PatID"], "visit_number": 1, "visit_day": 1, "systolic_bp_mmhg": 140} for row in rows]
    done = team.receive(
        {
            "subjects": [write(team.sent / name / "subjects.csv", rows)],
            "visits": [write(team.sent / name / "visits.csv", visits)],
        }
    )
    assert done.status == "accepted", done.reason


def fate(number: int, admitted: str | None, *, days: int, died: str) -> dict[str, Any]:
    told = {"PatID": f"SECRET-{number}", "followed_days": days, "died": died}
    return told if admitted is None else {**told, "admitted_on": admitted}


def test_an_outcome_of_another_index_date_is_no_outcome_of_the_record(team: Arrivals) -> None:
    batch(team, "one", patient(1, "2024-01-01"), patient(2, "2024-01-01"))
    rows = [fate(1, "2024-01-01", days=30, died="yes"), fate(2, "2023-01-01", days=30, died="yes")]
    assert team.outcomes(team.file("o.csv", rows)).conflicts == 2
    assert team.mature() == [("SECRET-1", 1)]
    assert {row[3] for row in conflicts(team.warehouse)} == {"the record has another index date"}


@pytest.mark.parametrize("outcomes_first", [True, False])
def test_each_episode_gets_the_outcome_of_its_own_date_in_any_order(team: Arrivals, outcomes_first: bool) -> None:
    path = team.file("o.csv", [fate(1, "2024-01-01", days=30, died="yes")])
    if outcomes_first:
        team.outcomes(path)
    batch(team, "one", patient(1, "2024-01-01"))
    batch(team, "two", patient(1, "2025-01-01"))
    if not outcomes_first:
        team.outcomes(path)
    assert team.mature() == [("SECRET-1", 1)]
    assert team.rows("SELECT index_date FROM monitoring.outcomes") == [("2024-01-01",)]


def test_a_censored_patient_has_no_outcome(team: Arrivals) -> None:
    batch(team, "one", patient(1, "2024-01-01"), patient(2, "2024-01-01"))
    rows = [fate(1, None, days=20, died="no"), fate(2, None, days=365, died="no")]
    team.outcomes(team.file("o.csv", rows))
    assert team.mature() == [("SECRET-2", 0)]
    # Others stand for it; time is counted from the prediction, a week after admission.
    found = "SELECT unit, outcome, follow_up_days, event_code FROM monitoring.outcomes ORDER BY unit"
    assert team.rows(found) == [("SECRET-1", None, 13.0, 0), ("SECRET-2", 0, 358.0, 0)]


def test_when_an_outcome_was_known_does_not_change_with_looking_again(team: Arrivals) -> None:
    batch(team, "one", patient(1, "2024-01-01"))
    team.outcomes(team.file("o.csv", [fate(1, None, days=30, died="yes")]))
    team.mature()
    first = team.rows("SELECT known_at FROM monitoring.outcomes")
    team.mature()
    assert team.rows("SELECT known_at FROM monitoring.outcomes") == first


def test_a_parquet_file_with_dates_tells_what_text_tells(team: Arrivals) -> None:
    batch(team, "one", patient(1, "2024-01-01"))
    path = team.file("o.parquet", [fate(1, "2024-01-01", days=30, died="yes")], admitted_on=pl.Date)
    assert team.outcomes(path).new == 2
    assert team.mature() == [("SECRET-1", 1)]
