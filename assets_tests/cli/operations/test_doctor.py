"""What doctor says of files that others can read: open keys are refused, open state is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clinical_assets.cli import main
from clinical_assets.foundation.settings import KEY_FILE, Settings
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger


@pytest.fixture
def lived_in(settings: Settings) -> Settings:
    """An installation with a key and a ledger."""
    Ledger(RecordsDatabase(settings)).append("login", actor="ann")
    return settings


def doctor(topic: str) -> tuple[int, list[dict[str, str]]]:
    done = CliRunner().invoke(main.app, ["doctor", "--json"])
    return done.exit_code, [each for each in json.loads(done.stdout) if each["topic"] == topic]


def test_keys_that_only_the_account_can_read_are_right(lived_in: Settings) -> None:
    code, found = doctor("keys")
    assert (code, [each["state"] for each in found]) == (0, ["ok"])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610])
@pytest.mark.parametrize("name", ["", "installation.key", "anchors/ledger.jsonl"])
def test_a_key_that_another_account_can_reach_is_refused_with_its_cure(
    lived_in: Settings, name: str, mode: int
) -> None:
    path = lived_in.keys / name
    path.chmod(mode | 0o100)
    code, found = doctor("keys")
    assert code == 1
    assert [(each["state"], str(path) in each["text"]) for each in found] == [("fail", True)]
    assert found[0]["cure"] == f"chmod {'700' if path.is_dir() else '600'} {path}"


def test_so_is_the_file_of_the_encryption_key_wherever_it_lies(
    lived_in: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "elsewhere"
    path.write_text("0123456789abcdef0123")
    path.chmod(0o644)
    monkeypatch.setenv(KEY_FILE, str(path))
    code, found = doctor("keys")
    assert (code, found[0]["state"], str(path) in found[0]["text"]) == (1, "fail", True)


def test_state_that_others_can_read_is_named_by_its_count(lived_in: Settings) -> None:
    assert all("can be read by every account" not in each["text"] for each in doctor("data folder")[1])
    (lived_in.data / "scores.csv").write_text("1")
    for name in ("scores.csv", "README.md"):  # a checkout's own description is no state
        (lived_in.data / name).touch()
        (lived_in.data / name).chmod(0o644)
    lived_in.data.chmod(0o755)
    told = [each for each in doctor("data folder")[1] if "can be read by every account" in each["text"]]
    assert [each["state"] for each in told] == ["warn"]


def test_files_that_nobody_takes_in_are_counted_with_what_to_do(lived_in: Settings, tmp_path: Path) -> None:
    assert doctor("inbox") == (0, [])
    (lived_in.inbox / "ward" / "outcomes").mkdir(parents=True)
    for name in ("ward.csv", "other.xlsx", ".hidden", "ward/sound.csv"):
        (lived_in.inbox / name).write_text("x")
    (lived_in.inbox / "ward" / "outcomes" / "linked.csv").symlink_to(tmp_path)
    code, (beside, link) = doctor("inbox")
    assert code == 0
    assert (beside["state"], beside["text"].startswith("2 files in ")) == ("warn", True)
    assert "<cohort>/" in beside["cure"]
    assert (link["state"], link["text"].startswith("1 link ")) == ("warn", True)
    assert "ward.csv" not in json.dumps([beside, link])
