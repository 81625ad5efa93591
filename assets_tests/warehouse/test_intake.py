"""Every complete file of the inbox becomes part of a batch, an outcome, or a refusal, and is moved accordingly."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.team_cohorts import made_subjects, made_visits
from assets_tests.warehouse.arrivals import Arrivals, arrivals, ward, write
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.settings import Settings
from clinical_assets.sources import inbox
from clinical_assets.warehouse.intake import Intake, take_in

NEW = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(6)]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(inbox, "SETTLED_S", 0.0)
    monkeypatch.setattr(inbox, "SETTLED_FOLDER_S", 0.0)


@pytest.fixture
def small(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of one table."""
    return arrivals(small_spec, settings, tmp_path)


def take(mine: Arrivals, **options: int) -> Intake:
    return take_in(mine.spec, settings=mine.settings, **options)


def left(mine: Arrivals) -> set[str]:
    return {str(path.relative_to(mine.inbox)) for path in mine.inbox.rglob("*") if path.is_file()}


def test_small_files_of_one_kind_become_one_batch(small: Arrivals) -> None:
    for number, row in enumerate(NEW):
        write(small.inbox / f"{number}.csv", [row])
    done = take(small)
    assert [(each.status, each.rows) for each in done.batches] == [("accepted", 6)]
    assert left(small) == {f"done/{number}.csv" for number in range(6)}


def test_a_broken_file_is_found_and_refused_alone(small: Arrivals) -> None:
    for number, row in enumerate(NEW):
        write(small.inbox / f"{number}.csv", [row])
    (small.inbox / "3.csv").write_text("patient_id\n1\n")
    done = take(small)
    assert sum(each.rows for each in done.batches) == 5
    assert [name for name, _ in done.refused] == ["3.csv"]
    assert {"refused/3.csv", "refused/3.csv.report.md", "refused/3.csv.report.json"} <= left(small)
    report = (small.inbox / "refused" / "3.csv.report.md").read_text()
    assert "age_years" in report


def test_files_of_two_formats_become_two_batches(small: Arrivals) -> None:
    write(small.inbox / "a.csv", NEW[:3])
    write(small.inbox / "b.parquet", NEW[3:])
    assert sorted(each.rows for each in take(small).batches) == [3, 3]


def test_a_chunk_leaves_the_rest_for_the_next_run(small: Arrivals) -> None:
    for number, row in enumerate(NEW):
        write(small.inbox / f"{number}.csv", [row])
    assert take(small, chunk=4).left == 2
    assert take(small, chunk=4).left == 0
    assert small.rows("SELECT count(*) FROM received.subjects") == [(6,)]


def test_a_process_killed_before_it_moved_its_files_takes_nothing_in_twice(
    small: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, row in enumerate(NEW[:4]):
        write(small.inbox / f"{number}.csv", [row])
    moved = inbox.set_aside

    def killed(settings: Settings, cohort: str, each: inbox.Incoming) -> Path:
        if each.path.name == "2.csv":
            raise KeyboardInterrupt
        return moved(settings, cohort, each)

    monkeypatch.setattr(inbox, "set_aside", killed)
    with pytest.raises(KeyboardInterrupt):
        take(small)
    monkeypatch.setattr(inbox, "set_aside", moved)
    write(small.inbox / "9.csv", NEW[4:])
    take(small)
    assert small.rows("SELECT count(*), count(DISTINCT patient_id) FROM received.subjects") == [(6, 6)]
    assert left(small) == {f"done/{number}.csv" for number in (0, 1, 2, 3, 9)}


def test_records_are_taken_in_before_outcomes(small: Arrivals) -> None:
    write(small.inbox / "z.csv", NEW)
    write(small.inbox / "outcomes" / "a.csv", [{"patient_id": "001", "died": "yes"}])
    done = take(small)
    assert [each.waiting for each in done.outcomes] == [0]
    assert left(small) == {"done/z.csv", "done/outcomes/a.csv"}


def test_a_broken_outcome_file_is_refused(small: Arrivals) -> None:
    write(small.inbox / "outcomes" / "a.csv", [{"patient_id": "001", "age_years": "7"}])
    assert [name for name, _ in take(small).refused] == ["a.csv"]
    assert "refused/outcomes/a.csv.report.json" in left(small)


def test_the_same_file_twice_lies_in_done_twice_and_counts_once(small: Arrivals) -> None:
    for name in ("a.csv", "b.csv"):
        write(small.inbox / name, NEW)
        take(small)
    assert left(small) == {"done/a.csv", "done/b.csv"}
    assert small.rows("SELECT count(*) FROM received.subjects") == [(6,)]


@pytest.fixture
def team(settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of two tables."""
    return ward(settings, tmp_path / "team")


def test_a_cohort_of_several_tables_takes_a_folder(team: Arrivals) -> None:
    write(team.inbox / "may" / "subjects.csv", made_subjects())
    write(team.inbox / "may" / "visits.csv", made_visits())
    assert [each.rows for each in take(team).batches] == [60]
    assert left(team) == {"done/may/subjects.csv", "done/may/visits.csv"}


def test_a_folder_that_lacks_a_table_is_refused_because_scores_would_be_wrong(team: Arrivals) -> None:
    write(team.inbox / "may" / "subjects.csv", made_subjects())
    ((name, reason),) = take(team).refused
    assert name == "may"
    assert "visits" in reason
    assert {"refused/may/subjects.csv", "refused/may.report.md"} <= left(team)


def test_a_loose_file_does_not_say_which_table_it_is(team: Arrivals) -> None:
    write(team.inbox / "subjects.csv", made_subjects())
    assert [name for name, _ in take(team).refused] == ["subjects.csv"]
