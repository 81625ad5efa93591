"""Files that readers see old or new, never half.

What belongs here: replacing one file in one step. What does not: folders that appear as one (``sealed_folder``), and
what makes a database file whole (``warehouse.database_files``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

#: For whoever may read the data folder, such as a server under another account; and for this account alone.
SHARED, PRIVATE = 0o644, 0o600


def write_whole(path: Path, content: bytes | str, *, mode: int = SHARED) -> Path:
    """Replace a file in one step; its folder is made, and when this returns the content is on disk.

    Parameters
    ----------
    path : Path
        The file; what stood there is replaced.
    content : bytes or str
        Text is written as UTF-8.
    mode : int
        Permissions of the file.

    Returns
    -------
    Path
        `path`. A failure leaves the old file, and nothing beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, mode=mode) as new, open(new, "xb", opener=private) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


@contextlib.contextmanager
def new_file(path: Path, *, mode: int | None = None, single_writer: bool = False) -> Iterator[Path]:
    """A name beside `path` to write a file to, which takes the place of `path` when the block ends.

    Parameters
    ----------
    path : Path
        The file to be written or replaced; its folder exists.
    mode : int, optional
        Permissions of the file; None leaves those that it was made with.
    single_writer : bool
        True where nobody else can be writing the same file: the name is then fixed, and what a killed process left
        under it is removed.

    Yields
    ------
    Path
        ``.<name>….new``; nothing is there. An error within the block leaves the old file, and nothing beside it.
    """
    new = path.with_name(f".{path.name}.new" if single_writer else f".{path.name}.{secrets.token_hex(6)}.new")
    new.unlink(missing_ok=True)
    try:
        yield new
        if mode is not None:
            new.chmod(within_umask(mode))
        take_place(new, path)
    finally:
        new.unlink(missing_ok=True)


def take_place(new: Path, path: Path) -> None:
    """Give a file that is complete the name of another one on the same disk; when this returns both is on disk."""
    flush(new)
    new.replace(path)
    flush(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there; when this returns it is gone from the disk."""
    path.unlink(missing_ok=True)
    flush(path.parent)


def private(path: str, flags: int) -> int:
    """For ``open(..., opener=private)``: a new file is this account's alone from its first byte on."""
    return os.open(path, flags, PRIVATE)


def within_umask(mode: int) -> int:
    """Permissions without those that this process gives to nobody."""
    current = os.umask(0o077)  # what another thread makes meanwhile is its account's alone: never more than wanted
    os.umask(current)
    return mode & ~current


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
