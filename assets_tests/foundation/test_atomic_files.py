"""A small file is replaced in one step: readers see the old or the new one, and a failure leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.foundation.atomic_files import PRIVATE, SHARED, new_file, remove_file, write_whole


@pytest.mark.parametrize(("mode", "content"), [(SHARED, "naïve\n"), (PRIVATE, b"\x00\xff")])
def test_content_and_permissions_are_those_asked_for_and_the_folder_is_made(
    tmp_path: Path, mode: int, content: bytes | str
) -> None:
    path = tmp_path / "new" / "file"
    assert write_whole(path, content, mode=mode) == path
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert path.stat().st_mode & 0o777 == mode
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half a character \ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("single_writer", [True, False])
def test_a_new_file_takes_the_place_at_the_end_of_its_block_or_is_gone(tmp_path: Path, single_writer: bool) -> None:
    path = write_whole(tmp_path / "file", "old")

    def fails() -> None:
        with new_file(path, single_writer=single_writer) as new:
            new.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert path.read_text() == "old"
    with new_file(path, mode=PRIVATE, single_writer=single_writer) as new:
        assert not new.exists()
        assert new.name.endswith(".new")
        new.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", PRIVATE)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_single_writer_left_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_text("half")
    with new_file(tmp_path / "file", single_writer=True) as new:
        assert not new.exists()
        new.write_text("whole")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_removed_file_is_gone_and_may_be_gone_already(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "file", "x")
    for _ in range(2):
        remove_file(path)
        assert not path.exists()
