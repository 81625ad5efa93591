"""A trial at the terminal: drafted, completed, signed, looked at, raised too early, stopped, exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assets_tests.cli.release.test_approvals import Desk
from assets_tests.cli.test_cli import Shell
from assets_tests.worlds.ward.released import put_in_environment, second_release, secret
from assets_tests.worlds.ward.trained import COHORT


@pytest.fixture
def desk(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Desk:
    """Where somebody types; the first model serves, the second waits."""
    made = put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    return Desk(made, Shell(capfd, monkeypatch))


def test_a_trial_goes_from_a_draft_to_an_export_at_the_terminal(desk: Desk, tmp_path: Path) -> None:
    by = ("--as", "bob", "--password-stdin")
    password = f"{secret('bob')}\n"
    drafted = desk("experiment", "new", COHORT, "second_model")
    path = Path(drafted.out.split("\n")[0])
    assert path.name == "second_model.yaml"
    start = ("experiment", "start", COHORT, "second_model", *by)
    assert "not written yet" in desk.refuses(*start, typed=password)
    path.write_text(path.read_text(encoding="utf-8").replace("TODO", "Said"), encoding="utf-8")
    assert desk.json(*start, typed=password)["state"] == "silent"
    assert "has seen 0 units" in desk.refuses(*start, "--share", "0.05", typed=password)
    status = desk.json("experiment", "status", COHORT, "second_model")
    assert (status["experiment"]["verdict"], status["shadow"]["pairs"]) == ("continue", 0)
    stop = ("experiment", "stop", COHORT, "--reason", "Enough.", *by)
    assert desk.json(*stop, typed=password)["state"] == "stopped"
    assert "No experiment" in desk.refuses(*stop, typed=password)
    assert [row["state"] for row in desk.json("experiment", "status", COHORT)] == ["stopped"]
    to = tmp_path / "trial.json"
    assert desk("experiment", "export", COHORT, "second_model", "--to", str(to)).code == 0
    told = json.loads(to.read_text(encoding="utf-8"))
    assert [entry["facts"]["event"] for entry in told["entries"]] == ["signed", "started", "ended"]
    assert told["report"]["reason"] == "Enough."
    assert desk.actions()[-1] == "export"
