"""``clinical-assets pccp`` shows where a model stands in its plan, what it changes, and hands out the evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets_tests.worlds.ward.released import Releasable, first_release, put_in_environment, second_release
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.cli.main import app


def test_a_plan_is_shown_compared_and_handed_out(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Releasable = put_in_environment(second_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    champion = made.candidate.champion
    assert champion is not None
    found = json.loads(CliRunner().invoke(app, ["pccp", "status", COHORT, "--json"]).stdout)
    assert (found["authorised"]["digest"], found["tests"], found["looks"]) == (champion.digest, [], 2.0)
    said = CliRunner().invoke(app, ["pccp", "status", COHORT]).stdout
    assert "SYNTHETIC" in said
    assert "0.005 (one-sided) is left" in said
    diff = json.loads(CliRunner().invoke(app, ["pccp", "diff", COHORT, "--json"]).stdout)
    assert diff["against champion"] == diff["against authorised"] != []
    assert "Against the authorised" in CliRunner().invoke(app, ["pccp", "diff", COHORT]).stdout
    path = tmp_path / "evidence.zip"
    told = CliRunner().invoke(app, ["pccp", "evidence", COHORT, "--to", str(path)])
    assert (told.exit_code, path.is_file()) == (0, True)
    assert "check_plan_evidence.py --key" in told.stdout


def test_the_first_model_that_was_released_is_said_to_be_the_authorised_one(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Releasable = put_in_environment(first_release(tmp_path_factory).copy_to(tmp_path / "release"), monkeypatch)
    assert "authorised: nothing yet" in CliRunner().invoke(app, ["pccp", "status", COHORT]).stdout
    made.approve()
    made.promote()
    assert "authorised: the newest model" in CliRunner().invoke(app, ["pccp", "status", COHORT]).stdout
