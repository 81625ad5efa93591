"""The ledger: one chain whoever writes, committed with what it is about, anchored after the commit."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets_tests.worlds.machine.processes import child
from clinical_assets.foundation.settings import DATA, RECORDS_URI
from clinical_assets.records import clock
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.anchors import Anchors
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.entries import GENESIS, Entry
from clinical_assets.records.ledger.ledger import Ledger

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _anchored(ledger: Ledger) -> list[int]:
    if not ledger.anchors.path.exists():
        return []
    return [json.loads(line)["seq"] for line in ledger.anchors.path.read_text().splitlines()]


def test_entries_are_numbered_and_each_holds_the_hash_of_the_one_before(ledger: Ledger) -> None:
    entries = [ledger.append("login", actor=name) for name in ("ann", "ben", "cem")]
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries] == [GENESIS, entries[0].hash, entries[1].hash]
    assert ledger.entries() == tuple(entries)
    assert sorted(entry.at for entry in entries) == [entry.at for entry in entries]
    assert clock.parse(entries[0].at).utcoffset() == clock.parse(clock.utc_now()).utcoffset()


def test_the_hash_can_be_computed_again_from_the_fields_alone(ledger: Ledger) -> None:
    entry = ledger.append("review", actor="ann", cohort="small", reason='weil "ü"\n', facts={"b": [1, 2.5], "a": "é"})
    fields = entry.to_json()
    previous = fields.pop("previous")
    expected, _ = fields.pop("hash"), fields.pop("seal")
    content = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert expected == "sha256:" + hashlib.sha256((previous + content).encode()).hexdigest()


@settings(max_examples=40)
@given(actor=TEXTS.filter(bool), reason=st.none() | TEXTS, facts=st.dictionaries(TEXTS, VALUES, max_size=3))
def test_whatever_is_recorded_is_read_back_and_verifies(
    local: Ledger, actor: str, reason: str | None, facts: dict[str, object]
) -> None:
    entry = local.append("review", actor=actor, reason=reason, facts=facts)  # type: ignore[arg-type]
    assert entry.reason == reason
    assert canonical(entry.facts) == canonical(facts)
    assert local.newest(1) == (entry,)
    assert local.verify().intact


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: "a", "b": 2}, b"bytes"])
def test_what_json_does_not_have_is_refused_and_nothing_is_recorded(local: Ledger, value: object) -> None:
    with pytest.raises(RecordsError, match="cannot be recorded"):
        local.append("review", actor="ann", facts={"value": value})  # type: ignore[dict-item]
    assert local.entries() == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"action": "coffee"}, "knows no action"),
        ({"actor": ""}, "nobody"),
        ({"actor": "a" * 201}, "201 characters"),
        ({"reason": "a\x00b"}, "NUL"),
        ({"reason": "\ud800"}, "half a character"),
        ({"cohort": "c" * 64}, "64 characters"),
    ],
)
def test_what_one_of_the_databases_would_not_keep_is_refused(local: Ledger, given: dict[str, str], words: str) -> None:
    with pytest.raises(RecordsError, match=words):
        local.append(**{"action": "login", "actor": "ann", **given})  # type: ignore[arg-type]


def test_entries_can_be_asked_for_by_what_they_are_about(ledger: Ledger) -> None:
    for number in range(6):
        ledger.append("batch" if number % 2 else "training", actor="ann", cohort=f"c{number % 3}", digest=f"d{number}")
    numbers = [entry.seq for entry in ledger.entries(action="batch", after=2)]
    assert numbers == [4, 6]
    assert [entry.seq for entry in ledger.entries(cohort="c0")] == [1, 4]
    assert [entry.seq for entry in ledger.entries(digest="d4")] == [5]
    assert [entry.seq for entry in ledger.entries(after=1, limit=2)] == [2, 3]
    assert [entry.seq for entry in ledger.newest(2, action="training")] == [5, 3]


def test_entries_of_one_transaction_are_anchored_by_their_last_and_have_its_time(ledger: Ledger) -> None:
    with ledger.database.write() as connection:
        first = ledger.append("signature", actor="ann", connection=connection)
        second = ledger.append("promotion", actor="ann", connection=connection)
        assert _anchored(ledger) == []
    assert _anchored(ledger) == [2]
    assert first.at == second.at
    assert ledger.verify().note is None


def test_nothing_of_a_transaction_that_was_rolled_back_is_kept_or_anchored(ledger: Ledger) -> None:
    ledger.append("login", actor="ann")

    def fail_after_the_entry() -> None:
        with ledger.database.write() as connection:
            ledger.append("signature", actor="ann", connection=connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_the_entry()
    assert _anchored(ledger) == [1]
    assert [entry.action for entry in ledger.entries()] == ["login"]
    assert ledger.append("login", actor="ben").seq == 2
    assert ledger.verify().intact


def test_a_savepoint_that_was_rolled_back_leaves_the_chain_right(ledger: Ledger) -> None:
    with ledger.database.write() as connection:
        ledger.append("login", actor="ann", connection=connection)
        savepoint = connection.begin_nested()
        ledger.append("review", actor="ann", connection=connection)
        savepoint.rollback()
    assert _anchored(ledger) == [1]
    assert ledger.append("login", actor="ben").seq == 2
    assert ledger.verify().intact


@pytest.mark.slow
def test_several_processes_make_one_chain(ledger: Ledger) -> None:
    settings = ledger.database.settings
    environment = {DATA: str(settings.data), RECORDS_URI: settings.records_uri or ""}
    script = """
import os
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
ledger = Ledger(RecordsDatabase(settings))
ledger.entries()
reached_and_wait("ready")
for number in range(12):
    ledger.append("batch", actor=str(os.getpid()), facts={"number": number})
"""
    with child(script, environment) as one, child(script, environment) as two, child(script, environment) as three:
        processes = (one, two, three)
        for process in processes:
            process.wait_for("ready")
        for process in processes:
            process.go_on()
        for number in range(5):
            ledger.append("login", actor="parent", facts={"number": number})
            assert ledger.verify().intact
        for process in processes:
            process.finish()
    report = ledger.verify()
    assert (report.intact, report.entries, report.anchored, report.note) == (True, 41, 41, None)
    by_actor: dict[str, list[Entry]] = {}
    for entry in ledger.entries():
        by_actor.setdefault(entry.actor, []).append(entry)
    assert Counter(map(len, by_actor.values())) == {12: 3, 5: 1}
    assert all([e.facts["number"] for e in own] == list(range(len(own))) for own in by_actor.values())


def test_a_kill_between_commit_and_anchor_is_told_and_mended_by_the_next_entry(ledger: Ledger) -> None:
    settings = ledger.database.settings
    ledger.append("login", actor="ann")
    script = """
import os, signal
from clinical_assets.records.ledger.anchors import Anchors
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
Anchors.add = lambda self, head: os.kill(os.getpid(), signal.SIGKILL)
with (database := RecordsDatabase(settings)).write() as connection:
    Ledger(database).append("signature", actor="ann", connection=connection)
    Ledger(database).append("promotion", actor="ann", connection=connection)
"""
    with (
        child(script, {DATA: str(settings.data), RECORDS_URI: settings.records_uri or ""}) as killed,
        pytest.raises(AssertionError),
    ):
        killed.finish()
    report = ledger.verify()
    assert (report.intact, report.entries, report.anchored) == (True, 3, 1)
    assert "newest 2 entries are not anchored yet" in str(report.note)
    ledger.append("login", actor="ben")
    assert _anchored(ledger) == [1, 3, 4]
    report = ledger.verify()
    assert (report.intact, report.anchored, report.note) == (True, 4, None)


def test_an_anchor_that_cannot_be_written_leaves_the_commit_and_stops_the_next_entry(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append("login", actor="ann")

    def full(_self: Anchors, _head: object) -> None:
        raise RecordsError("no space")

    monkeypatch.setattr(Anchors, "add", full)
    with caplog.at_level(logging.ERROR):
        ledger.append("login", actor="ben")
    assert "recorded, but not anchored yet" in caplog.text
    monkeypatch.undo()
    path = ledger.anchors.path
    kept = path.rename(path.with_name("kept"))
    path.mkdir()
    with pytest.raises(RecordsError):
        ledger.append("login", actor="cem")
    assert [entry.actor for entry in ledger.entries()] == ["ann", "ben"]
    path.rmdir()
    kept.rename(path)
    ledger.append("login", actor="cem")
    assert ledger.verify().note is None


def test_nothing_is_added_to_a_ledger_that_contradicts_its_anchors(local: Ledger) -> None:
    from assets_tests.records.conftest import run_without_guards

    for name in ("ann", "ben"):
        local.append("login", actor=name)
    run_without_guards(local.database.settings, "DELETE FROM ledger WHERE seq = 2")
    fresh = Ledger(RecordsDatabase(local.database.settings))
    with pytest.raises(RecordsError, match=r"ends with entry 1, but .* has the anchor of entry 2") as caught:
        fresh.append("login", actor="eve")
    assert "audit verify" in str(caught.value.cure)
    assert len(fresh.entries()) == 1
