"""Settings are read when asked for, and refuse what cannot be used."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest

from clinical_assets.foundation.errors import ClinicalAssetsError, SourceError
from clinical_assets.foundation.settings import (
    ADVISORIES,
    DATA,
    KEY,
    KEY_FILE,
    PREVIEWS,
    SOURCE_PREFIX,
    THREADS,
    UMASK,
    Settings,
    private_umask,
)


def test_all_state_lies_below_the_data_folder(settings: Settings) -> None:
    assert {settings.warehouse.parent, settings.snapshots.parent, settings.downloads.parent} == {settings.data}


def test_the_environment_is_read_at_each_call(settings: Settings, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA, str(tmp_path / "elsewhere"))
    assert Settings.from_environment().data == tmp_path / "elsewhere"


def test_the_report_that_make_advisories_wrote_counts_unless_another_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings.advisories_report is None
    settings.data.mkdir(parents=True, exist_ok=True)
    made = settings.data / "advisories.json"
    made.write_text("{}", encoding="utf-8")
    assert settings.advisories_report == made
    monkeypatch.setenv(ADVISORIES, str(tmp_path / "other.json"))
    assert Settings.from_environment().advisories_report == tmp_path / "other.json"


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


@pytest.mark.parametrize(("given", "mask"), [("", 0o077), ("027", 0o027), ("0", 0)])
def test_files_are_for_the_account_alone_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, mask: int
) -> None:
    monkeypatch.setenv(UMASK, given)
    private_umask()
    (tmp_path / "file").touch()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("given", ["none", "8", "-"])
def test_a_umask_that_is_no_octal_number_is_refused_and_nothing_is_opened(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(UMASK, given)
    with pytest.raises(ClinicalAssetsError, match=UMASK):
        private_umask()
    assert os.umask(0o022) == 0o022


@pytest.mark.parametrize(("given", "shown"), [("", True), ("on", True), ("off", False), ("0", False), (" No ", False)])
def test_previews_are_shown_unless_switched_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, given: str, shown: bool
) -> None:
    monkeypatch.setenv(PREVIEWS, given)
    assert Settings.from_environment().previews is shown


def test_the_documentation_names_every_variable_and_no_other() -> None:
    root = Path(__file__).parents[2]
    variable = re.compile(r"CLINICAL_ASSETS_\w*[A-Z]")
    read = set(variable.findall((root / "clinical_assets" / "foundation" / "settings.py").read_text(encoding="utf-8")))
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = "\n".join(
        line.split("|")[1] for line in page.partition("## Settings")[2].splitlines() if line.startswith("| `")
    )
    assert set(variable.findall(rows)) - {SOURCE_PREFIX.rstrip("_")} == read - {SOURCE_PREFIX.rstrip("_")}
    assert f"`{SOURCE_PREFIX}*`" in rows
