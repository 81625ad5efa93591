"""Files on disk: found in the right folder, known by digest, noticed when they change, no litter left."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assets_tests.sources.conftest import make_table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import Found, find_files, fingerprint, workspace
from clinical_assets.sources.source_reader import open_source


def age(path: Path, seconds: float = 3600) -> None:
    """Make a file look as if it had been written long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_file_is_known_by_size_and_digest_and_never_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id\n1\n")
    mark = fingerprint(Found("x.csv", path))
    assert (mark.file.name, mark.file.bytes, mark.file.sha256) == ("x.csv", 5, hashlib.sha256(b"id\n1\n").hexdigest())
    mark.verify()


@pytest.mark.parametrize("same_stamp", [False, True])
def test_a_change_is_noticed_even_when_size_and_times_stay(tmp_path: Path, same_stamp: bool) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id\n1\n")
    before = path.stat()
    mark = fingerprint(Found("x.csv", path))
    path.write_bytes(b"id\n2\n")
    if same_stamp:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceError, match=r"x\.csv changed while it was read"):
        mark.verify()


def test_a_replaced_file_with_the_same_content_is_no_change(tmp_path: Path) -> None:
    path, other = tmp_path / "x.csv", tmp_path / "y.csv"
    path.write_bytes(b"id\n1\n")
    mark = fingerprint(Found("x.csv", path))
    other.write_bytes(b"id\n1\n")
    other.replace(path)
    mark.verify()


def test_an_old_file_that_was_left_alone_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id\n1\n")
    mark = fingerprint(Found("x.csv", path))
    # Reading it would find another digest.
    wrong = replace(mark, file=replace(mark.file, sha256="0" * 64))
    with pytest.raises(SourceError, match="changed"):
        wrong.verify()
    replace(wrong, taken_ns=mark.taken_ns + 60_000_000_000).verify()


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id\n1\n")
    mark = fingerprint(Found("x.csv", path))
    path.unlink()
    with pytest.raises(SourceError, match=r"x\.csv can no longer be read"):
        mark.verify()


def test_the_folder_of_the_description_comes_before_the_data_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "x.csv").touch()
    (second / "only.csv").touch()
    assert find_files("x.csv", [first, second])[0].path == first / "x.csv"
    assert find_files("only.csv", [first, second])[0].path == second / "only.csv"
    assert [found.name for found in find_files("*.csv", [second])] == ["only.csv", "x.csv"]


def test_a_missing_file_is_refused_without_naming_folders_of_this_machine(tmp_path: Path) -> None:
    for pattern in ("no.csv", "no-*.csv"):
        with pytest.raises(SourceError, match="No file") as caught:
            find_files(pattern, [tmp_path])
        assert str(tmp_path) not in str(caught.value)
        assert "CLINICAL_ASSETS_DATA" in str(caught.value.cure)


def test_the_working_folder_vanishes_even_after_an_error(settings: Settings) -> None:
    def fails() -> None:
        with workspace(settings) as folder:
            (folder / "copy.txt").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert list((settings.data / "temporary").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_a_living_one_kept(settings: Settings) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from assets_tests.sources.conftest import make_settings\n"
        "from clinical_assets.sources.files import workspace\n"
        "with workspace(make_settings(Path(sys.argv[1]))) as folder:\n"
        "    (folder / 'copy.txt').touch()\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(settings.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            left = Path(process.stdout.readline().strip())
            with workspace(settings):
                assert (left / "copy.txt").exists()
        finally:
            process.kill()
            process.wait()
    assert left.exists()
    with workspace(settings) as mine:
        assert not left.exists()
        assert mine.exists()


def test_a_file_that_grows_while_it_is_read_is_refused(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,age\n1,50\n")
    age(path)
    table = make_table(kind="file", path="x.csv")
    with open_source(connection, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
        with path.open("a") as stream:
            stream.write("2,60\n")
        with pytest.raises(SourceError, match=r"1 records, but 2 were read|changed while it was read"):
            opened.store(connection, "stored")
        with pytest.raises(SourceError, match="changed while it was read"):
            opened.verify_unchanged()


def test_a_file_that_is_cut_off_while_it_is_read_is_refused(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    connection.execute(f"COPY (SELECT range AS id FROM range(1000)) TO '{path}'")
    table = make_table(kind="file", path="x.parquet")
    with open_source(connection, table, table_name="subjects", settings=settings, folder=tmp_path) as opened:
        os.truncate(path, 100)
        with pytest.raises(SourceError, match=r"x\.parquet changed while it was read"):
            opened.store(connection, "stored")
