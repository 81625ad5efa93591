"""Erasing a subject: nothing of it is left below the data folder, everybody else's records are, and it stays out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assets_tests.worlds.team.erasable import BUNDLE, GONE, NEIGHBOUR, OTHER, Erasable, erasable
from clinical_assets.cli.main import app
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import CATALOGUE, Settings
from clinical_assets.governance.privacy.erasure import erasure
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.keys.pseudonyms import Pseudonyms
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.snapshots.snapshot_files import list_snapshots
from clinical_assets.warehouse.snapshots.snapshots import restore_snapshot, verify_snapshot
from clinical_assets.workspace import Workspace

COUNTS = {
    "model.features": 1,
    "model.outcomes": 1,
    "monitoring.scores": 1,
    "quarantine.findings": 2,
    "quarantine.records": 2,
    "raw._rejects": 1,
    "raw.subjects": 1,
    "raw.visits": 3,
    f"reference.{BUNDLE[:16]}": 1,
    "validated.subjects": 1,
    "validated.visits": 2,
}


def erase(made: Erasable, **more: Any) -> erasure.Erasure:
    cohort = Workspace(more.pop("settings", made.settings), made.catalogue).cohort(made.name)
    return erasure.erase(cohort, GONE, **{"reason": "request 12", **more})


def ledger(made: Erasable) -> Ledger:
    return Ledger(RecordsDatabase(made.settings))


@pytest.fixture(params=["plain", "encrypted"])
def made(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, settings: Settings, request: pytest.FixtureRequest
) -> Erasable:
    key = b"0123456789abcdef0123456789abcdef" if request.param == "encrypted" else None
    return erasable(tmp_path_factory, tmp_path, replace(settings, master_key=key, memory_limit="1GB", threads=2))


@pytest.fixture
def plain(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, settings: Settings) -> Erasable:
    return erasable(tmp_path_factory, tmp_path, replace(settings, memory_limit="1GB", threads=2))


def test_no_file_below_the_data_folder_holds_the_identifier_and_nobody_else_loses_a_row(made: Erasable) -> None:
    pseudonyms = Pseudonyms(made.settings, made.name)
    name = pseudonyms.of([GONE])[0]
    before = {f"{info.schema}.{info.name}": info.rows for info in made.warehouse.tables()}
    assert made.files_with(GONE, without=NEIGHBOUR)

    done = erase(made)

    after = {f"{info.schema}.{info.name}": info.rows for info in made.warehouse.tables()}
    assert made.files_with(GONE, without=NEIGHBOUR) == []
    assert {table: before[table] - rows for table, rows in after.items() if rows != before[table]} == COUNTS
    assert done.tables == COUNTS
    assert done.pseudonym == name
    assert made.rows(f"SELECT count(*) FROM raw.subjects WHERE PatID IN ('{OTHER}', '{NEIGHBOUR}')") == [(2,)]
    assert made.rows("SELECT remark FROM raw.subjects WHERE _row = 8") == [("Sister of [erased], see [erased].",)]
    assert (made.settings.data / "batches" / made.name / "scores.csv").read_text() == (
        f"patient_id,risk\n{OTHER},0.2\n{NEIGHBOUR},0.3\n"
    )
    assert made.files_with(NEIGHBOUR)


def test_snapshots_are_written_anew_under_digests_that_can_be_verified_and_restored(made: Erasable) -> None:
    old = {each.digest for each in list_snapshots(made.name, settings=made.settings)}

    done = erase(made)

    kept = {each.digest: each for each in list_snapshots(made.name, settings=made.settings)}
    assert {each.old for each in done.snapshots} == old - set(kept)
    assert len(done.snapshots) == 3  # subjects, visits, unreadable lines of visits
    for redaction in done.snapshots:
        new = kept[redaction.new]
        verify_snapshot(new, settings=made.settings)
        assert [each.digest for each in new.replaces] == [redaction.old]
    (subjects,) = (each.new for each in done.snapshots if each.table == "subjects")
    (visits,) = (each.new for each in done.snapshots if each.table == "visits")
    content = made.rows("SELECT * FROM raw.subjects ORDER BY _row")
    restore_snapshot(made.warehouse, "subjects", subjects)
    restore_snapshot(made.warehouse, "visits", visits)
    assert made.rows("SELECT * FROM raw.subjects ORDER BY _row") == content
    assert made.rows("SELECT count(*) FROM raw._rejects") == [(0,)]


def test_the_next_delivery_takes_nothing_of_the_subject_in(made: Erasable) -> None:
    erase(made)

    made.deliver()

    assert made.files_with(GONE, without=NEIGHBOUR) == []
    assert made.rows(f"SELECT count(*) FROM raw.subjects WHERE PatID = '{OTHER}'") == [(1,)]
    assert made.rows(f"SELECT count(*) FROM raw.visits WHERE patient_id = '{GONE}'") == [(0,)]
    noted = made.rows(
        "SELECT table_name, _row, column_name, value, reason FROM quarantine.findings "
        "WHERE rule = 'erased_on_request' ORDER BY ALL"
    )
    assert noted == [
        (table, row, None, None, "erased on request")
        for table, row in [("subjects", 7), *(("visits", n) for n in (19, 20, 21))]
    ]
    lines = made.rows("SELECT text, reason FROM raw._rejects")
    assert lines == [("", "erased on request")]
    assert made.rows("SELECT remark FROM raw.subjects WHERE _row = 8") == [("Sister of [erased], see [erased].",)]


def test_the_ledger_knows_the_pseudonym_and_counts_but_not_the_subject_and_its_chain_verifies(plain: Erasable) -> None:
    ledger(plain).append("review", actor="ann", facts={"subject": Pseudonyms(plain.settings, plain.name).of([GONE])[0]})

    done = erase(plain)

    (entry,) = ledger(plain).entries(action="erasure")
    assert entry.seq == done.ledger_seq
    assert entry.facts["pseudonym"] == done.pseudonym
    assert entry.facts["tables"] == COUNTS
    assert entry.reason == "request 12"
    assert GONE not in json.dumps(entry.facts)
    assert ledger(plain).verify().intact
    assert erasure.unfinished(plain.settings) == ()


def test_only_models_that_learned_from_the_subject_are_marked(plain: Erasable) -> None:
    done = erase(plain)

    assert done.models == (f"sha256:{BUNDLE}",)
    (marked,) = erasure.marked_for_retraining(plain.settings, plain.name)
    assert (marked.bundle_digest, marked.reason) == (f"sha256:{BUNDLE}", "request 12")


def test_sources_outside_the_platform_are_named_with_the_cure_and_left_as_they_are(plain: Erasable) -> None:
    file = plain.deliveries / plain.name / "subjects.csv"
    content = file.read_bytes()
    inbox = plain.settings.inbox / plain.name / "new.csv"
    inbox.parent.mkdir(parents=True)
    inbox.write_text(f"PatID\n{GONE}\n")

    done = erase(plain)

    assert file.read_bytes() == content
    assert inbox.exists()
    told = {each.what: each.cure for each in done.remaining}
    assert set(told) == {
        "source of table subjects (file): 1 records of the subject",
        "source of table visits (file): 3 records of the subject",
        f"file inbox/{plain.name}/new.csv of the data folder",
    }
    assert all(told.values())
    assert GONE not in str(done.remaining)


STEPS = ("redact_snapshots", "erase_rows", "rewrite", "clean_files", "models_of", "_ledger_entry")


@pytest.mark.parametrize(("step", "when"), [*((step, "before") for step in STEPS), ("_ledger_entry", "after")])
def test_an_erasure_that_was_killed_is_completed_by_the_same_command(
    plain: Erasable, step: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Pseudonyms(plain.settings, plain.name).of([GONE])[0]
    with monkeypatch.context() as patch:
        patch.setattr(erasure, step, _killed(getattr(erasure, step), when))
        with pytest.raises(KeyboardInterrupt):
            erase(plain)
    (journal,) = erasure.unfinished(plain.settings)
    assert GONE not in journal.path.read_text()

    done = erase(plain)

    assert plain.files_with(GONE, without=NEIGHBOUR) == []
    assert (done.pseudonym, done.tables, len(done.snapshots)) == (name, COUNTS, 3)
    assert done.models == (f"sha256:{BUNDLE}",)
    assert len(ledger(plain).entries(action="erasure")) == 1
    assert erasure.unfinished(plain.settings) == ()


def _killed(step: Callable[..., Any], when: str) -> Callable[..., Any]:
    def killed(*given: Any, **named: Any) -> Any:
        if when == "after":
            step(*given, **named)
        raise KeyboardInterrupt

    return killed


def test_erasing_again_finds_nothing_and_adds_no_entry(plain: Erasable) -> None:
    erase(plain)

    again = erase(plain)

    assert (again.tables, again.snapshots, again.ledger_seq) == ({}, (), None)


@pytest.mark.parametrize("reason", [" ", f"asked by {GONE}", f"asked by {GONE.lower()}"])
def test_a_reason_that_is_empty_or_names_the_subject_is_refused_before_anything_happens(
    plain: Erasable, reason: str
) -> None:
    with pytest.raises(ClinicalAssetsError, match="must not name the subject"):
        erase(plain, reason=reason)

    assert made_rows(plain) == 1
    assert not Pseudonyms(plain.settings, plain.name).erased([GONE])[0]


def test_nothing_prints_the_identifier(
    plain: Erasable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(CATALOGUE, str(plain.deliveries))
    caplog.set_level(logging.DEBUG)
    arguments = ["erase", "-", "--cohort", plain.name, "--reason", "request 12", "--yes"]

    answer = CliRunner().invoke(app, arguments, input=f"{GONE}\n")

    assert answer.exit_code == 0, answer.output
    assert "raw.visits" in answer.output
    assert GONE not in answer.output + caplog.text
    assert made_rows(plain) == 0


def test_without_consent_nothing_is_erased(plain: Erasable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CATALOGUE, str(plain.deliveries))

    answer = CliRunner().invoke(app, ["erase", GONE, "--cohort", plain.name, "--reason", "request 12"], input="n\n")

    assert answer.exit_code == 1
    assert made_rows(plain) == 1


def made_rows(made: Erasable) -> int:
    return int(str(made.rows(f"SELECT count(*) FROM raw.subjects WHERE PatID = '{GONE}'")[0][0]))
