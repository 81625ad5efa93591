"""A batch of new records is taken in whole, once, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.team.arrivals import Arrivals, arrivals, ward, write
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.intake import batch_intake as module
from clinical_assets.warehouse.intake.batch_intake import batches
from clinical_assets.warehouse.intake.withdrawal import withdraw

NEW = [{"patient_id": f"00{n}", "age_years": 40 + n, "sex": "fm"[n % 2]} for n in range(9)]


@pytest.fixture
def small(small_spec: CohortSpec, settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of one table, whose keys are texts."""
    (tmp_path / "small_cohort.csv").write_text("patient_id,age_years,sex,died\n1,50,f,no\n")
    return arrivals(small_spec, settings, tmp_path)


def test_keys_that_are_texts_keep_their_zeros(small: Arrivals) -> None:
    done = small.receive(small.file("a.csv", NEW))
    assert (done.status, done.rows) == ("accepted", 9)
    assert ("000",) in small.rows("SELECT patient_id FROM received_valid.subjects")


def test_the_same_file_twice_changes_nothing(small: Arrivals) -> None:
    path = small.file("a.csv", NEW)
    first = small.receive(path)
    before = small.content()
    second = small.receive(path.rename(path.with_name("another_name.csv")))
    assert (second.status, second.batch) == ("known", first.batch)
    assert small.content() == before


def test_the_same_records_in_another_order_and_notation_change_nothing(small: Arrivals) -> None:
    first = small.receive(small.file("a.csv", NEW))
    before = small.warehouse.query("SELECT * FROM received.subjects ORDER BY ALL").rows()
    shuffled = small.file("b.csv", NEW[::-1])
    shuffled.write_text(shuffled.read_text().replace(",", ";").replace("\n", "\r\n"), newline="")
    for path in (shuffled, small.file("c.jsonl", NEW[3:] + NEW[:3]), shuffled):
        again = small.receive(path)
        assert (again.status, again.batch, again.rows) == ("known", first.batch, 9)
    assert small.warehouse.query("SELECT * FROM received.subjects ORDER BY ALL").rows() == before
    # One value more, or what is known later, is another delivery.
    assert small.receive(small.file("d.csv", [*NEW[:8], {**NEW[8], "sex": "m"}])).batch != first.batch
    done = small.receive(small.file("e.csv", [{**row, "died": "no"} for row in NEW]))
    assert (done.status, done.facts) == ("accepted", 9)


def test_a_file_that_comes_back_among_new_ones_is_taken_in_once(small: Arrivals) -> None:
    old, new = small.file("a.csv", NEW[:4]), small.file("b.csv", NEW[4:])
    small.receive({"subjects": [old]})
    done = small.receive({"subjects": [old, new]})
    assert (done.status, done.rows) == ("accepted", 5)
    assert small.rows("SELECT count(*) FROM received.subjects") == [(9,)]


def test_files_left_by_a_killed_process_are_known_one_by_one(small: Arrivals) -> None:
    files = [small.file(f"{n}.csv", [row]) for n, row in enumerate(NEW)]
    small.receive({"subjects": files})
    assert small.receive({"subjects": files[5:]}).status == "known"
    assert small.rows("SELECT count(*) FROM received.subjects") == [(9,)]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.gz", "A.CSV"])
def test_every_format_gives_the_same_records(small: Arrivals, name: str) -> None:
    assert small.receive(small.file(name, NEW)).rows == 9
    found = small.rows("SELECT patient_id, age_years, sex FROM received_valid.subjects ORDER BY 1")
    assert found == [tuple(row.values()) for row in NEW]


def test_a_byte_order_mark_is_no_part_of_the_first_name(small: Arrivals) -> None:
    path = small.file("a.csv", NEW)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert small.receive(path).status == "accepted"


@pytest.mark.parametrize("content", ["", "patient_id,age_years,sex\n", "patient_id,age_years\n1,40\n", "\x00\x01\x02"])
def test_what_cannot_be_used_is_refused_with_a_cure_and_leaves_nothing(small: Arrivals, content: str) -> None:
    path = small.file("a.csv", NEW)
    path.write_text(content)
    done = small.receive(path)
    assert done.status == "refused"
    assert done.reason
    assert not small.warehouse.exists() or small.content() == {}


def test_a_corrupt_parquet_file_is_refused(small: Arrivals) -> None:
    path = small.file("a.parquet", NEW)
    path.write_bytes(path.read_bytes()[:-20])
    assert small.receive(path).status == "refused"


def test_half_of_the_records_may_be_refused_and_are_kept_with_their_reason(small: Arrivals) -> None:
    rows = [*NEW[:4], *({**row, "age_years": 999} for row in NEW[4:7])]
    done = small.receive(small.file("a.csv", rows))
    assert (done.status, done.rows, done.refused_rows) == ("accepted", 4, 3)
    found = small.rows("SELECT DISTINCT patient_id, rule FROM received.findings ORDER BY 1")
    assert found == [("004", "range"), ("005", "range"), ("006", "range")]


def test_a_batch_of_broken_records_is_refused_as_a_whole(small: Arrivals) -> None:
    done = small.receive(small.file("a.csv", [{**row, "age_years": 999} for row in NEW]))
    assert done.status == "refused"


def test_nothing_is_left_of_a_batch_whose_writing_failed(small: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    # The time of the entry is asked for when the records stand in the tables already.
    monkeypatch.setattr(module, "utc_now", full)
    with pytest.raises((OSError, WarehouseError)):
        small.receive(small.file("a.csv", NEW))
    monkeypatch.undo()
    assert batches(small.warehouse) == {}
    assert small.receive(small.file("a.csv", NEW)).status == "accepted"
    assert not list((small.settings.data / "temporary").glob("*/"))


def test_two_processes_that_take_the_same_batch_in_keep_it_once(
    small: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, both = small.file("a.csv", NEW), threading.Barrier(2)
    validate = module.validate_cohort

    def together(*arguments: Any, **named: Any) -> Any:
        both.wait(timeout=60)
        return validate(*arguments, **named)

    monkeypatch.setattr(module, "validate_cohort", together)
    done: list[str] = []
    threads = [threading.Thread(target=lambda: done.append(small.receive(path).status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["accepted", "known"]
    assert small.rows("SELECT count(*) FROM received.subjects") == [(9,)]


def test_received_records_are_encrypted_like_all_others(small: Arrivals) -> None:
    locked = replace(small, settings=replace(small.settings, master_key=b"0123456789abcdef0123456789abcdef"))
    rows = [{**row, "patient_id": f"SECRET-{n}"} for n, row in enumerate(NEW)]
    assert locked.receive(locked.file("a.csv", rows)).rows == 9
    assert locked.receive(locked.file("a.csv", rows)).status == "known"
    files = [path for path in locked.settings.data.rglob("*") if path.is_file()]
    assert files
    assert not any(b"SECRET-" in path.read_bytes() for path in files)


def test_erased_subjects_do_not_come_back_with_a_batch(small: Arrivals) -> None:
    from clinical_assets.records.keys.pseudonyms import Pseudonyms

    Pseudonyms(small.settings, small.spec.name).of(["003"])
    Pseudonyms(small.settings, small.spec.name).erase("003")
    done = small.receive(small.file("a.csv", NEW))
    assert done.rows == 8
    assert ("003",) not in small.rows("SELECT patient_id FROM received.subjects")


def test_values_known_later_are_facts_and_no_part_of_the_record(small: Arrivals) -> None:
    done = small.receive(small.file("a.csv", [{**row, "died": "yes"} for row in NEW]))
    assert (done.status, done.facts) == ("accepted", 9)
    assert "died" not in small.warehouse.query("SELECT * FROM received_valid.subjects").columns
    assert small.mature() == [(row["patient_id"], 1) for row in NEW]


def test_outcomes_in_a_batch_that_is_taken_back_do_not_contradict_those_of_the_corrected_one(small: Arrivals) -> None:
    wrong = small.receive(small.file("a.csv", [{**row, "died": "yes"} for row in NEW]))
    assert withdraw(small.warehouse, wrong.batch, actor="ann", reason="wrong ward").rows["received.outcome_values"] == 9
    right = small.receive(small.file("b.csv", [{**row, "died": "no"} for row in NEW]))
    assert (right.facts, right.conflicts) == (9, 0)
    assert small.mature() == [(row["patient_id"], 0) for row in NEW]


def test_an_unreadable_outcome_refuses_no_record(small: Arrivals) -> None:
    done = small.receive(small.file("a.csv", [{**row, "died": "perhaps"} for row in NEW]))
    assert (done.status, done.rows, done.facts, done.refused_facts) == ("accepted", 9, 0, 9)


@pytest.fixture
def team(settings: Settings, tmp_path: Path) -> Arrivals:
    """A cohort of two tables with an index date."""
    return ward(settings, tmp_path / "team")


def folder(
    team: Arrivals, change: Callable[[dict[str, Any]], dict[str, Any]], name: str, **kinds: Any
) -> dict[str, list[Path]]:
    """New patients made of the source's, all tables."""
    files = {}
    for table in ("subjects", "visits"):
        rows = pl.read_csv(team.home / team.spec.name / f"{table}.csv", infer_schema=False).rows(named=True)
        chosen = [change(dict(row)) for row in rows]
        files[table] = [write(team.sent / name / f"{table}.csv", chosen)]
    return files


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    key = "PatID" if "PatID" in row else "patient_id"
    row = {name: value for name, value in row.items() if name not in ("followed_days", "died")}
    return {**row, key: row[key].replace("SECRET-", "SECRET-9")}


def test_a_folder_brings_all_tables_of_a_cohort(team: Arrivals) -> None:
    done = team.receive(folder(team, renamed, "one"))
    assert (done.status, dict(done.tables)) == ("accepted", {"subjects": 60, "visits": 180})


def test_the_subject_stands_in_every_table_under_the_name_that_erasing_looks_for(team: Arrivals) -> None:
    team.receive(folder(team, renamed, "one"))
    for table in team.warehouse.tables():
        if table.schema.startswith("received") and table.name not in ("batches", "files"):
            assert "patient_id" in team.warehouse.query(f"SELECT * FROM {table.schema}.{table.name}").columns, table


def test_a_table_without_new_rows_is_a_file_with_its_header_alone(team: Arrivals) -> None:
    files = folder(team, renamed, "one")
    header = files["visits"][0].read_text().splitlines()[0]
    files["visits"][0].write_text(header + "\n")
    done = team.receive(files)
    assert (done.status, dict(done.tables)) == ("accepted", {"subjects": 60})


def test_rows_of_people_who_are_not_in_the_batch_are_refused(team: Arrivals) -> None:
    files = folder(team, renamed, "one")
    pl.read_csv(files["subjects"][0], infer_schema=False).head(40).write_csv(files["subjects"][0])
    done = team.receive(files)
    assert (done.status, done.refused_rows) == ("accepted", 60)
