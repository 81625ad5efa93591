"""A folder for files that live as long as one block; what killed processes left is found by their locks.

What belongs here: making such folders and sweeping dead ones away. What does not: what is put into them.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

_ARRIVING_S, _UNTOUCHED_S = 3600.0, 86_400.0
_MARK = re.compile(r"\d-[0-9a-f]{16}\.lock$")
_NEW_FILE = re.compile(r"\.[0-9a-f]{12}\.new$")


@contextlib.contextmanager
def scratch_folder(root: Path, *, prefix: str = "") -> Iterator[Path]:
    """A new folder under `root` for this account alone, removed at the end.

    A lock beside the folder marks it as in use until the process ends, however it ends.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{prefix}{os.getpid()}-{secrets.token_hex(8)}"
    mark = folder.with_name(f"{folder.name}.lock")
    # Not bound to a thread: the last of several users ends the block, and that need not be the one that began it.
    with filelock.FileLock(mark, thread_local=False):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            mark.unlink(missing_ok=True)


def sweep_scratch_folders(root: Path, *, prefix: str = "") -> None:
    """Remove the folders of killed processes; the living hold their marks."""
    for mark in root.glob(f"{prefix}*.lock"):
        _sweep(mark)


def sweep_below(root: Path) -> int:
    """Remove what killed processes left anywhere below a folder: scratch folders, and files that were never complete.

    Locks of other kinds, whose names are others, are left alone. A file that was being written when its process died
    (``atomic_files.new_file``) has no mark; it is removed when nothing was written to it for a day.

    Returns
    -------
    int
        Folders and files removed.
    """
    swept = sum(_sweep(mark) for mark in root.rglob("*.lock") if _MARK.search(mark.name))
    for path in root.rglob(".*.new"):
        if _NEW_FILE.search(path.name) and path.is_file() and _age_s(path) > _UNTOUCHED_S:
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def _sweep(mark: Path) -> bool:
    """Remove the folder of a mark that nobody holds; whether there was one."""
    lock = filelock.FileLock(mark)
    with contextlib.suppress(filelock.Timeout), lock.acquire(blocking=False):
        folder = mark.with_name(mark.name.removesuffix(".lock"))
        # A mark is taken before its folder is made, so one without a folder may be somebody's who just arrives; only an
        # old one is litter.
        if folder.exists() or _age_s(mark) > _ARRIVING_S:
            shutil.rmtree(folder, ignore_errors=True)
            mark.unlink(missing_ok=True)
            return True
    return False


def _age_s(path: Path) -> float:
    """Seconds since a file was written; 0 for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
