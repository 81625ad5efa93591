"""Waiting for one another: threads of one process, and processes of one machine.

What belongs here: waiting with patience for what somebody else holds, and one lock on a file. What does not: who may
open a database when (``warehouse.locks``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import filelock

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import LOCK_PATIENCE

LockedResult = TypeVar("LockedResult")

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.01, 0.5, 1.5
# Asking for a file's lock costs microseconds, and who asks seldom loses to those who ask often.
_LONGEST_LOCK_PAUSE_S = 0.05
_TOLD_AFTER_S = 2.0


class Busy(Exception):
    """Somebody else holds what is wanted; the text says who."""


def wait_until_free(
    attempt: Callable[[], LockedResult],
    *,
    wanted: str,
    patience_s: float,
    error: type[ClinicalAssetsError],
    longest_pause_s: float = _LONGEST_PAUSE_S,
) -> LockedResult:
    """Try until nobody else is in the way; a log line says for whom one waits.

    Parameters
    ----------
    attempt : callable
        Takes what is wanted and returns it, or raises `Busy` with the holder's name.
    wanted : str
        What is waited for, as a message to a person names it.
    patience_s : float
        Seconds after which waiting ends with an error; 0 is one attempt.
    error : type of ClinicalAssetsError
        What is raised then.
    longest_pause_s : float
        Pauses between attempts grow up to this many seconds.

    Raises
    ------
    ClinicalAssetsError
        The given `error`, when patience ends; it names the holder.
    """
    started = time.monotonic()
    told = False
    pause = min(_FIRST_PAUSE_S, longest_pause_s)
    while True:
        try:
            return attempt()
        except Busy as busy:
            waited = time.monotonic() - started
            if waited >= patience_s:
                raise error(
                    f"Waited {waited:.0f} s for {wanted}; {busy} still holds it.",
                    cure=f"Let the other run end (or end it), or allow more time with {LOCK_PATIENCE}.",
                ) from busy
            if waited >= _TOLD_AFTER_S and not told:
                told = True
                _log.warning("Waiting for %s: %s holds it (giving up after %.0f s).", wanted, busy, patience_s)
            # Jitter keeps several waiting processes from asking in step.
            time.sleep(min(pause * random.uniform(0.5, 1.0), max(patience_s - waited, 0.001)))
            pause = min(pause * _GROWTH, longest_pause_s)


@contextlib.contextmanager
def hold(
    path: Path,
    *,
    wanted: str,
    patience_s: float,
    error: type[ClinicalAssetsError],
    mode: int = -1,
    longest_pause_s: float = _LONGEST_LOCK_PAUSE_S,
) -> Iterator[None]:
    """Hold a lock on a file; other processes, and other threads of this one, queue.

    Entering again in the same thread is free, so steps that hold it themselves may run within. The lock is the
    operating system's, so it ends with its process, however that ends. It covers one machine.

    Parameters
    ----------
    path : Path
        Of the lock, such as ``heart.lock``; its folder is made. The process that holds it writes its number beside it,
        into ``heart.holder``, for the messages of those who wait.
    wanted, patience_s, error, longest_pause_s
        As in `wait_until_free`.
    mode : int
        Permissions of both files; -1 leaves them to the umask.

    Raises
    ------
    ClinicalAssetsError
        The given `error`, when somebody held it longer than the patience.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".holder")
    # One lock object per file counts how often each thread has entered it.
    lock = filelock.FileLock(path, mode=mode, is_singleton=True)

    def attempt() -> None:
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise Busy(_name_of_holder(holder)) from None

    wait_until_free(attempt, wanted=wanted, patience_s=patience_s, error=error, longest_pause_s=longest_pause_s)
    try:
        if lock.lock_counter == 1:
            _write_name(holder, mode)
        yield
    finally:
        if lock.lock_counter == 1:
            holder.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds the lock on a file; a file that is not there is held by nobody."""
    if not path.exists():
        return False
    probe = filelock.FileLock(path)
    try:
        probe.acquire(blocking=False)
    except filelock.Timeout:
        return True
    probe.release()
    return False


def _write_name(holder: Path, mode: int) -> None:
    descriptor = os.open(holder, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666 if mode < 0 else mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def _name_of_holder(holder: Path) -> str:
    """The process named beside a held lock; it may have just gone, or not yet have written its name."""
    try:
        process = holder.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        process = ""
    if process == str(os.getpid()):
        return "another thread of this process"
    return f"process {process}" if process.isdigit() else "another process"
