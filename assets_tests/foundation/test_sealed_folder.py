"""A folder appears whole or not at all, and what its manifest does not list is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.foundation import sealed_folder
from clinical_assets.foundation.canonical import bytes_sha256


def made(work: Path, content: str = "x") -> Path:
    (work / "a.txt").write_text(content)
    (work / "inner").mkdir()
    (work / "inner" / "b.txt").write_text("b")
    return work


@pytest.mark.parametrize("mode", [sealed_folder.SHARED_FOLDER, sealed_folder.PRIVATE_FOLDER])
def test_a_folder_goes_to_its_place_with_its_permissions_and_leaves_nothing_beside_it(
    tmp_path: Path, mode: int
) -> None:
    place = tmp_path / "new" / "place"
    with sealed_folder.new_folder(place, mode=mode) as work:
        assert sealed_folder.put(made(work), place)
    assert place.stat().st_mode & 0o777 == mode
    assert sealed_folder.digests_in(place) == {"a.txt": bytes_sha256(b"x"), "inner/b.txt": bytes_sha256(b"b")}
    assert list(place.parent.iterdir()) == [place]


def test_an_error_while_a_folder_is_made_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with sealed_folder.new_folder(tmp_path / "place") as work:
            made(work)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_leaves_what_lies_in_the_place(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for content, moved in (("first", True), ("second", False)):
        with sealed_folder.new_folder(place) as work:
            assert sealed_folder.put(made(work, content), place) == moved
    assert (place / "a.txt").read_text() == "first"
    assert list(tmp_path.iterdir()) == [place]


def test_what_lay_in_a_place_is_removed_or_kept_aside(tmp_path: Path) -> None:
    place, aside = tmp_path / "place", tmp_path / "aside"
    for content, kept in (("1", None), ("2", None), ("3", aside)):
        with sealed_folder.new_folder(place) as work:
            sealed_folder.replace(made(work, content), place, aside=kept)
        assert (place / "a.txt").read_text() == content
    assert (aside / "a.txt").read_text() == "2"
    assert sorted(tmp_path.iterdir()) == [aside, place]


def test_a_folder_that_cannot_take_the_place_leaves_the_old_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    with sealed_folder.new_folder(place) as work:
        sealed_folder.put(made(work, "old"), place)
    rename = Path.rename

    def refuses(self: Path, target: Path) -> Path:
        if self.name.startswith(".place-") and target == place and not self.name.endswith(".old"):
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)
    with sealed_folder.new_folder(place) as work, pytest.raises(OSError, match="no"):
        sealed_folder.replace(made(work, "new"), place)
    assert (place / "a.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_missing_added_and_changed_files_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path)
    listed = sealed_folder.digests_in(folder)
    (folder / "run.json").touch()
    assert sealed_folder.odd_names(folder, listed, apart=["run.json"]) == []
    assert sealed_folder.first_changed(folder, listed) is None
    (folder / "inner" / "b.txt").write_text("c")
    assert sealed_folder.first_changed(folder, listed) == "inner/b.txt"
    (folder / "a.txt").rename(folder / "inner" / "a.txt")
    (folder / "empty").mkdir()
    assert sealed_folder.odd_names(folder, listed) == ["a.txt", "empty", "inner/a.txt", "run.json"]
