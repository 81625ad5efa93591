"""Every complete file of the inbox becomes part of a batch, an outcome, or a refusal, and is moved accordingly."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from assets_tests.worlds.team.arrivals import Arrivals, arrivals, ward, write
from assets_tests.worlds.team.cohorts import made_subjects, made_visits
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources import inbox
from clinical_assets.warehouse.intake import inbox_intake
from clinical_assets.warehouse.intake.inbox_intake import Intake, take_in
from clinical_assets.warehouse.intake.refused_deliveries import open_refusals

NEW = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(6)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Files count as settled at once."""
    return replace(settings, inbox_settled_s=0.0, inbox_folder_settled_s=0.0)


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


def test_records_without_a_number_of_their_own_are_refused_with_the_cure(small: Arrivals) -> None:
    columns = small.spec.subjects.columns
    placed = columns["patient_id"].model_copy(update={"source_name": "_row", "type": "integer"})
    table = small.spec.subjects.model_copy(update={"columns": {**columns, "patient_id": placed}})
    spec = small.spec.model_copy(update={"tables": {**small.spec.tables, "subjects": table}})
    write(small.inbox / "march.csv", NEW)
    done = take_in(spec, settings=small.settings)
    assert not done.batches
    assert [name for name, _ in done.refused] == ["march.csv"]
    report = (small.inbox / "refused" / "march.csv.report.md").read_text()
    assert "patient_id is the number of a record in its file" in report
    assert "Describe a column with the person's own number" in report


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


def open_refusals_of(mine: Arrivals) -> dict[str, int]:
    with mine.warehouse.reader() as connection:
        return open_refusals(connection)


def test_what_never_reaches_a_table_is_counted_until_something_of_its_kind_does(small: Arrivals) -> None:
    for name in ("a.docx", "o.zst"):
        write(small.inbox / f"{name}.csv", NEW).rename(small.inbox / name)
    write(small.inbox / "good.csv", NEW)
    write(small.inbox / "outcomes" / "bad.csv", [{"patient_id": "001", "age_years": "7"}])
    assert {name for name, _ in take(small).refused} == {"a.docx", "o.zst", "bad.csv"}
    assert "a.docx" in (small.inbox / "refused" / "a.docx.report.md").read_text()
    # What the same intake took in makes up for none of it.
    assert open_refusals_of(small) == {"outcomes": 1, "unknown": 2}
    noted = [json.loads(facts) for (facts,) in small.rows("SELECT facts FROM meta.unentered WHERE action = 'refusal'")]
    assert noted == [{"outcomes": 1, "unknown": 2}]
    take(small)
    assert small.rows("SELECT count(*) FROM received.refused_deliveries") == [(3,)]
    write(small.inbox / "new.csv", [{**NEW[0], "patient_id": "100"}])
    take(small)
    assert open_refusals_of(small) == {"outcomes": 1}
    write(small.inbox / "outcomes" / "right.csv", [{"patient_id": "001", "died": "yes"}])
    take(small)
    assert open_refusals_of(small) == {}


def test_a_refusal_that_a_killed_process_left_uncounted_is_counted_once(
    small: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.inbox).mkdir(parents=True, exist_ok=True)
    (small.inbox / "3.csv").write_text("patient_id\n1\n")

    def killed(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(inbox_intake, "count_refusals", killed)
    with pytest.raises(KeyboardInterrupt):
        take(small)
    monkeypatch.undo()
    assert take(small).refused == []
    assert open_refusals_of(small) == {"records": 1}


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


LONG = "x" * 251 + ".csv"


def _poison(mine: Arrivals, what: str) -> None:
    """A file in the inbox that used to end every intake of its cohort."""
    bad = b"patient_id\n1\n"
    good = b"patient_id,age_years,sex\n991,40,f\n"
    names = {
        "broken, of 255 bytes": (LONG.encode(), bad),
        "sound, of 255 bytes": (LONG.encode(), good),
        "broken, not in UTF-8": (b"st\xe4tion.csv", bad),
        "sound, not in UTF-8": (b"st\xe4tion.csv", good),
        "broken, with a line break": (b"a\nb.csv", bad),
    }
    name, content = names[what]
    (mine.inbox / os.fsdecode(name)).write_bytes(content)


@pytest.mark.parametrize(
    "what",
    [
        "broken, of 255 bytes",
        "sound, of 255 bytes",
        "broken, not in UTF-8",
        "sound, not in UTF-8",
        "broken, with a line break",
    ],
)
def test_a_file_with_an_impossible_name_stops_nobody_and_is_treated_by_its_content(small: Arrivals, what: str) -> None:
    write(small.inbox / "good.csv", NEW)
    for _ in range(3):  # the same name again: its place in done/ or refused/ is taken
        _poison(small, what)
        done = take(small)
        assert not done.stuck
        assert len(done.refused) == what.startswith("broken")
    assert inbox.waiting(small.settings, small.spec.name) == 0
    assert {path.name for path in (small.inbox / "done").iterdir()} >= {"good.csv"}
    place = small.inbox / ("refused" if what.startswith("broken") else "done")
    moved = [path.name for path in place.iterdir() if "report" not in path.name and path.name != "good.csv"]
    assert len(moved) == 3
    assert all(name.isprintable() and len(name.encode()) < 220 for name in moved)
    known = sum(small.warehouse.query("SELECT rows FROM received.batches")["rows"].to_list())
    assert known == len(NEW) + what.startswith("sound")


def test_a_file_that_cannot_be_moved_stops_itself_alone(small: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    write(small.inbox / "a.csv", NEW[:2])
    write(small.inbox / "b.jsonl", NEW[2:])
    really = inbox.set_aside

    def taken_away(settings: Settings, cohort: str, incoming: inbox.Incoming) -> Path:
        if incoming.path.name == "a.csv":
            incoming.path.unlink()  # by somebody, meanwhile
        return really(settings, cohort, incoming)

    monkeypatch.setattr(inbox, "set_aside", taken_away)
    done = take(small)
    assert [name for name, _ in done.stuck] == ["a.csv"]
    assert sum(each.rows for each in done.batches) == len(NEW)
    assert (small.inbox / "done" / "b.jsonl").exists()
