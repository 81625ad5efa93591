"""A small file is replaced in one step: readers see the old or the new one, and a failure leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.whole_files import PRIVATE, SHARED, write_whole


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
