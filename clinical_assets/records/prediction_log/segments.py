"""The files of a prediction log: ``data/predictions/<cohort>/<number of its first line>.jsonl``.

What belongs here: naming, listing and reading segments, and the lock under which they change. What does not: what a
line says (``lines``), adding lines (``writer``).
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.ledger.entries import GENESIS
from clinical_assets.records.prediction_log.lines import LineCodec, LogDamaged, LogLine

_ENDING = ".jsonl"
_DIGITS = 12


def log_folder(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's log."""
    return settings.predictions / cohort


def segment_path(folder: Path, first: int) -> Path:
    """The segment whose first line has this number."""
    return folder / f"{first:0{_DIGITS}d}{_ENDING}"


def first_line_of(path: Path) -> int:
    """Number of a segment's first line."""
    return int(path.name.removesuffix(_ENDING))


def segments(folder: Path) -> list[Path]:
    """All segments, the oldest first."""
    return sorted(folder.glob("[0-9]" * _DIGITS + _ENDING))


@contextlib.contextmanager
def locked(folder: Path, *, name: str = ".lock") -> Iterator[None]:
    """Alone among all processes of this machine that write or erase; held for one flush, so nobody waits long.

    The operating system's own lock, not ``foundation.locks``: it is taken for every answer and costs microseconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_log(settings: Settings, cohort: str, *, after: int = 0) -> Iterator[LogLine]:
    """Lines of a cohort's log, each held against the chain, from the one behind number `after` on.

    A last line that was not written to its end is left out: nobody was answered on it.

    Raises
    ------
    LogDamaged
        A line was changed, taken out or put in; names file and line.
    """
    folder, codec = log_folder(settings, cohort), LineCodec(settings, cohort)
    paths = segments(folder)
    behind = [path for path in paths if first_line_of(path) <= after + 1]
    previous: str | None = None
    expected: int | None = None
    for path in paths[max(len(behind) - 1, 0) :]:
        if expected is None:
            expected = first_line_of(path)
            # A log that begins later than with line 1 lost its first files.
            if path == paths[0] and expected != 1:
                raise LogDamaged(f"{folder} begins with line {expected}.", cure="Restore the files before it.")
            previous = GENESIS if expected == 1 else None
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    if path != paths[-1]:
                        raise LogDamaged(f"{path}, line {number} has no end.", cure="Restore it from a backup.")
                    return
                found = codec.read(line, where=f"{path}, line {number}")
                if found.seq != expected or (previous is not None and found.previous != previous):
                    raise LogDamaged(
                        f"{path}, line {number} does not follow the line before it.",
                        cure="Restore the log from a backup, and find out who changed it.",
                    )
                expected, previous = found.seq + 1, found.hash
                if found.seq > after:
                    yield found


def read_line(settings: Settings, cohort: str, seq: int) -> LogLine | None:
    """One line by its number, held against its own hash; None where there is none.

    Raises
    ------
    LogDamaged
        It was changed.
    """
    folder = log_folder(settings, cohort)
    path = next((each for each in reversed(segments(folder)) if first_line_of(each) <= seq), None)
    if path is None:
        return None
    wanted = seq - first_line_of(path)
    with path.open("rb") as file:
        line = next(itertools.islice(file, wanted, None), b"")
    if not line.endswith(b"\n"):
        return None
    found = LineCodec(settings, cohort).read(line, where=f"{path}, line {wanted + 1}")
    if found.seq != seq:
        raise LogDamaged(f"{path}, line {wanted + 1} is number {found.seq}.", cure="Restore it from a backup.")
    return found


def find_lines(settings: Settings, cohort: str, *, kinds: Collection[str], after: int = 0) -> tuple[list[LogLine], int]:
    """Lines of some kinds behind number `after`, and the number of the last line there is.

    Each is held against its own hash; the chain is not walked, which makes it quick (`read_log` walks it).

    Raises
    ------
    LogDamaged
        One of them was changed.
    """
    folder, codec = log_folder(settings, cohort), LineCodec(settings, cohort)
    marks = [f'"kind":"{kind}"'.encode("ascii") for kind in kinds]
    found: list[LogLine] = []
    last = after
    paths = segments(folder)
    begun = [path for path in paths if first_line_of(path) <= after + 1]
    for path in paths[max(len(begun) - 1, 0) :]:
        first = first_line_of(path)
        # Without the last piece: it is empty, or a line without its end.
        lines = path.read_bytes().split(b"\n")[:-1]
        last = max(last, first + len(lines) - 1)
        for place in range(max(after + 1 - first, 0), len(lines)):
            if any(mark in lines[place] for mark in marks):
                line = codec.read(lines[place], where=f"{path}, line {place + 1}")
                if line.kind in kinds:
                    found.append(line)
    return found, last
