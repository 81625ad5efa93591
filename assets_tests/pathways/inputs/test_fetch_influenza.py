"""Fetching leaves a catalogue that the platform can read, and says what is wrong when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.tables.debian import Debian
from clinical_assets.cohorts.paired.paired import load, paired_catalogue
from clinical_assets.foundation.errors import SourceError
from clinical_assets.pathways.inputs.fetch_influenza import DESCRIPTIONS, FILES, PACKAGES, fetch


def debian(*, without: str | None = None) -> Debian:
    """Archives of small files under the names that the packages have."""
    return Debian(
        {
            package: {
                path: path.encode()
                for path in (*wanted, f"usr/share/doc/{package}/copyright")
                if Path(path).name != without
            }
            for package, wanted in PACKAGES.items()
        }
    )


def test_files_descriptions_licences_and_releases_are_brought_where_the_descriptions_look(tmp_path: Path) -> None:
    written = fetch(tmp_path, run=debian())
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
    fetch(tmp_path, run=debian())
    assert own.read_text() == "changed"


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("GO.sqlite", r"r-bioc-go\.db_1\.0_all\.deb lacks .*GO\.sqlite"),
        ("copyright", "lacks usr/share/doc/r-bioc-qusage/copyright"),
    ],
)
def test_a_package_that_is_not_as_expected_is_refused(tmp_path: Path, without: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        fetch(tmp_path, run=debian(without=without))
    assert paired_catalogue([tmp_path]).names() == ()
