"""Verification: every change, gap, move and cut is found, and the first bad entry named."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from assets_tests.records.conftest import Tamper, run_without_guards
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.database import FILE, RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import installation_signer, trusted_keys
from clinical_assets.records.ledger.anchors import Anchor
from clinical_assets.records.ledger.appending import seal_of
from clinical_assets.records.ledger.entries import GENESIS, entry_hash
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.verification import verify

N = 9
COLUMNS = ("seq", "at", "actor", "action", "cohort", "digest", "reason", "facts", "previous", "hash")


def _fill(ledger: Ledger, entries: int = N) -> None:
    for number in range(1, entries + 1):
        ledger.append(
            "review",
            actor=f"änn{number}",
            cohort="small",
            digest=f"sha256:{number}",
            reason="weil “so”",
            facts={"number": number, "share": 0.25, "é": ["x", None, True]},
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A ledger of nine entries in SQLite, which nobody changes."""
    made = replace(Settings.from_environment(), data=tmp_path_factory.mktemp("whole") / "data", keys_folder=None)
    made = replace(made, records_uri=None)
    _fill(Ledger(RecordsDatabase(made)))
    return made


@pytest.fixture(scope="module")
def copied(whole: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Settings]:
    """Give a copy of it that may be spoilt."""

    def copy() -> Settings:
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(whole.data, folder / "data")
        shutil.copytree(whole.keys, folder / "data-keys")
        return replace(whole, data=folder / "data")

    return copy


def _ledger(settings: Settings) -> Ledger:
    return Ledger(RecordsDatabase(settings))


def _anchor_lines(ledger: Ledger) -> list[bytes]:
    return ledger.anchors.path.read_bytes().splitlines(keepends=True)


def test_a_ledger_nobody_touched_is_intact(ledger: Ledger) -> None:
    empty = ledger.verify()
    assert (empty.intact, empty.entries, empty.head, empty.anchored, empty.note) == (True, 0, None, 0, None)
    _fill(ledger)
    report = ledger.verify()
    assert (report.intact, report.entries, report.anchored, report.note) == (True, N, N, None)
    assert report.head == ledger.newest(1)[0].hash


@settings(max_examples=80)
@given(
    seq=st.integers(1, N),
    column=st.sampled_from(COLUMNS[1:]),
    place=st.integers(0, 10_000),
    mask=st.integers(1, 255),
)
@example(seq=N, column="hash", place=70, mask=1)
@example(seq=1, column="previous", place=8, mask=0x80)
@example(seq=4, column="facts", place=0, mask=0xFF)
def test_any_byte_of_any_field_that_is_changed_is_found(
    copied: Callable[[], Settings], seq: int, column: str, place: int, mask: int
) -> None:
    changed = copied()
    with closing(sqlite3.connect(changed.records / FILE)) as connection:
        (stored,) = connection.execute(f"SELECT CAST({column} AS BLOB) FROM ledger WHERE seq = {seq}").fetchone()
    value = bytearray(stored)
    value[place % len(value)] ^= mask
    run_without_guards(changed, f"UPDATE ledger SET {column} = CAST(? AS TEXT) WHERE seq = {seq}", (bytes(value),))
    report = _ledger(changed).verify()
    assert not report.intact
    assert report.first_bad == seq
    assert report.entries == seq - 1
    assert f"Entry {seq} " in str(report.problem)


@settings(max_examples=25)
@given(seq=st.integers(1, N), bit=st.integers(0, 40))
def test_a_number_that_is_changed_is_found(copied: Callable[[], Settings], seq: int, bit: int) -> None:
    other = seq ^ (1 << bit)
    assume(not 1 <= other <= N)
    changed = copied()
    run_without_guards(changed, f"UPDATE ledger SET seq = {other} WHERE seq = {seq}")
    report = _ledger(changed).verify()
    assert not report.intact
    assert report.first_bad == min(seq, other)


@pytest.mark.parametrize("column", ["cohort", "digest", "reason"])
@pytest.mark.parametrize("value", ["NULL", "''", "x'00'", "17"])
def test_a_value_of_another_kind_is_found(copied: Callable[[], Settings], column: str, value: str) -> None:
    changed = copied()
    run_without_guards(changed, f"UPDATE ledger SET {column} = {value} WHERE seq = 3")
    assert _ledger(changed).verify().first_bad == 3


def test_a_text_that_means_the_same_but_is_not_the_same_is_found(copied: Callable[[], Settings]) -> None:
    changed = copied()
    run_without_guards(changed, "UPDATE ledger SET facts = replace(facts, '0.25', '2.5e-1') WHERE seq = 5")
    assert _ledger(changed).verify().first_bad == 5


@pytest.mark.parametrize(
    ("statement", "first_bad", "words"),
    [
        ("UPDATE ledger SET reason = 'other' WHERE seq = 4", 4, "was changed"),
        ("DELETE FROM ledger WHERE seq = 4", 4, "is missing"),
        ("DELETE FROM ledger WHERE seq = 1", 1, "is missing"),
        ("DELETE FROM ledger WHERE seq > 6", 7, "Entries 7 to 9 are missing at the end"),
        (f"DELETE FROM ledger WHERE seq = {N}", N, f"Entry {N} is missing at the end"),
        ("DELETE FROM ledger", 1, "Entries 1 to 9 are missing at the end"),
    ],
)
def test_changes_gaps_and_cuts_are_found_in_both_databases(
    ledger: Ledger, tamper: Tamper, statement: str, first_bad: int, words: str
) -> None:
    _fill(ledger)
    tamper(statement)
    report = ledger.verify()
    assert not report.intact
    assert report.first_bad == first_bad
    assert words in str(report.problem)


def test_two_entries_that_changed_places_are_found(ledger: Ledger, tamper: Tamper) -> None:
    _fill(ledger)
    for statement in ("SET seq = 1000 WHERE seq = 3", "SET seq = 3 WHERE seq = 6", "SET seq = 6 WHERE seq = 1000"):
        tamper(f"UPDATE ledger {statement}")
    report = ledger.verify()
    assert report.first_bad == 3


def _write_anew(settings: Settings, first: int) -> None:
    """Give entry ``first`` another actor, and it and all behind it the hashes that go with that."""
    with closing(sqlite3.connect(settings.records / FILE)) as connection:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger ORDER BY seq").fetchall()
    previous = GENESIS
    for row in rows:
        fields = dict(zip(COLUMNS, row, strict=True)) | {"previous": previous}
        fields.pop("hash")
        if fields["seq"] == first:
            fields["actor"] = "eve"
        previous = entry_hash(**fields)
        run_without_guards(
            settings,
            "UPDATE ledger SET actor = ?, previous = ?, hash = ? WHERE seq = ?",
            (fields["actor"], fields["previous"], previous, fields["seq"]),
        )


@pytest.mark.parametrize("first", [1, 5, N])
def test_a_chain_that_was_written_anew_with_right_hashes_contradicts_its_anchors(
    copied: Callable[[], Settings], first: int
) -> None:
    changed = copied()
    _write_anew(changed, first)
    report = _ledger(changed).verify()
    assert not report.intact
    assert report.first_bad == first
    assert "written anew" in str(report.problem)
    with pytest.raises(RecordsError, match="anchor of another entry"):
        _ledger(changed).append("login", actor="eve")


@pytest.mark.parametrize("cut", [2, 5, N])
@pytest.mark.parametrize("stranger", [GENESIS, "sha256:" + "a" * 64])
def test_an_entry_that_follows_from_another_is_found_though_hash_seal_and_anchor_are_right(
    copied: Callable[[], Settings], cut: int, stranger: str
) -> None:
    """Only the link between two entries tells: everything else was made anew by whoever has the installation's key."""
    changed = copied()
    ledger = _ledger(changed)
    signer = installation_signer(changed, create=False)
    lines = [json.loads(line) for line in _anchor_lines(ledger)]
    with closing(sqlite3.connect(changed.records / FILE)) as connection:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger ORDER BY seq").fetchall()
    previous = GENESIS
    for row in rows:
        fields = dict(zip(COLUMNS, row, strict=True))
        fields["previous"] = stranger if fields["seq"] == cut else previous
        fields.pop("hash")
        previous = entry_hash(**fields)
        for line in lines:
            if line["seq"] == fields["seq"]:
                line["hash"] = previous
        run_without_guards(
            changed,
            "UPDATE ledger SET previous = ?, hash = ?, seal = ? WHERE seq = ?",
            (fields["previous"], previous, seal_of(previous, signer), fields["seq"]),
        )
    ledger.anchors.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = ledger.verify()
    assert not report.intact
    assert (report.first_bad, report.entries) == (cut, cut - 1)
    assert "does not follow from the entry before it" in str(report.problem)


@settings(max_examples=60)
@given(line=st.integers(0, N - 1), place=st.integers(0, 200), mask=st.integers(1, 255))
@example(line=N - 1, place=10_000, mask=1)
def test_any_byte_of_any_anchor_that_is_changed_is_found(
    copied: Callable[[], Settings], line: int, place: int, mask: int
) -> None:
    changed = _ledger(copied())
    lines = [bytearray(each) for each in _anchor_lines(changed)]
    lines[line][min(place, len(lines[line]) - 1)] ^= mask
    changed.anchors.path.write_bytes(b"".join(lines))
    report = changed.verify()
    # The end of the last line may be missing because it was being written; then it does not count.
    torn = line == N - 1 and place >= len(lines[line]) - 1
    assert report.intact == torn
    assert str(changed.anchors.path) in f"{report.problem} {report.note}"


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda _: [], "No anchor of entries 1 to 9 is left"),
        (lambda lines: lines[:-3], "was shortened"),
        (lambda lines: lines[:2] + lines[5:], "Anchors of entries 3 to 6 are missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "is out of order"),
        (lambda lines: [*lines, b"more\n"], "is no anchor"),
        (lambda lines: [*lines, lines[-1]], "is out of order"),
    ],
)
def test_an_anchor_file_that_was_shortened_or_edited_is_told(
    copied: Callable[[], Settings], keep: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    changed = _ledger(copied())
    changed.anchors.path.write_bytes(b"".join(keep(_anchor_lines(changed))))
    report = changed.verify()
    assert not report.intact
    assert words in str(report.problem)
    assert report.entries == N


def test_an_anchor_of_entries_that_never_were_is_told(copied: Callable[[], Settings]) -> None:
    changed = _ledger(copied())
    with changed.anchors.path.open("ab") as file:
        file.write(Anchor(seq=N + 1, hash=GENESIS, at="2026-01-01T00:00:00.000000+00:00").line())
    report = changed.verify()
    assert report.first_bad == N + 1


def test_lost_anchors_are_told_until_somebody_answers_for_it(copied: Callable[[], Settings]) -> None:
    lost = _ledger(copied())
    shutil.rmtree(lost.anchors.path.parent)
    report = lost.verify()
    assert (report.intact, report.first_bad, report.anchors_lost) == (False, None, True)
    assert "restart-anchors" in str(report.problem)
    lost.append("login", actor="ann")
    assert not lost.verify().intact
    with pytest.raises(RecordsError, match="No reason"):
        lost.restart_anchors(actor="ann", reason=" ")
    entry = lost.restart_anchors(actor="ann", reason="the volume was not kept")
    lost.append("login", actor="ben")
    report = lost.verify()
    assert (report.intact, report.anchored) == (True, N + 3)
    assert f"begun anew at entry {entry.seq}" in str(report.note)


def test_anchors_are_not_begun_anew_over_a_broken_chain(copied: Callable[[], Settings]) -> None:
    broken = copied()
    run_without_guards(broken, "DELETE FROM ledger WHERE seq > 5")
    with pytest.raises(RecordsError, match="missing at the end"):
        _ledger(broken).restart_anchors(actor="eve", reason="nothing happened")


def test_a_line_that_a_power_failure_cut_is_mended_by_the_next_entry(copied: Callable[[], Settings]) -> None:
    torn = _ledger(copied())
    lines = _anchor_lines(torn)
    torn.anchors.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    report = torn.verify()
    assert (report.intact, report.anchored) == (True, N - 1)
    assert "was cut while it was written" in str(report.note)
    torn.append("login", actor="ann")
    report = torn.verify()
    assert (report.intact, report.anchored, report.note) == (True, N + 1, None)
    assert [json.loads(line)["seq"] for line in _anchor_lines(torn)] == list(range(1, N + 2))


def test_memory_does_not_grow_with_the_ledger(local: Ledger, tmp_path: Path) -> None:
    def peak() -> int:
        tracemalloc.start()
        with local.database.read() as connection:
            keys = trusted_keys(local.database.settings)
            assert verify(connection, local.anchors, shared=False, keys=keys, at_once=50).intact
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    def add(entries: int) -> None:
        with local.database.write() as connection:
            for _ in range(entries):
                local.append("batch", actor="ann", connection=connection, reason="x" * 500)

    add(200)
    peak()  # what is imported and compiled once
    small = peak()
    add(1800)
    assert peak() < 2 * small
