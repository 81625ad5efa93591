"""A trial at the terminal: drafted, completed, signed, looked at, raised too early, stopped, exported."""

from __future__ import annotations

import json
from pathlib import Path

from assets_tests.cli.release.conftest import Desk
from assets_tests.worlds.ward.released import secret
from assets_tests.worlds.ward.trained import COHORT


def test_a_trial_goes_from_a_draft_to_an_export_at_the_terminal(served: Desk, tmp_path: Path) -> None:
    by = ("--as", "bob", "--password-stdin")
    password = f"{secret('bob')}\n"
    drafted = served("experiment", "new", COHORT, "second_model")
    path = Path(drafted.out.split("\n")[0])
    assert path.name == "second_model.yaml"
    start = ("experiment", "start", COHORT, "second_model", *by)
    assert "not written yet" in served.refuses(*start, typed=password)
    path.write_text(path.read_text(encoding="utf-8").replace("TODO", "Said"), encoding="utf-8")
    assert served.json(*start, typed=password)["state"] == "silent"
    assert "has seen 0 units" in served.refuses(*start, "--share", "0.05", typed=password)
    status = served.json("experiment", "status", COHORT, "second_model")
    assert (status["experiment"]["verdict"], status["shadow"]["pairs"]) == ("continue", 0)
    stop = ("experiment", "stop", COHORT, "--reason", "Enough.", *by)
    assert served.json(*stop, typed=password)["state"] == "stopped"
    assert "No experiment" in served.refuses(*stop, typed=password)
    assert [row["state"] for row in served.json("experiment", "status", COHORT)] == ["stopped"]
    to = tmp_path / "trial.json"
    assert served("experiment", "export", COHORT, "second_model", "--to", str(to)).code == 0
    told = json.loads(to.read_text(encoding="utf-8"))
    assert [entry["facts"]["event"] for entry in told["entries"]] == ["signed", "started", "ended"]
    assert told["report"]["reason"] == "Enough."
    assert served.actions()[-1] == "export"
