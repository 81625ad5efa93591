"""Settings are read when asked for, and refuse what cannot be used."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from clinical_assets.errors import ClinicalAssetsError, SourceError
from clinical_assets.settings import DATA, KEY, KEY_FILE, THREADS, Settings


def test_all_state_lies_below_the_data_folder(settings: Settings) -> None:
    assert {settings.warehouse.parent, settings.snapshots.parent, settings.downloads.parent} == {settings.data}


def test_the_environment_is_read_at_each_call(settings: Settings, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA, str(tmp_path / "elsewhere"))
    assert Settings.from_environment().data == tmp_path / "elsewhere"


def test_a_number_that_is_none_is_refused_by_its_name(settings: Settings, monkeypatch) -> None:
    monkeypatch.setenv(THREADS, "many")
    with pytest.raises(ClinicalAssetsError, match=THREADS):
        Settings.from_environment()


def test_a_key_may_come_from_a_file_and_must_be_long_enough(settings: Settings, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("0123456789abcdef0123\n")
    monkeypatch.setenv(KEY_FILE, str(file))
    assert Settings.from_environment().master_key == b"0123456789abcdef0123"
    file.write_text("short")
    with pytest.raises(ClinicalAssetsError, match="at least 16"):
        Settings.from_environment()
    monkeypatch.setenv(KEY, "0123456789abcdef")
    with pytest.raises(ClinicalAssetsError, match="Both"):
        Settings.from_environment()


def test_an_error_keeps_its_words_between_processes() -> None:
    error = pickle.loads(pickle.dumps(SourceError("cohort.csv is empty.", cure="Send it again.")))  # noqa: S301
    assert isinstance(error, SourceError)
    assert (error.message, error.cure) == ("cohort.csv is empty.", "Send it again.")
