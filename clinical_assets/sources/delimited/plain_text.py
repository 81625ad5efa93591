"""Text that DuckDB can read itself: the file as it is, or a copy in UTF-8 with one kind of line break.

What belongs here: deciding whether a copy is needed, making it, and scanning on the way. A copy lies in the working
folder under the data folder and vanishes after reading; most files need none.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.encoded_text import TextFile
from clinical_assets.sources.delimited.record_scan import RecordScanner, Scan

_HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Head:
    """The beginning of a text: ``text`` with LF for a file that ends its lines in CR, ``whole`` if that is all."""

    text: str
    whole: bool
    only_returns: bool


def read_head(file: TextFile) -> Head:
    """The first megabyte of a text, or as much more as its first line takes."""
    chunks = file.chunks()
    chunk = next(chunks, b"")
    head = chunk if b"\n" not in chunk[:_HEAD_BYTES] else chunk[:_HEAD_BYTES]
    whole = len(head) == len(chunk) and next(chunks, None) is None
    only_returns = b"\r" in head and b"\n" not in head
    if only_returns:
        head = head.replace(b"\r", b"\n")
    return Head(head.decode("utf-8", "strict" if whole else "ignore"), whole, only_returns)


def make_plain(file: TextFile, head: Head, scanner: RecordScanner, folder: Path) -> tuple[Path, Scan]:
    """A path that DuckDB can read, and what the scan of its records found.

    Raises
    ------
    SourceError
        When the text cannot be decoded, a quote is never closed, or there is no room for the copy.
    """
    chunks: Iterable[bytes] = file.chunks()
    if head.only_returns:
        chunks = (chunk.replace(b"\r", b"\n") for chunk in chunks)
    path = file.path
    if head.only_returns or not file.plain:
        path = folder / f"{uuid.uuid4().hex}.txt"
        chunks = _written(chunks, path, file.name)
    for chunk in chunks:
        scanner.feed(chunk)
    scan = scanner.finish()
    if scan.newline == "mixed":
        path = folder / f"{uuid.uuid4().hex}.txt"
        for _ in _written(_with_line_feeds(file.chunks()), path, file.name):
            pass
    return path, scan


def _written(chunks: Iterable[bytes], path: Path, name: str) -> Iterator[bytes]:
    try:
        with path.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                yield chunk
    except OSError as error:
        raise SourceError(
            f"{name} needs a copy as plain UTF-8, and it cannot be written: {error.strerror}.",
            cure="Free space in CLINICAL_ASSETS_DATA, or save the file unpacked, in UTF-8, with one kind of "
            "line break: it is then read in place.",
        ) from error


def _with_line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        block = held + chunk
        held = b"\r" if block.endswith(b"\r") else b""
        yield block[: len(block) - len(held)].replace(b"\r\n", b"\n")
    yield held
