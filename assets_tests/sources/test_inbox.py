"""The inbox tells complete files from those that somebody still writes, by names, sizes and times alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from clinical_assets.foundation.settings import DATA, INBOX_FOLDER_SETTLED, INBOX_SETTLED, Settings
from clinical_assets.sources import inbox

LATER = 60.0


def put(settings: Settings, name: str, content: str = "x") -> Path:
    path = settings.inbox / "ward" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(settings: Settings, *, after: float = LATER) -> list[str]:
    place = settings.inbox / "ward"
    return [str(each.path.relative_to(place)) for each in inbox.complete(settings, "ward", now=time.time() + after)]


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.xlsx", "a.sas7bdat", "a.ndjson", "outcomes/o.csv.zst"])
def test_a_settled_data_file_is_complete(settings: Settings, name: str) -> None:
    put(settings, name)
    assert names(settings) == [name]


@pytest.mark.parametrize(
    "name",
    [".a.csv", "_a.csv", "~$a.xlsx", "a.csv.part", "a.csv.tmp", "Thumbs.db", "done/a.csv", "refused/a.csv", "b/x.part"],
)
def test_unfinished_hidden_and_handled_files_are_not(settings: Settings, name: str) -> None:
    put(settings, name)
    assert names(settings) == []
    assert inbox.pending(settings, now=time.time() + LATER) == {}


@pytest.mark.parametrize("name", ["a.xlsx.gz", "a.rds", "outcomes/o.zst", "README", "batch/a.docx", "batch/in/a.csv"])
def test_what_no_reader_is_for_is_no_secret_once_it_was_left_alone(settings: Settings, name: str) -> None:
    put(settings, name)
    assert names(settings, after=1.0) == []
    (found,) = inbox.complete(settings, "ward", now=time.time() + LATER)
    assert (found.kind, found.path.name) == ("unknown", name.split("/")[-1] if name[0] != "b" else "batch")
    assert inbox.pending(settings, now=time.time() + LATER)["ward"].files == 1


def test_a_file_that_was_just_written_to_waits(settings: Settings) -> None:
    put(settings, "a.csv")
    assert names(settings, after=1.0) == []


def test_how_long_a_file_and_a_folder_must_be_left_alone_are_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, "a.csv")
    put(settings, "batch/subjects.csv")
    assert names(settings) == ["a.csv", "batch"]
    monkeypatch.setenv(DATA, str(settings.data))
    monkeypatch.setenv(INBOX_SETTLED, "90")
    assert names(Settings.from_environment()) == ["batch"]
    monkeypatch.setenv(INBOX_FOLDER_SETTLED, "90")
    assert names(Settings.from_environment()) == []


def test_a_kept_time_of_the_future_keeps_no_file_waiting(settings: Settings) -> None:
    import os

    path = put(settings, "a.csv")
    os.utime(path, (time.time() + 9e4, time.time() + 9e4))
    assert names(settings) == ["a.csv"]


def test_a_folder_is_complete_when_all_its_files_are(settings: Settings) -> None:
    put(settings, "batch/subjects.csv")
    put(settings, "batch/visits.csv")
    assert names(settings, after=5.0) == []
    assert names(settings) == ["batch"]
    put(settings, "batch/labs.csv.part")
    assert names(settings) == []


def test_a_folder_brings_its_data_files_only(settings: Settings) -> None:
    put(settings, "batch/subjects.csv")
    put(settings, "batch/README.txt")
    (found,) = inbox.complete(settings, "ward", now=time.time() + LATER)
    assert [path.name for path in found.files] == ["subjects.csv"]


def test_links_are_not_followed(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text("x")
    (settings.inbox / "ward").mkdir(parents=True)
    (settings.inbox / "ward" / "a.csv").symlink_to(tmp_path / "elsewhere.csv")
    (settings.inbox / "ward" / "b.csv").symlink_to(tmp_path / "nowhere.csv")
    assert names(settings) == []


def test_what_waits_is_named_by_names_sizes_and_times(settings: Settings) -> None:
    now = time.time() + LATER
    put(settings, "a.csv")
    first = inbox.pending(settings, now=now)
    assert inbox.pending(settings, now=now) == first
    assert first["ward"].files == 1
    put(settings, "b.csv")
    assert inbox.pending(settings, now=now)["ward"].fingerprint != first["ward"].fingerprint


def test_no_more_than_a_chunk_is_taken_and_the_rest_is_counted(settings: Settings) -> None:
    for number in range(7):
        put(settings, f"{number}.csv")
    now = time.time() + LATER
    assert len(inbox.complete(settings, "ward", chunk=3, now=now)) == 3
    assert inbox.pending(settings, chunk=3, now=now)["ward"].files == 3
    assert inbox.waiting(settings, "ward", now=now) == 7


def test_without_an_inbox_nothing_waits(settings: Settings) -> None:
    assert inbox.pending(settings) == {}
    assert inbox.complete(settings, "ward") == ()
    assert inbox.waiting(settings, "ward") == 0


def test_a_file_that_vanishes_while_looking_is_passed_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    put(settings, "a.csv")
    gone = put(settings, "b.csv")
    is_candidate = inbox.is_candidate

    def taken(name: str) -> bool:
        gone.unlink(missing_ok=True)
        return is_candidate(name)

    monkeypatch.setattr(inbox, "is_candidate", taken)
    assert names(settings) == ["a.csv"]


def test_a_name_that_lies_in_done_already_gets_a_number(settings: Settings) -> None:
    moved = []
    for _ in range(3):
        put(settings, "a.csv")
        (found,) = inbox.complete(settings, "ward", now=time.time() + LATER)
        moved.append(inbox.set_aside(settings, "ward", found).name)
    assert moved == ["a.csv", "2_a.csv", "3_a.csv"]


def test_a_refused_file_lies_beside_its_report(settings: Settings) -> None:
    put(settings, "outcomes/a.csv")
    (found,) = inbox.complete(settings, "ward", now=time.time() + LATER)
    moved = inbox.refuse(settings, "ward", found, reason="It is empty.", cure="Fill it.", facts={"files": 1})
    assert moved == settings.inbox / "ward" / "refused" / "outcomes" / "a.csv"
    told = json.loads(moved.with_name("a.csv.report.json").read_text())
    assert (told["reason"], told["cure"], told["files"]) == ("It is empty.", "Fill it.", 1)
    assert "**Cure:** Fill it." in moved.with_name("a.csv.report.md").read_text()
