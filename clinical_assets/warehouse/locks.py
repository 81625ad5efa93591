"""Waiting for one another: threads of one process, processes of one machine, runs of one cohort.

What belongs here: waiting with patience and saying for whom; the lock of a whole cohort; who of this process uses a
file. What does not: opening files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb
import filelock

from clinical_assets.errors import WarehouseError
from clinical_assets.settings import LOCK_PATIENCE

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.01, 0.5, 1.5
_TOLD_AFTER_S = 2.0
_HOLDER = re.compile(r"\(PID (\d+)\)")


class Busy(Exception):
    """Somebody else holds what is wanted; the text says who."""


def wait_until_free(attempt: Callable[[], Result], *, wanted: str, patience_s: float) -> Result:
    """Try until nobody else is in the way.

    Parameters
    ----------
    attempt : callable
        Takes what is wanted and returns it, or raises ``Busy`` with the holder's name.
    wanted : str
        What is waited for, as a message to a person names it.
    patience_s : float
        Seconds after which waiting ends with an error.

    Raises
    ------
    WarehouseError
        When patience ends; it names the holder.
    """
    started = time.monotonic()
    told = False
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except Busy as busy:
            waited = time.monotonic() - started
            if waited >= patience_s:
                raise WarehouseError(
                    f"Waited {waited:.0f} s for {wanted}; {busy} still holds it.",
                    cure=f"Let the other run end (or end it), or allow more time with {LOCK_PATIENCE}.",
                ) from busy
            if waited >= _TOLD_AFTER_S and not told:
                told = True
                _log.warning("Waiting for %s: %s holds it (giving up after %.0f s).", wanted, busy, patience_s)
            # Jitter keeps several waiting processes from asking in step.
            time.sleep(min(pause * random.uniform(0.5, 1.0), max(patience_s - waited, 0.001)))
            pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)


def busy_holder(error: duckdb.Error) -> Busy | None:
    """What DuckDB says about who holds a file, or None when the error is another one."""
    text = str(error)
    if "Could not set lock on file" in text:
        found = _HOLDER.search(text)
        return Busy(f"process {found.group(1)}" if found else "another process")
    if "Unique file handle conflict" in text:
        return Busy("another connection of this process")
    return None


@contextlib.contextmanager
def cohort_lock(folder: Path, cohort: str, *, patience_s: float) -> Iterator[None]:
    """Hold a cohort for one run: other processes, and other threads of this one, queue.

    Entering again in the same thread is free, so a run may hold the cohort around steps that hold it themselves.

    Raises
    ------
    WarehouseError
        When another run holds the cohort longer than ``patience_s``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{cohort}.holder"
    # One lock object a file counts how often each thread has entered it.
    lock = filelock.FileLock(folder / f"{cohort}.lock", is_singleton=True)

    def attempt() -> None:
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise Busy(_name_of_holder(holder)) from None

    wait_until_free(attempt, wanted=f"cohort {cohort!r}", patience_s=patience_s)
    try:
        if lock.lock_counter == 1:
            holder.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        if lock.lock_counter == 1:
            holder.unlink(missing_ok=True)
        lock.release()


def _name_of_holder(holder: Path) -> str:
    """The process named beside a held lock; it may have just gone, or not yet have written its name."""
    try:
        process = holder.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        process = ""
    if process == str(os.getpid()):
        return "another thread of this process"
    return f"process {process}" if process.isdigit() else "another run"


@dataclass
class FileUse:
    """Who of this process uses one DuckDB file: any number of readers on one connection, or one writer.

    DuckDB refuses to open a file twice in a process, so readers share one instance and each takes a cursor of it.
    """

    mutex: threading.Lock = field(default_factory=threading.Lock)
    readers: Counter[int] = field(default_factory=Counter)
    writer: int | None = None
    writers_waiting: int = 0
    instance: duckdb.DuckDBPyConnection | None = None
    key: str | None = None
    close: Callable[[], None] | None = None


_uses: dict[tuple[int, str], FileUse] = {}
_uses_mutex = threading.Lock()


def use_of(path: Path) -> FileUse:
    """The one record of who uses ``path`` in this process; a forked child starts with an empty one."""
    with _uses_mutex:
        return _uses.setdefault((os.getpid(), os.path.realpath(path)), FileUse())
