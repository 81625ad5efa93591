"""Packing and encodings: what can be decoded is, what cannot names its line and the cure."""

from __future__ import annotations

import gzip
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited import encoded_text
from clinical_assets.sources.delimited.encoded_text import text_file

TEXT = "id;name\n1;Müller\n2;Ærø\n3;José\n"
ROWS = [("1", "Müller"), ("2", "Ærø"), ("3", "José")]


@pytest.mark.parametrize(
    ("written", "declared"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-8", "UTF8"),
        ("latin-1", "latin-1"),
        ("cp1252", "windows-1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("mac-roman", "mac-roman"),
    ],
)
def test_every_declared_encoding_gives_the_same_rows(load: Load, written: str, declared: str) -> None:
    loaded = load(content=TEXT.encode(written), csv={"encoding": declared})
    assert loaded.columns == ["id", "name"]
    assert loaded.rows == ROWS


def test_the_euro_sign_tells_cp1252_from_latin_1(load: Load) -> None:
    content = "id;price\n1;5 €\n".encode("cp1252")
    assert load(content=content, csv={"encoding": "cp1252"}).rows == [("1", "5 €")]
    with pytest.raises(SourceError, match="line 2: a control character") as caught:
        load(content=content, csv={"encoding": "latin-1"})
    assert caught.value.cure == "Set `encoding: cp1252`."
    # A line break of mainframes is a control that texts do hold.
    assert load(content=b"id;price\n1;5 \x85\n", csv={"encoding": "latin-1"}).rows == [("1", "5 \x85")]


@pytest.mark.parametrize("chunk_bytes", [1, 3, 7, 1 << 20])
def test_letters_cut_by_a_chunk_come_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chunk_bytes: int) -> None:
    monkeypatch.setattr(encoded_text, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "x.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        path.write_bytes((TEXT + "4;5 €\n").encode(encoding))
        assert b"".join(text_file("x", path, encoding).chunks()).decode() == TEXT + "4;5 €\n"


@pytest.mark.parametrize("chunk_bytes", [2, 5, 1 << 20])
@pytest.mark.parametrize(
    ("content", "declared", "line", "cure"),
    [
        (b"id;name\n1;ok\n2;M\xfcller\n", "utf-8", 3, "cp1252"),
        (b"id;name\n1;\x81\n", "cp1252", 2, "encoding"),
        (b"id;name\n1;caf\xc3", "utf-8", 2, "cp1252"),
        ("id;name\n1;ok\n".encode("utf-16") + b"\x00\xd8\x00", "utf-16", 3, "encoding"),
        (b"id;n\xc3\xa9\n", "ascii", 1, "cp1252"),
    ],
)
def test_a_wrong_encoding_is_refused_with_the_first_bad_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    chunk_bytes: int,
    content: bytes,
    declared: str,
    line: int,
    cure: str,
) -> None:
    monkeypatch.setattr(encoded_text, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"x\.csv, line {line}: bytes .* are not ") as caught:
        list(text_file("x.csv", path, declared).chunks())
    assert cure in str(caught.value.cure)


def test_the_message_about_a_bad_line_does_not_repeat_its_text(load: Load) -> None:
    with pytest.raises(SourceError) as caught:
        load(content=b"id;name\n1;Secret M\xfcller\n")
    assert "Secret" not in str(caught.value)


def test_utf_8_declared_as_a_one_byte_encoding_is_refused(load: Load) -> None:
    with pytest.raises(SourceError, match="valid UTF-8") as caught:
        load(content=TEXT, csv={"encoding": "latin-1"})
    assert "utf-8" in str(caught.value.cure)
    assert load(content="id;name\n1;plain\n", csv={"encoding": "latin-1"}).rows == [("1", "plain")]


@pytest.mark.parametrize(("written", "told"), [("utf-16", "utf-16"), ("utf-32", "utf-32")])
def test_a_byte_order_mark_that_contradicts_the_description_is_refused(load: Load, written: str, told: str) -> None:
    with pytest.raises(SourceError, match=f"byte-order mark of {told}") as caught:
        load(content=TEXT.encode(written))
    assert f"encoding: {told}" in str(caught.value.cure)


def test_utf_16_without_mark_is_caught_by_its_nul_bytes(load: Load) -> None:
    with pytest.raises(SourceError, match=r"line 1: a NUL byte") as caught:
        load(content=TEXT.encode("utf-16-le"))
    assert "utf-16" in str(caught.value.cure)


def test_an_unknown_encoding_is_refused(load: Load) -> None:
    for unknown in ("utf-9", "base64"):
        with pytest.raises(SourceError, match=unknown):
            load(content=TEXT, csv={"encoding": unknown})


def test_gzip_and_zstd_are_read_by_content_and_in_several_parts(load: Load) -> None:
    raw = TEXT.encode()
    zstd = pa.Codec("zstd")
    for name, content in (
        ("a.csv.gz", gzip.compress(raw)),
        ("b.csv.gz", gzip.compress(raw[:9]) + gzip.compress(raw[9:])),
        ("c.csv.zst", zstd.compress(raw, asbytes=True)),
        ("d.csv.zst", zstd.compress(raw[:9], asbytes=True) + zstd.compress(raw[9:], asbytes=True)),
        ("e.csv", gzip.compress(raw)),
        ("f.csv.gz", raw),
        ("g.csv.gz", gzip.compress(TEXT.encode("utf-8-sig"))),
    ):
        assert load(path=name, content=content).rows == ROWS, name
    assert load(path="h.csv.gz", content=gzip.compress(TEXT.encode("cp1252")), csv={"encoding": "cp1252"}).rows == ROWS


def test_a_cut_off_or_damaged_packed_file_is_refused(load: Load, tmp_path: Path) -> None:
    raw = ("id;name\n" + "".join(f"{i};{i * i}\n" for i in range(50_000))).encode()
    (tmp_path / "plain").write_bytes(raw)
    packed = {"gzip": gzip.compress(raw)}
    subprocess.run(["gzip", "-k", str(tmp_path / "plain")], check=True)
    packed["gzip by the tool"] = (tmp_path / "plain.gz").read_bytes()
    packed["zstd"] = pa.Codec("zstd").compress(raw, asbytes=True)
    for kind, content in packed.items():
        with pytest.raises(SourceError, match=rf"damaged or cut off {kind.split()[0]} file"):
            load(path="x.csv", content=content[: len(content) // 3])
    damaged = bytearray(packed["gzip"])
    damaged[len(damaged) // 2] ^= 0xFF
    with pytest.raises(SourceError, match="damaged or cut off gzip"):
        load(path="x.csv", content=bytes(damaged))


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"PAR1", "Parquet"),
        (b"PK\x03\x04", "Excel"),
        (b"\x80\x04\x95", "pickle"),
        (b"BZh91AY", "bzip2"),
        (b"SQLite format 3\x00", "SQLite"),
        (gzip.compress(b"\x80\x04\x95" + b"x" * 50, mtime=0), "pickle"),
    ],
)
def test_what_is_no_text_is_named(load: Load, head: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        load(content=head)
    assert caught.value.cure


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond one megabyte, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_copy_that_finds_no_room_names_the_way_without_one(
    load: Load, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "x.csv").write_bytes((TEXT + "4;more\n" * 500_000).encode("utf-16"))
    request.getfixturevalue("small_files")
    with pytest.raises(SourceError, match=r"x\.csv needs a copy as plain UTF-8, and it cannot be written") as caught:
        load(path="x.csv", csv={"encoding": "utf-16"})
    assert "in UTF-8" in str(caught.value.cure)
    assert list((tmp_path / "data" / "temporary").iterdir()) == []
