"""Small files that readers see old or new, never half.

What belongs here: replacing one file in one step. What does not: folders that appear as one (bundles, dossiers), or
database files; their rooms know what makes them whole.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: For whoever may read the data folder, such as a server under another account; and for this account alone.
SHARED, PRIVATE = 0o644, 0o600


def write_whole(path: Path, content: bytes | str, *, mode: int = SHARED) -> Path:
    """Replace a file in one step; its folder is made, and when this returns the content is on disk.

    Parameters
    ----------
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
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made for this account alone
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    flush(path.parent)
    return path


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
