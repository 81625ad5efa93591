"""Files as they lie on disk: finding them, knowing them by digest, noticing that they change, room to work.

What belongs here: paths, fingerprints, the working folder. What does not: what is written inside a file.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from clinical_assets.errors import SourceError
from clinical_assets.settings import Settings

# Kernels stamp files in ticks of up to some milliseconds and some file systems in seconds: a file written this
# recently may change again without a new stamp, so its content is compared as well.
_RECENT_NS = 2_500_000_000

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, as people and ledgers know it.

    Attributes
    ----------
    name : str
        Name inside the source; never a path of this machine.
    bytes : int
        Size on disk.
    sha256 : str
        Digest of the bytes on disk, 64 hex digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Found:
    """A file of a source before it was looked into."""

    name: str
    path: Path


@dataclass(frozen=True)
class Fingerprint:
    """A file's digest together with the state it was in when the digest was taken."""

    file: SourceFile
    path: Path
    state: tuple[int, ...]
    taken_ns: int

    def verify(self) -> None:
        """Check that the file is still the one whose digest was taken.

        Raises
        ------
        SourceError
            When it is gone or holds something else.
        """
        try:
            state = _state(self.path)
            recent = max(state[3:]) > self.taken_ns - _RECENT_NS
            if (state != self.state or recent) and _sha256(self.path) != self.file.sha256:
                raise _changed(self.file.name)
        except OSError as error:
            raise SourceError(
                f"{self.file.name} can no longer be read: {error.strerror}. It was there when reading began.",
                cure="Put the file back and start again once nobody writes to it.",
            ) from error


def fingerprint(found: Found) -> Fingerprint:
    """Take a file's digest.

    Raises
    ------
    SourceError
        When the file cannot be read, or changes while its digest is taken.
    """
    try:
        before, taken = _state(found.path), time.time_ns()
        digest = _sha256(found.path)
        after = _state(found.path)
    except OSError as error:
        raise SourceError(
            f"{found.name} cannot be read: {error.strerror}.", cure="Make it a file that this account may read."
        ) from error
    if before != after:
        raise _changed(found.name)
    return Fingerprint(SourceFile(found.name, before[2], digest), found.path, before, taken)


def _changed(name: str) -> SourceError:
    return SourceError(
        f"{name} changed while it was read, so what was read is neither the old nor the new content.",
        cure="Wait until the export is finished (write to another name and rename at the end), then start again.",
    )


def _state(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_files(pattern: str, folders: Sequence[Path]) -> tuple[Found, ...]:
    """Files that a relative path or pattern names, from the first folder that has any, sorted by name.

    A name that exists as written is taken as written, even when it holds ``*``, ``?`` or ``[``.

    Raises
    ------
    SourceError
        When no folder has such a file.
    """
    for folder in folders:
        exact = folder / pattern
        if exact.is_file():
            return (Found(Path(pattern).name, exact),)
        if _GLOB & set(pattern) and not Path(pattern).is_absolute():
            paths = sorted(path for path in folder.glob(pattern) if path.is_file())
            if paths:
                return tuple(Found(path.relative_to(folder).as_posix(), path) for path in paths)
    raise SourceError(
        f"No file {pattern!r} was found beside the cohort's description or in the data folder.",
        cure="Put the file there or correct `path`; it is relative to the description, then to CLINICAL_ASSETS_DATA.",
    )


@contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """A private folder under the data folder for files that live as long as one reading.

    What killed processes left behind is removed on the way in: their folder's lock is free.
    """
    root = settings.data / "temporary"
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / uuid.uuid4().hex
    lock = FileLock(folder.with_suffix(".lock"))
    lock.acquire()
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".lock").unlink(missing_ok=True)
        lock.release()


def _sweep(root: Path) -> None:
    for lock_file in root.glob("*.lock"):
        lock = FileLock(lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        # The lock is taken before the folder is made, so an empty slot may belong to a reader who just arrives;
        # only locks with a folder, or old ones, are litter.
        folder = lock_file.with_suffix("")
        if folder.exists() or time.time() - lock_file.stat().st_mtime > 3600:
            shutil.rmtree(folder, ignore_errors=True)
            lock_file.unlink(missing_ok=True)
        lock.release()


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def engine_message(error: Exception, files: Iterable[tuple[Path, str]]) -> str:
    """The first line of what DuckDB says, with the names of files for their paths on this machine."""
    text = str(error).splitlines()[0]
    for path, name in files:
        text = text.replace(str(path), name)
    return text


def path_literal(path: Path) -> str:
    """A path as an SQL literal that DuckDB takes as one file and not as a pattern."""
    return literal("".join(f"[{letter}]" if letter in _GLOB else letter for letter in str(path)))
