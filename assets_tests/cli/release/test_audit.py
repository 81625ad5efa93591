"""``clinical-assets audit``: what a person and a program are told about the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets_tests.records.conftest import run_without_guards
from clinical_assets.cli.release.audit import app
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    made = Ledger(RecordsDatabase(settings))
    for number in range(3):
        made.append("batch", actor="ann", cohort="small", facts={"number": number})
    made.append("review", actor="ben", reason="looks [right]")
    return made


def test_the_newest_entries_come_first(ledger: Ledger) -> None:
    shown = CliRunner().invoke(app, ["show", "--json", "--limit", "2"])
    assert [entry["seq"] for entry in json.loads(shown.stdout)] == [4, 3]
    told = CliRunner().invoke(app, ["show"]).stdout
    assert told.index("looks [right]") < told.index("number=0")
    only = CliRunner().invoke(app, ["show", "--json", "--action", "batch", "--cohort", "small"])
    assert [entry["seq"] for entry in json.loads(only.stdout)] == [3, 2, 1]
    assert CliRunner().invoke(app, ["show", "--action", "coffee"]).exit_code == 2


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "\x7f", "\r", "\u202e", "\x07"])
def test_a_reason_cannot_drive_the_terminal(ledger: Ledger, evil: str) -> None:
    ledger.append("review", actor="eve", reason=f"fine{evil}[bold]x")
    table, lines = CliRunner().invoke(app, ["show"]), CliRunner().invoke(app, ["show", "--json", "--limit", "1"])
    assert f"fine\\u{ord(evil[0]):04x}{evil[1:]}[bold]x" in table.stdout
    for printed in (table.stdout, lines.stdout):
        assert evil[0] not in printed
    # A program reads what was written.
    assert json.loads(lines.stdout)[0]["reason"] == f"fine{evil}[bold]x"


def test_verify_ends_with_1_and_names_the_entry_when_something_was_changed(ledger: Ledger) -> None:
    assert CliRunner().invoke(app, ["verify"]).exit_code == 0
    run_without_guards(ledger.database.settings, "UPDATE ledger SET actor = 'eve' WHERE seq = 2")
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert "Entry 2 was changed" in result.output
    result = CliRunner().invoke(app, ["verify", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["first_bad"] == 2


def test_export_writes_the_file_and_an_entry(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    result = CliRunner().invoke(app, ["export", str(path), "--format", "csv", "--json"])
    assert json.loads(result.stdout)["entries"] == 4
    assert len(path.read_text().splitlines()) == 5
    assert ledger.newest(1)[0].action == "export"


def test_lost_anchors_are_begun_anew_only_with_a_reason(ledger: Ledger) -> None:
    ledger.anchors.path.unlink()
    assert CliRunner().invoke(app, ["verify"]).exit_code == 1
    assert CliRunner().invoke(app, ["restart-anchors"]).exit_code == 2
    result = CliRunner().invoke(app, ["restart-anchors", "--reason", "volume lost"])
    assert result.exit_code == 0
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 0
    assert "begun anew at entry 5" in result.output
