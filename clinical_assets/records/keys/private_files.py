"""Files and folders that only the account that makes them can read."""

from __future__ import annotations

import os
from pathlib import Path

from clinical_assets.foundation.atomic_files import flush
from clinical_assets.records.errors import RecordsError

_FILE, _FOLDER = 0o600, 0o700


def private_folder(folder: Path) -> None:
    """Make a folder that only this account can enter, unless it is there; parents are made as usual.

    Raises
    ------
    RecordsError
        When it cannot be made.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Whatever the umask leaves out of the mode is less, never more.
        folder.mkdir(mode=_FOLDER, exist_ok=True)
        flush(folder.parent)
    except OSError as error:
        raise refused(folder, error) from error


def private_file(path: Path) -> None:
    """Make an empty file that only this account can read and write, in such a folder, unless it is there."""
    private_folder(path.parent)
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _FILE))
        flush(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def refused(path: Path, error: OSError) -> RecordsError:
    """The machine's refusal of a file, in its own words."""
    return RecordsError(
        f"{path}: {error.strerror or error}.",
        cure="Let this account read and write it and its folder, or free some space; then start again.",
    )
