"""Adding lines to a prediction log; when ``append`` returns they are on disk.

What belongs here: the end of the chain, one flush for many lines, a disk that is full, what a killed process left.
What does not: gathering lines of several callers (``serving``).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE, flush
from clinical_assets.foundation.canonical import hex_of
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.entries import GENESIS
from clinical_assets.records.prediction_log.lines import REPAIR, LineCodec, LogDamaged, LogEntry
from clinical_assets.records.prediction_log.segments import first_line_of, locked, log_folder, segment_path, segments

#: A segment that has grown to this size is followed by another one.
SEGMENT_BYTES = 16 * 1024**2
_NO_KEY = "-"
_NAME_DIGITS = 16


class LogUnavailable(ClinicalAssetsError):
    """A log that cannot be written now: no disk, no space, no permission. Nothing of the call is in it."""


@dataclass(frozen=True)
class LogReceipt:
    """Where an entry stands: its number in the log and the hash of its line."""

    seq: int
    hash: str

    @property
    def name(self) -> str:
        """How an answer names the line, and how an outcome finds it again: ``<number>-<16 digits of the hash>``."""
        return f"{self.seq}-{hex_of(self.hash)[:_NAME_DIGITS]}"


class PredictionLog:
    """The log of one cohort; several threads, and several processes of one machine, may append to it.

    Parameters
    ----------
    settings : Settings
        Where it lies.
    cohort : str
        Name of the cohort.
    segment_bytes : int
        Size from which on another segment is begun.
    """

    def __init__(self, settings: Settings, cohort: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.cohort = cohort
        self.folder = log_folder(settings, cohort)
        self._codec = LineCodec(settings, cohort)
        self._segment_bytes = segment_bytes
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._seq, self._hash = 0, GENESIS

    def append(self, entries: Sequence[LogEntry]) -> list[LogReceipt]:
        """Add entries, all or none; they are on disk when this returns.

        Returns
        -------
        list of LogReceipt
            Where each stands.

        Raises
        ------
        LogUnavailable
            The disk is full or refuses; the log is as it was.
        LogDamaged
            The last line of the log is not what was written.
        """
        with self._at_its_end():
            return self._add(entries)

    def probe(self) -> tuple[int, str]:
        """Number and hash of the last line, after an attempt to write to the folder; errors as `append`."""
        with self._at_its_end():
            trial = self.folder / ".trial"
            descriptor = os.open(trial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, PRIVATE)
            try:
                # A page, because a file of no bytes can be made on a disk that is full.
                os.write(descriptor, b"\0" * 4096)
            finally:
                os.close(descriptor)
                trial.unlink()
            return self._seq, self._hash

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._mutex:
            self._forget()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Alone in finding out from the log what is to be added, among threads and processes; errors as `append`.

        Lines that need no such look, answers, are added meanwhile.
        """
        with self._written(), locked(self.folder, name=".turn"):
            yield

    @contextlib.contextmanager
    def _at_its_end(self) -> Iterator[None]:
        """Alone, with the last line known; whatever fails, the next use looks for the end of the log again."""
        with self._written(), self._mutex, locked(self.folder):
            try:
                self._find_end()
                yield
            except BaseException:
                self._forget()
                raise

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LogUnavailable(
                f"The prediction log of {self.cohort} cannot be written: {error.strerror or type(error).__name__}.",
                cure=f"Free space below {self.folder}, or let this account write there; no answer is given before.",
            ) from error

    def _add(self, entries: Sequence[LogEntry]) -> list[LogReceipt]:
        if self._file is None or self._size >= self._segment_bytes:
            self._begin_segment()
        assert self._file is not None
        seq, last, parts, receipts = self._seq, self._hash, [], []
        for entry in entries:
            seq += 1
            line, last = self._codec.write(entry, seq=seq, at=utc_now(), previous=last)
            parts.append(line)
            receipts.append(LogReceipt(seq, last))
        content = b"".join(parts)
        try:
            _write_all(self._file, content)
            os.fdatasync(self._file)
        except OSError:
            # What is not acknowledged must not stand in the log as if it were.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(content)
        self._seq, self._hash = seq, last
        return receipts

    def _begin_segment(self) -> None:
        path = segment_path(self.folder, self._seq + 1)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        flush(self.folder)
        if self._file is not None:
            os.close(self._file)
        self._file, self._path, self._size = descriptor, path, os.fstat(descriptor).st_size

    def _find_end(self) -> None:
        """Know the last line there is: what others wrote since is read on from where this process stopped."""
        cut = 0 if self._is_as_left() else self._open_last()
        torn = self._read_on()
        if segment_path(self.folder, self._seq + 1).exists():
            # Others filled this segment and began another one.
            cut = self._open_last()
            torn = self._read_on()
        if cut or torn:
            # Nobody was answered on a line without an end; it is cut off, and the log says so.
            assert self._file is not None
            os.ftruncate(self._file, self._size)
            self._add([LogEntry(REPAIR, _NO_KEY, _NO_KEY, None, {"bytes_cut_off": cut + torn})])

    def _read_on(self) -> int:
        """Know the last whole line behind those that are known; bytes of a line without an end behind it."""
        if self._file is None or self._path is None:
            self._seq, self._hash = 0, GENESIS
            return 0
        content = os.pread(self._file, os.fstat(self._file).st_size - self._size, self._size)
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines(keepends=True)
        if lines:
            number = self._seq + len(lines)
            last = self._codec.read(lines[-1], where=f"{self._path}, line {number + 1 - first_line_of(self._path)}")
            if last.seq != number:
                raise LogDamaged(
                    f"{self._path} ends with number {last.seq} where number {number} belongs.",
                    cure="Restore it from a backup, and find out who changed it.",
                )
            self._seq, self._hash, self._size = last.seq, last.hash, self._size + len(whole)
        return len(content) - len(whole)

    def _open_last(self) -> int:
        """Open the last segment that holds a line, as if nothing of it was read; bytes of lines cut off behind it."""
        self._forget()
        paths, cut = segments(self.folder), 0
        # A segment that was begun, and its process killed before the first line was whole, holds nothing.
        while len(paths) > 1 and b"\n" not in (content := paths[-1].read_bytes()):
            cut += len(content)
            paths.pop().unlink()
        if not paths:
            return cut
        self._file = os.open(paths[-1], os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._path, self._size = paths[-1], 0
        self._seq, self._hash = first_line_of(paths[-1]) - 1, GENESIS
        return cut

    def _is_as_left(self) -> bool:
        """Whether the open file still is that of its name, and nothing of what this process knows was taken off."""
        if self._file is None or self._path is None:
            return False
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return found.st_ino == os.fstat(self._file).st_ino and found.st_size >= self._size

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._path, self._size = None, None, 0


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
