"""Archives are found, fetched and read member by member, and say what is wrong with them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from assets_tests.worlds.tables.debian import Debian, write_deb
from assets_tests.worlds.tables.shipped import own_settings
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.r_packages.debian import FOLDER, download, find_archive, read_members

FILES = {"usr/share/doc/copyright": b"odd", "usr/lib/R/a.rda": random.Random(1).randbytes(4001)}


@pytest.mark.parametrize("packing", ["xz", "gz", "bz2"])
def test_files_come_out_as_they_went_in(tmp_path: Path, packing: str) -> None:
    archive = write_deb(tmp_path / "r-cran-x_1_all.deb", FILES, packing=packing)
    assert read_members(archive, tuple(FILES)) == FILES
    assert read_members(archive, ["usr/lib/R/a.rda"]) == {"usr/lib/R/a.rda": FILES["usr/lib/R/a.rda"]}


def test_what_is_no_archive_or_lacks_a_file_is_refused(tmp_path: Path) -> None:
    archive = write_deb(tmp_path / "r-cran-x_1_all.deb", FILES)
    with pytest.raises(SourceError, match=r"lacks usr/lib/R/b\.rda"):
        read_members(archive, ["usr/lib/R/b.rda"])
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) - 2000])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        read_members(archive, tuple(FILES))
    archive.write_bytes(whole[:80])
    with pytest.raises(SourceError, match="has no data in it"):
        read_members(archive, tuple(FILES))
    archive.write_text("<html>not found</html>")
    with pytest.raises(SourceError, match="no Debian archive"):
        read_members(archive, tuple(FILES))


def test_the_archive_is_found_beside_the_description_or_in_the_data_folder_and_two_are_one_too_many(
    tmp_path: Path,
) -> None:
    settings, beside = own_settings(tmp_path / "data"), tmp_path / "descriptions"
    assert find_archive("r-cran-x", settings=settings, folder=beside) is None
    for folder in (settings.data / FOLDER, beside / FOLDER):
        folder.mkdir(parents=True)
        write_deb(folder / "r-cran-x_1_all.deb", FILES)
        write_deb(folder / "r-cran-xy_1_all.deb", FILES)
        found = find_archive("r-cran-x", settings=settings, folder=beside)
        assert found is not None
        assert found.path == folder / "r-cran-x_1_all.deb"
    write_deb(beside / FOLDER / "r-cran-x_2_all.deb", FILES)
    with pytest.raises(SourceError, match="has 2 archives of r-cran-x"):
        find_archive("r-cran-x", settings=settings, folder=beside)


def test_a_fetched_archive_replaces_the_one_of_another_release(tmp_path: Path) -> None:
    write_deb(tmp_path / "r-cran-x_0.9_all.deb", {})
    tools = Debian({"r-cran-x": FILES, "r-cran-y": FILES})
    found = download(["r-cran-y", "r-cran-x"], tmp_path, run=tools)
    assert [path.name for path in found] == ["r-cran-y_1.0_all.deb", "r-cran-x_1.0_all.deb"]
    assert sorted(tmp_path.iterdir()) == sorted(found)
    assert tools.asked == [["apt-get", "download", "r-cran-y", "r-cran-x"]]


def test_without_debians_tools_or_with_several_archives_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="2 archives of r-cran-x were fetched"):
        download(["r-cran-x"], tmp_path, run=Debian({"r-cran-x": FILES}, archives=2))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="apt-get is not on this machine"):
        download(["r-cran-x"], tmp_path)
