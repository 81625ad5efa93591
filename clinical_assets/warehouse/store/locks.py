"""Who uses a DuckDB file: what DuckDB says about other processes, and who of this one.

What belongs here: naming the holder, and the record of use within the process. What does not: waiting
(``foundation.locks``) and opening files.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from clinical_assets.foundation.locks import Busy

_HOLDER = re.compile(r"\(PID (\d+)\)")


def busy_holder(error: duckdb.Error) -> Busy | None:
    """What DuckDB says about who holds a file, or None when the error is another one."""
    text = str(error)
    if "Could not set lock on file" in text:
        found = _HOLDER.search(text)
        return Busy(f"process {found.group(1)}" if found else "another process")
    if "Unique file handle conflict" in text:
        return Busy("another connection of this process")
    return None


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
