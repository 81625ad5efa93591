"""A line that was acknowledged is on disk and in the chain; a line that was changed, cut off or put in is found."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_assets.foundation.settings import DATA, Settings
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.lines import LogDamaged, LogEntry
from clinical_assets.records.prediction_log.segments import find_lines, read_line, read_log, segment_path, segments
from clinical_assets.records.prediction_log.verification import enter_head, verify_log
from clinical_assets.records.prediction_log.writer import LogUnavailable, PredictionLog

COHORT = "ward"


def entry(number: int, kind: str = "prediction") -> LogEntry:
    return LogEntry(kind, f"r{number}", "k", "sha256:m", {"risk": number / 100, "subject": f"s{number}"})


@pytest.fixture
def log(settings: Settings) -> Iterator[PredictionLog]:
    made = PredictionLog(settings, COHORT, segment_bytes=2000)
    yield made
    made.close()


def filled(log: PredictionLog, number: int = 30) -> PredictionLog:
    for start in range(0, number, 3):
        log.append([entry(start + offset) for offset in range(3)])
    return log


def report(settings: Settings) -> str | None:
    return verify_log(settings, COHORT, Ledger(RecordsDatabase(settings))).problem


def test_lines_are_read_as_they_were_written_over_several_files(log: PredictionLog, settings: Settings) -> None:
    filled(log)
    assert len(segments(log.folder)) > 3
    lines = list(read_log(settings, COHORT))
    assert [line.seq for line in lines] == list(range(1, 31))
    assert [line.content for line in lines] == [dict(entry(number).content) for number in range(30)]
    assert [line.seq for line in read_log(settings, COHORT, after=17)] == list(range(18, 31))
    assert report(settings) is None


def test_a_line_is_found_by_number_and_lines_by_kind(log: PredictionLog, settings: Settings) -> None:
    filled(log)
    (receipt,) = log.append([entry(7, "outcome")])
    line = read_line(settings, COHORT, receipt.seq)
    assert line is not None
    assert (line.kind, line.hash) == ("outcome", receipt.hash)
    assert read_line(settings, COHORT, 32) is None
    found, last = find_lines(settings, COHORT, kinds=["outcome"])
    assert ([each.seq for each in found], last) == ([31], 31)
    assert find_lines(settings, COHORT, kinds=["outcome"], after=31) == ([], 31)


@pytest.mark.parametrize("place", [0, 4, 9])
def test_a_changed_removed_or_repeated_line_is_found(log: PredictionLog, settings: Settings, place: int) -> None:
    path = segments(filled(log).folder)[1]
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    place = min(place, len(lines) - 1)
    told = json.loads(lines[place])
    told["content"]["risk"] = 0.99
    changed = json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    for spoiled in (
        [*lines[:place], changed, *lines[place + 1 :]],
        [*lines[:place], *lines[place + 1 :]],
        [*lines[:place], lines[place], *lines[place:]],
    ):
        path.write_bytes(b"".join(spoiled))
        assert report(settings) is not None
    path.write_bytes(before)
    assert report(settings) is None


def test_lines_cut_off_at_the_end_are_missed_by_the_ledger(log: PredictionLog, settings: Settings) -> None:
    receipt = filled(log).append([entry(1)])[0]
    enter_head(Ledger(RecordsDatabase(settings)), COHORT, seq=receipt.seq, digest=receipt.hash, actor="a")
    assert report(settings) is None
    path = segments(log.folder)[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "ends with line 30" in str(report(settings))


def test_a_half_written_last_line_is_cut_off_and_noted(log: PredictionLog, settings: Settings) -> None:
    filled(log, 3)
    path = segments(log.folder)[-1]
    with path.open("ab") as file:
        file.write(b'{"content":{"ri')
    assert [line.seq for line in read_log(settings, COHORT)] == [1, 2, 3]
    (receipt,) = PredictionLog(settings, COHORT).append([entry(3)])
    lines = list(read_log(settings, COHORT))
    assert [line.kind for line in lines] == ["prediction"] * 3 + ["repair", "prediction"]
    assert lines[3].content == {"bytes_cut_off": 15}
    assert receipt.seq == 5
    assert report(settings) is None


def test_a_segment_whose_first_line_is_half_written_is_cut_off_and_the_chain_goes_on(
    log: PredictionLog, settings: Settings
) -> None:
    filled(log, 9)
    segment_path(log.folder, 10).write_bytes(b'{"content":{"ri')
    (receipt,) = PredictionLog(settings, COHORT).append([entry(9)])
    lines = list(read_log(settings, COHORT))
    assert [line.kind for line in lines[9:]] == ["repair", "prediction"]
    assert (lines[9].content, receipt.seq) == ({"bytes_cut_off": 15}, 11)
    assert report(settings) is None


def test_what_another_process_added_or_left_half_written_is_read_on_from_the_last_own_line(settings: Settings) -> None:
    log, other = (PredictionLog(settings, COHORT) for _ in range(2))
    log.append([entry(1)])
    other.append([entry(2), entry(3)])
    (path,) = segments(log.folder)
    with path.open("ab") as file:
        file.write(b'{"content":')
    before = path.read_bytes()
    # The beginning is not read again: a log that grows to its full size must not make every answer slower.
    path.write_bytes(b"#" + before[1:])
    assert log.append([entry(4)])[0].seq == 5
    path.write_bytes(before[:1] + path.read_bytes()[1:])
    assert [line.kind for line in read_log(settings, COHORT)] == ["prediction"] * 3 + ["repair", "prediction"]
    assert other.append([entry(5)])[0].seq == 6
    assert report(settings) is None


def test_a_last_line_that_was_changed_is_no_torn_one(log: PredictionLog, settings: Settings) -> None:
    filled(log, 3)
    path = segments(log.folder)[-1]
    path.write_bytes(path.read_bytes().replace(b'"risk":0.02', b'"risk":0.92'))
    with pytest.raises(LogDamaged, match="content is another one"):
        PredictionLog(settings, COHORT).append([entry(3)])


def test_nothing_is_added_behind_a_last_line_of_another_process_that_was_changed(settings: Settings) -> None:
    log, other = (PredictionLog(settings, COHORT) for _ in range(2))
    log.append([entry(1)])
    other.append([entry(2)])
    (path,) = segments(log.folder)
    path.write_bytes(path.read_bytes().replace(b'"risk":0.02', b'"risk":0.99'))
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LogDamaged):
            log.append([entry(3)])
    with pytest.raises(LogDamaged):
        log.probe()
    assert path.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_log_as_it_was(settings: Settings) -> None:
    log = filled(PredictionLog(settings, COHORT), 3)
    (path,) = segments(log.folder)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel takes ten bytes more, and refuses the rest: a write that is cut short, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(LogUnavailable):
            log.append([entry(9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert log.append([entry(4)])[0].seq == 4
    assert report(settings) is None


_WRITER = """
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.prediction_log.lines import LogEntry
from clinical_assets.records.prediction_log.writer import PredictionLog
log = PredictionLog(Settings.from_environment(), "ward", segment_bytes=4000)
for number in range(60):
    log.append([LogEntry("prediction", f"r{number}", "k", None, {"n": number})])
"""


def test_two_processes_write_one_chain(settings: Settings) -> None:
    environment = {**os.environ, DATA: str(settings.data)}
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER], env=environment) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert [line.seq for line in read_log(settings, COHORT)] == list(range(1, 121))
    assert report(settings) is None


def test_contents_are_encrypted_with_the_installations_key(settings: Settings, tmp_path: Path) -> None:
    keyed = replace(settings, master_key=b"0123456789abcdef-of-the-tests")
    PredictionLog(keyed, COHORT).append([entry(42)])
    (path,) = segments(settings.predictions / COHORT)
    assert b"s42" not in path.read_bytes()
    (line,) = read_log(keyed, COHORT)
    assert line.content == dict(entry(42).content)
    with pytest.raises(LogDamaged, match="no key is set"):
        list(read_log(settings, COHORT))
    with pytest.raises(LogDamaged, match="another key"):
        list(read_log(replace(settings, master_key=b"fedcba9876543210-of-the-tests"), COHORT))
