"""The ledger's anchors: in a second place, apart from the data, one line for each committed transaction.

What belongs here: writing and reading ``<keys>/anchors/ledger.jsonl``. What does not: what an anchor proves
(``verification``).

Whoever can write the database can make a chain of hashes that is right in itself. The anchors say which hash stood at
which entry, so a chain that was cut at its end or written anew contradicts them. Two rules make a line that was taken
out show as well:

- An anchor is written as soon as its transaction has been committed, and never of one that was rolled back.
- Before a transaction commits, the head before it has an anchor: a process that was killed between commit and anchor
  leaves the work to the next. So between two anchors there is exactly one transaction, unless several machines share
  a server and each has its own anchors.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.private_files import private_file, private_folder, refused
from clinical_assets.records.ledger.canonical import canonical

_log = logging.getLogger(__name__)
_LONGEST_LINE = 512


@dataclass(frozen=True)
class Anchor:
    """The head of the ledger at one moment: number, hash and time of its newest entry."""

    seq: int
    hash: str
    at: str

    def line(self) -> bytes:
        """The only way this anchor is written."""
        return canonical({"at": self.at, "hash": self.hash, "seq": self.seq}).encode("ascii") + b"\n"


@dataclass(frozen=True)
class AnchorLine:
    """One line of the file as it stands there; ``seq`` is None where it is no anchor."""

    number: int
    start: int
    content: bytes
    seq: int | None


class Anchors:
    """The file of anchors that belongs to an installation."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.keys
        self.path = settings.keys / "anchors" / "ledger.jsonl"

    def reach(self, head: Anchor | None) -> None:
        """Make sure that the newest anchor is the head of the ledger; called by a writer alone, before its commit.

        Raises
        ------
        RecordsError
            When the anchors contradict the ledger, so that nothing may be added to it, or cannot be written.
        """
        newest = self._extend(head)
        if newest is None or (head is not None and newest == head):
            return
        standing = "is empty" if head is None else f"ends with entry {head.seq}"
        raise RecordsError(
            f"The audit ledger {standing}, but {self.path} has the anchor of "
            f"{'another entry' if head is not None and newest.seq == head.seq else 'entry'} {newest.seq}: "
            "the ledger was cut or replaced, or these anchors belong to another one. Nothing is added to it.",
            cure="Run `clinical-assets audit verify`; restore the newest backup of the database of records, or the "
            "anchors of the same moment as the database.",
        )

    def add(self, head: Anchor) -> None:
        """Note that a transaction was committed, unless a later one is noted already; on disk when this returns.

        Raises
        ------
        RecordsError
            When the file cannot be written.
        """
        self._extend(head)

    def newest(self) -> Anchor | None:
        """The newest anchor, or None.

        Raises
        ------
        RecordsError
            When the file cannot be read, or its last line is no anchor.
        """
        if self.length() == 0:
            return None
        return self._extend(None)

    def length(self) -> int:
        """Bytes of the file now; 0 when there is none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise refused(self.path, error) from error

    def lines(self, *, until: int) -> Iterator[AnchorLine]:
        """Every line that begins before byte ``until``, in order, one at a time in memory."""
        if until == 0:
            return
        try:
            with self.path.open("rb") as file:
                start = number = 0
                # A limit, so that a file without line ends cannot fill the memory.
                while start < until and (content := file.readline(_LONGEST_LINE)):
                    number += 1
                    anchor = _parsed(content)
                    yield AnchorLine(number, start, content, anchor.seq if anchor else None)
                    start += len(content)
        except OSError as error:
            raise refused(self.path, error) from error

    def _extend(self, head: Anchor | None) -> Anchor | None:
        """Append the head if it is newer than the newest anchor; returns the newest anchor then."""
        import fcntl

        private_folder(self._keys)
        private_file(self.path)
        try:
            # Unbuffered: one write call for one line, which a killed process leaves whole or not at all.
            with self.path.open("r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._drop_torn_end(file)
                newest = self._newest(file)
                if head is None or (newest is not None and newest.seq >= head.seq):
                    return newest
                end = file.seek(0, os.SEEK_END)
                line = head.line()
                if file.write(line) != len(line):
                    file.truncate(end)
                    raise RecordsError(
                        f"{self.path}: no space left for the anchor of entry {head.seq}.", cure="Free some space."
                    )
                os.fsync(file.fileno())
                return head
        except OSError as error:
            raise refused(self.path, error) from error

    def _drop_torn_end(self, file: IO[bytes]) -> None:
        """Take away a line that a power failure cut: without its end it was never an anchor."""
        end = file.seek(0, os.SEEK_END)
        start = max(end - _LONGEST_LINE, 0)
        file.seek(start)
        tail = file.read(_LONGEST_LINE)
        if not tail or tail.endswith(b"\n"):
            return
        _log.warning("%s ended in the middle of a line, which is taken away.", self.path)
        file.truncate(start + tail.rfind(b"\n") + 1)

    def _newest(self, file: IO[bytes]) -> Anchor | None:
        end = file.seek(0, os.SEEK_END)
        if end == 0:
            return None
        file.seek(max(end - 2 * _LONGEST_LINE, 0))
        last = file.read(2 * _LONGEST_LINE).splitlines(keepends=True)[-1]
        anchor = _parsed(last)
        if anchor is None:
            raise RecordsError(
                f"{self.path}: the last line is no anchor; the file was edited.",
                cure="Run `clinical-assets audit verify` and restore the file from its backup.",
            )
        return anchor


def _parsed(content: bytes) -> Anchor | None:
    """The anchor in a line, or None when the line is not exactly as an anchor is written."""
    try:
        found = json.loads(content)
        anchor = Anchor(seq=found["seq"], hash=found["hash"], at=found["at"])
    except (ValueError, KeyError, TypeError):
        return None
    right = isinstance(anchor.seq, int) and isinstance(anchor.hash, str) and isinstance(anchor.at, str)
    return anchor if right and anchor.line() == content else None
