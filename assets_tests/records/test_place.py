"""A copied data folder knows that it is one; a moved one is the same, and one that was adopted is its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clinical_assets.cli.main import app
from clinical_assets.foundation.settings import DATA, KEYS, Settings
from clinical_assets.governance.verification_record import last_verification
from clinical_assets.observability.alerts.alert import Alert
from clinical_assets.observability.alerts.alerts import deliver, post
from clinical_assets.records.adoption import adopt
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.witnesses import newest_head
from clinical_assets.records.place import FILE, Copied, copied_from, identity, refuse_copy

NOW = "2026-01-01T00:00:00+00:00"
ALERT = Alert(kind="drift", cohort="ward", severity="warning", title="ward: drift", text="Look.", at=NOW, cause="one")


@pytest.fixture
def lived_in(settings: Settings) -> Settings:
    """A data folder in which something was recorded; its keys lie apart, where copies find them too."""
    settings = replace(settings, keys_folder=settings.data.with_name("keys"))
    Ledger(RecordsDatabase(settings)).append("login", actor="ann")
    return settings


@pytest.fixture
def copy(lived_in: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(lived_in.data, tmp_path / "copy")
    return replace(lived_in, data=tmp_path / "copy")


def test_an_installation_is_none_and_stays_none_when_it_is_moved(lived_in: Settings, tmp_path: Path) -> None:
    assert copied_from(lived_in) is None
    lived_in.data.rename(tmp_path / "moved")
    moved = replace(lived_in, data=tmp_path / "moved")
    assert copied_from(moved) is None
    Ledger(RecordsDatabase(moved)).append("login", actor="ben")
    assert identity(moved) == identity(replace(lived_in, data=moved.data))


def test_a_folder_in_which_nothing_was_recorded_is_no_copy(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = replace(settings, data=tmp_path / "file" / "data")
    assert (copied_from(nowhere), last_verification(nowhere)) == (None, None)
    assert copied_from(settings) is None
    refuse_copy(settings, "does nothing")


def test_a_copy_says_of_what_and_refuses(lived_in: Settings, copy: Settings) -> None:
    assert str(lived_in.data) in str(copied_from(copy))
    with pytest.raises(Copied, match="a copy has no witnesses") as caught:
        newest_head(RecordsDatabase(copy))
    cure = str(caught.value.cure)
    assert cure.startswith("If this folder goes on in its place (a backup, a move), or on its own, say so once: clin")
    assert cure.endswith("tells machines apart whose disks are cloned.")
    # What it records of itself does not make it the installation.
    Ledger(RecordsDatabase(copy)).append("login", actor="ben")
    assert copied_from(copy) is not None
    assert copied_from(lived_in) is None


def test_a_backup_that_was_restored_in_place_is_a_copy_too(lived_in: Settings, tmp_path: Path) -> None:
    shutil.copytree(lived_in.data, tmp_path / "backup")
    shutil.move(lived_in.data, tmp_path / "broken")
    shutil.copytree(tmp_path / "backup", lived_in.data)
    assert copied_from(lived_in) is not None


def test_the_alerts_of_a_copy_wait_until_it_is_adopted(lived_in: Settings, copy: Settings) -> None:
    for each in (lived_in, copy):
        post(each, [ALERT])
    assert deliver(copy) == ()
    assert len(list((copy.alerts / "waiting").glob("*.json"))) == 1
    assert deliver(lived_in) == (ALERT,)
    # A copy of its own keys: the two ledgers part here.
    shutil.copytree(lived_in.keys, copy.data.with_name("copy-keys"))
    own = replace(copy, keys_folder=copy.data.with_name("copy-keys"))
    (own.keys / "anchors" / "ledger.jsonl").unlink()
    before = identity(own)
    entry = adopt(Ledger(RecordsDatabase(own)), actor="ann", reason="The disk broke.")
    after = identity(own)
    assert before is not None
    assert after is not None
    assert entry.facts == {"installation": after.id, "copy_of": before.id, "name": None}
    assert after.folder == str(copy.data)
    assert copied_from(own) is None
    assert deliver(own) == (ALERT,)


@pytest.mark.parametrize(
    ("given", "now", "copied"),
    [
        ("ward", "ward", False),
        ("ward", "staging", True),
        ("ward", None, True),
        (None, "ward", True),
    ],
)
def test_a_name_in_the_environment_decides_whatever_the_file_system_says(
    settings: Settings, tmp_path: Path, given: str | None, now: str | None, copied: bool
) -> None:
    Ledger(RecordsDatabase(replace(settings, installation=given))).append("login", actor="ann")
    # A clone of the disk has the same numbers; so has this folder.
    assert (copied_from(replace(settings, installation=now)) is not None) is copied
    shutil.copytree(settings.data, tmp_path / "copy")
    assert (copied_from(replace(settings, data=tmp_path / "copy", installation=now)) is not None) is copied


SPOILT: dict[str, Callable[[str], str]] = {
    "no JSON": lambda text: text[:-3],
    "a list": lambda _: "[]",
    "a field less": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "number"}),
    "a newer format": lambda text: json.dumps({**json.loads(text), "format": 2}),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_identity_refuses_lets_alerts_through_and_can_be_adopted(lived_in: Settings, how: str) -> None:
    path = lived_in.data / FILE
    path.write_text(SPOILT[how](path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RecordsError, match="nobody knows whether this folder is a copy"):
        refuse_copy(lived_in, "does nothing")
    post(lived_in, [ALERT])
    assert deliver(lived_in) == (ALERT,)
    assert adopt(Ledger(RecordsDatabase(lived_in)), actor="ann", reason="Spoilt.").facts["copy_of"] is None
    assert copied_from(lived_in) is None


def test_adopting_asks_for_a_reason_and_a_copy(lived_in: Settings, copy: Settings) -> None:
    with pytest.raises(RecordsError, match="is no copy"):
        adopt(Ledger(RecordsDatabase(lived_in)), actor="ann", reason="To be sure.")
    with pytest.raises(RecordsError, match="No reason"):
        adopt(Ledger(RecordsDatabase(copy)), actor="ann", reason=" ")
    assert [each.action for each in Ledger(RecordsDatabase(copy)).entries()] == ["login"]


def test_doctor_and_adopt_tell_of_it(copy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA, str(copy.data))
    monkeypatch.setenv(KEYS, str(copy.keys))
    found = {each["topic"]: each for each in json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)}
    assert found["installation"]["state"] == "warn"
    assert "is a copy of the installation" in found["installation"]["text"]
    done = CliRunner().invoke(app, ["records", "adopt", "--reason", "Restored."])
    assert done.exit_code == 0, done.output
    topics = {each["topic"] for each in json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)}
    assert "installation" not in topics
