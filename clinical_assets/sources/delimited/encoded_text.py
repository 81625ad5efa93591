"""Text files as a stream of clean UTF-8, whatever they were packed and encoded in.

What belongs here: gzip and zstd, encodings, byte-order marks, and the refusal of bytes that are no text, each named
by line. What does not: delimiters, quotes and records.

DuckDB reads a truncated gzip or zstd file without complaint, knows few encodings and turns an undecodable line into
a reject; here the first is an error, the second is transcoded and the third names the line and the cure.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import limit

CHUNK_BYTES = 4 << 20

MAX_RATIO = "CLINICAL_ASSETS_MAX_UNPACKED_RATIO"
_ALWAYS_UNPACKED = 64 << 20
# ISO 8859 has controls at 0x80 to 0x9f that nothing writes; 0x85 is a line break of mainframes.
_WINDOWS_ONLY = re.compile("[\x80-\x84\x86-\x9f]")
Compression = Literal["gzip", "zstd"]

_PACKED: tuple[tuple[bytes, Compression], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_NO_TEXT = (
    (b"PAR1", "a Parquet file", "Set `format: parquet`."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or set `format: excel`."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Set `format: excel`."),
    (b"HEADER RECORD*******LIB", "a SAS transport file", "Set `format: xport`."),
    (b"\x00" * 12 + b"\xc2\xea\x81\x60", "a SAS data set", "Set `format: sas7bdat`."),
    (b"$FL", "an SPSS data set", "Set `format: spss`."),
    (b"<stata_dta>", "a Stata data set", "Set `format: stata`."),
    (b"BZh", "packed with bzip2", "Unpack it, or pack it with gzip or zstd."),
    (b"\xfd7zXZ\x00", "packed with xz", "Unpack it, or pack it with gzip or zstd."),
    (b"SQLite format 3\x00", "a SQLite database", "Use a source of kind sql."),
    (b"\x89HDF", "an HDF5 file", "Export it as Parquet or CSV."),
    (b"RDX", "an R data file", "Export it as CSV."),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TextFile:
    """A text file whose packing is known and whose encoding was said.

    Attributes
    ----------
    name : str
        The file as messages call it.
    path : Path
        Where it lies.
    encoding : str
        Python's name of the encoding.
    compression : {"gzip", "zstd"} or None
        How the bytes on disk are packed, by their first bytes and not by the file's name.
    """

    name: str
    path: Path
    encoding: str
    compression: Compression | None

    @property
    def plain(self) -> bool:
        """True when the bytes on disk already are UTF-8, so that DuckDB can read the file itself."""
        return self.compression is None and self.plain_bytes

    @property
    def plain_bytes(self) -> bool:
        """True when the text, once unpacked, already is UTF-8."""
        return self.encoding in ("utf-8", "ascii")

    def chunks(self) -> Iterator[bytes]:
        """The text as UTF-8 in chunks, without byte-order mark; every byte is checked.

        Raises
        ------
        SourceError
            Naming the first line that is not in the encoding, or that holds a NUL byte.
        """
        lines = 0
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        looks_like_utf8 = _Utf8Guess(self.encoding)
        may_be_windows, windows = self.encoding.startswith("iso8859"), None
        first = True
        for raw, final in _with_end(_bytes(self)):
            looks_like_utf8.feed(raw)
            if self.plain_bytes and (at := raw.find(b"\x00")) >= 0:
                raise self._nul_byte(lines + raw.count(b"\n", 0, at) + 1)
            pending = decoder.getstate()[0]
            if self.plain_bytes and raw.isascii() and not pending:
                chunk = raw
            else:
                try:
                    text = decoder.decode(raw, final)
                except UnicodeDecodeError as error:
                    raise self._undecodable(error, lines) from error
                if windows is None and may_be_windows and (found := _WINDOWS_ONLY.search(text)) is not None:
                    windows = lines + text.count("\n", 0, found.start()) + 1
                if self.plain_bytes:
                    # A letter cut by the end of the chunk stays in the decoder and comes with the next one.
                    whole = pending + raw
                    chunk = whole[: len(whole) - len(decoder.getstate()[0])]
                else:
                    chunk = text.encode()
            if first and chunk:
                chunk, first = chunk.removeprefix(codecs.BOM_UTF8), False
            if (at := chunk.find(b"\x00")) >= 0:
                raise self._nul_byte(lines + chunk.count(b"\n", 0, at) + 1)
            lines += chunk.count(b"\n")
            if chunk:
                yield chunk
        if looks_like_utf8.certain:
            raise SourceError(
                f"{self.name} is declared as {self.encoding}, but all its letters beyond ASCII are valid UTF-8: "
                "read as declared, they would be garbled.",
                cure="Set `encoding: utf-8`, or leave it out.",
            )
        if windows is not None:
            raise self._windows(windows)

    def _nul_byte(self, line: int) -> SourceError:
        return SourceError(
            f"{self.name}, line {line}: a NUL byte, which no text holds. The file is damaged or in another encoding.",
            cure="If it was saved as Unicode by Windows software, set `encoding: utf-16`; otherwise export it again.",
        )

    def _windows(self, line: int) -> SourceError:
        return SourceError(
            f"{self.name}, line {line}: a control character that no text in {self.encoding} holds; Windows "
            "writes a sign such as the euro or a quotation mark there.",
            cure="Set `encoding: cp1252`.",
        )

    def _undecodable(self, error: UnicodeDecodeError, lines: int) -> SourceError:
        line = lines + error.object[: error.start].decode(error.encoding, "replace").count("\n") + 1
        shown = error.object[error.start : error.end][:4].hex(" ")
        cure = (
            "If Windows software wrote the file, set `encoding: cp1252`; if it is older or from Unix, `latin-1`. "
            "Look at a name with accents to tell."
            if self.encoding in ("utf-8", "ascii")
            else "Set `encoding` to what the file was written in; without the key it is UTF-8."
        )
        return SourceError(f"{self.name}, line {line}: bytes {shown} are not {self.encoding}.", cure=cure)


def text_file(name: str, path: Path, encoding: str) -> TextFile:
    """Look at the first bytes of a file that should hold text.

    Raises
    ------
    SourceError
        When the encoding is unknown, or the file is something else than text or begins with another
        encoding's mark.
    """
    try:
        "".encode(encoding)
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise SourceError(
            f"{name}: the encoding {encoding!r} is not known.", cure="Use utf-8, utf-16, cp1252, latin-1 or the like."
        ) from error
    wanted = "utf-8" if codec == "utf-8-sig" else codec
    with path.open("rb") as stream:
        head = stream.read(64)
    refuse_no_text(name, head)
    compression = next((kind for magic, kind in _PACKED if head.startswith(magic)), None)
    file = TextFile(name, path, wanted, compression)
    if compression is not None:
        head = next(_bytes(file), b"")[:64]
        refuse_no_text(name, head)
    marked = next((kind for mark, kind in _MARKS if head.startswith(mark)), None)
    if marked is not None and not wanted.startswith(marked):
        raise SourceError(
            f"{name} begins with the byte-order mark of {marked}, but is declared as {encoding}.",
            cure=f"Set `encoding: {marked}`.",
        )
    return file


def refuse_no_text(name: str, head: bytes) -> None:
    """Refuse a file whose first bytes say that it is no text.

    Raises
    ------
    SourceError
        Naming what it is and what to do.
    """
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise pickle_refused(name)
    for magic, what, cure in _NO_TEXT:
        if head.startswith(magic):
            raise SourceError(f"{name} is {what}, not text.", cure=cure)


def pickle_refused(name: str) -> SourceError:
    """The error for a pickle: loading one runs whatever code it holds."""
    return SourceError(
        f"{name} is a pickle, and a pickle can run any code when it is loaded; it is never opened.",
        cure="Export the table as Parquet or CSV once, in an environment that you trust.",
    )


def _bytes(file: TextFile) -> Iterator[bytes]:
    try:
        if file.compression is None:
            with file.path.open("rb") as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        else:
            most = max(_ALWAYS_UNPACKED, file.path.stat().st_size * limit(MAX_RATIO))
            with pa.input_stream(str(file.path), compression=file.compression) as stream:
                done = 0
                while chunk := stream.read(CHUNK_BYTES):
                    done += len(chunk)
                    if done > most:
                        raise SourceError(
                            f"{file.name} unpacks to more than {limit(MAX_RATIO)} times its size; reading stopped at "
                            f"{done >> 20:,} MB.",
                            cure=f"Unpack it yourself if it is what it should be, or set {MAX_RATIO}.",
                        )
                    yield chunk
    except OSError as error:
        if file.compression is None or error.errno is not None:
            raise SourceError(f"{file.name} cannot be read: {error.strerror}.", cure="Check the disk.") from error
        raise SourceError(
            f"{file.name} is a damaged or cut off {file.compression} file: {error}.",
            cure="Copy or export it again and compare the sizes.",
        ) from error


def _with_end(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    last: bytes | None = None
    for chunk in chunks:
        if last is not None:
            yield last, False
        last = chunk
    yield last or b"", True


class _Utf8Guess:
    """Tells UTF-8 that was declared as a one-byte encoding: other text is almost never valid UTF-8 by chance."""

    def __init__(self, encoding: str) -> None:
        one_byte = encoding.startswith(("iso8859", "cp12", "cp437", "cp850", "mac-"))
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict") if one_byte else None
        self._beyond_ascii = False

    def feed(self, raw: bytes) -> None:
        if self._decoder is None or (raw.isascii() and not self._decoder.getstate()[0]):
            return
        self._beyond_ascii = True
        try:
            self._decoder.decode(raw)
        except UnicodeDecodeError:
            self._decoder = None

    @property
    def certain(self) -> bool:
        return self._decoder is not None and self._beyond_ascii and not self._decoder.getstate()[0]
