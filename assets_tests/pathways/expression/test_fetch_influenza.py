"""Fetching leaves a catalogue that the platform can read, and says what is wrong when it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from clinical_assets.cohorts.paired.paired import load, paired_catalogue
from clinical_assets.foundation.errors import SourceError
from clinical_assets.pathways.expression.fetch_influenza import DESCRIPTIONS, FILES, PACKAGES, fetch, main


class Debian:
    """Stands in for apt and dpkg: an archive is its name, unpacking makes the files that the package has."""

    def __init__(self, *, without: str | None = None, archives: int = 1) -> None:
        self.without, self.archives = without, archives

    def __call__(self, command: Sequence[str], folder: Path) -> None:
        if command[0] == "apt-get":
            for package in command[2:]:
                for release in range(self.archives):
                    (folder / f"{package}_{release + 1}.0_all.deb").write_text("")
            return
        _, _, archive, target = command
        package = archive.split("_")[0]
        for inside in (*PACKAGES[package], Path("usr/share/doc") / package / "copyright"):
            if inside.name != self.without:
                path = folder / target / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"content of {inside.name}")


def test_files_descriptions_licences_and_releases_are_brought_where_the_descriptions_look(tmp_path: Path) -> None:
    written = fetch(tmp_path, run=Debian())
    catalogue = paired_catalogue([tmp_path])
    assert catalogue.names() == ("influenza_challenge", "influenza_vaccine")
    for path in written:
        spec = load(path)
        assert (path.parent / spec.expression.path).is_file()
        assert (path.parent / spec.gene_sets.org_db).is_file()
        assert (path.parent / spec.gene_sets.go_db).is_file()
    for package in PACKAGES:
        assert (tmp_path / "paired" / FILES / f"{package}.version").read_text() == f"{package}_1.0_all.deb\n"
        assert (tmp_path / "paired" / FILES / f"{package}.copyright").is_file()


def test_a_description_that_somebody_changed_stays(tmp_path: Path) -> None:
    own = tmp_path / "paired" / DESCRIPTIONS[0]
    own.parent.mkdir()
    own.write_text("changed")
    fetch(tmp_path, run=Debian())
    assert own.read_text() == "changed"


@pytest.mark.parametrize(
    ("debian", "told"),
    [
        (Debian(without="GO.sqlite"), r"r-bioc-go\.db_1\.0_all\.deb lacks .*GO\.sqlite"),
        (Debian(without="copyright"), "lacks usr/share/doc/r-bioc-qusage/copyright"),
        (Debian(archives=0), "0 archives of r-bioc-qusage were fetched"),
    ],
)
def test_a_package_that_is_not_as_expected_is_refused(tmp_path: Path, debian: Debian, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        fetch(tmp_path, run=debian)
    assert paired_catalogue([tmp_path]).names() == ()


def test_without_debians_tools_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--into", str(tmp_path / "catalogue")]) == 1
    assert "apt-get is not on this machine" in capsys.readouterr().err
