"""Evidence is verified as an asset of the installation: its check is the light, doctor and metrics show the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets_tests.worlds.ward.state import State, state
from clinical_assets.cli import context
from clinical_assets.cli.main import app
from clinical_assets.definitions import load
from clinical_assets.foundation.settings import WITNESSES
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat
from clinical_assets.governance.verification_record import last_verification, place_of
from clinical_assets.observability.metrics.platform_readings import evidence
from clinical_assets.records.keys.installation import KEY_FILE

__all__ = ["state"]


def verified() -> tuple[bool, str]:
    """Run the job; whether its check is green, and what it says."""
    with dg.DagsterInstance.ephemeral() as instance:
        ran = load().resolve_job_def("verify_evidence").execute_in_process(instance=instance)
        assert ran.success
        (found,) = ran.get_asset_check_evaluations()
        return found.passed, found.description or ""


def doctor() -> dict[str, str] | None:
    context.workspace.cache_clear()
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    return next((each for each in found if each["topic"] == "evidence"), None)


def test_what_was_verified_is_one_light_everywhere(state: State) -> None:
    assert evidence(state.settings) == []
    assert doctor() is None
    state.ledger.append("login", actor="ann")
    assert verified() == (True, "")
    assert next(each.value for each in evidence(state.settings)) == 1.0
    assert (doctor() or {})["state"] == "ok"

    (state.settings.keys / KEY_FILE).unlink()
    passed, words = verified()
    assert not passed
    assert words.startswith("ledger: The seals cannot be checked")
    found = {each.name: each.value for each in evidence(state.settings)}
    assert found["evidence_intact"] == 0.0
    assert abs(found["evidence_verified_timestamp_seconds"] - datetime.now(UTC).timestamp()) < 60
    told = doctor() or {}
    assert (told["state"], "not intact: ledger" in told["text"]) == ("fail", True)


def test_a_sound_ledger_is_witnessed_outside_each_time_and_a_broken_one_is_not(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside" / "heads.jsonl"
    monkeypatch.setenv(WITNESSES, f" {outside}, ")
    state.ledger.append("login", actor="ann")
    assert verified()[0]
    assert verified()[0]
    assert len(outside.read_text(encoding="ascii").splitlines()) == 2
    assert {each.actor for each in state.ledger.entries(action="witness")} == {"automation:witness"}
    outside.write_text("{}\n", encoding="ascii")
    passed, words = verified()
    assert not passed
    assert "is no witness" in words
    assert outside.read_text(encoding="ascii") == "{}\n"
    outside.unlink()
    outside.mkdir()
    with pytest.raises(dg.Failure, match=r"heads\.jsonl"):
        verified()


def test_a_verification_that_is_days_old_is_no_green_light(state: State) -> None:
    state.ledger.append("login", actor="ann")
    context.workspace.cache_clear()
    done = CliRunner().invoke(app, ["audit", "verify", "--all"])
    assert done.exit_code == 0
    # Where there was nothing, nothing is said to be intact.
    assert [line.split()[1] for line in done.output.splitlines() if line.startswith(("ledger", "bundles"))] == [
        "intact",
        "nothing",
    ]
    path = place_of(state.settings)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["made_at"] = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="microseconds")
    path.write_text(json.dumps(content), encoding="utf-8")
    told = doctor() or {}
    assert told["state"] == "warn"
    assert "3 days ago" in told["text"]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_record_that_cannot_be_read_is_no_light_at_all(state: State, text: str) -> None:
    path = place_of(state.settings)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises((BadDocument, NewerFormat)):
        last_verification(state.settings)
    assert (doctor() or {})["state"] == "fail"
