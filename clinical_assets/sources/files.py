"""Files as they lie on disk: finding them, knowing them by digest, noticing that they change, room to work.

What belongs here: paths, fingerprints, the working folder. What does not: what is written inside a file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import SourceError, engine_words
from clinical_assets.foundation.scratch_folder import scratch_folder, sweep_scratch_folders
from clinical_assets.foundation.settings import SOURCES, Settings

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
            state = file_state(self.path)
            recent = max(state[3:]) > self.taken_ns - _RECENT_NS
            if (state != self.state or recent) and file_sha256(self.path) != self.file.sha256:
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
        before, taken = file_state(found.path), time.time_ns()
        digest = file_sha256(found.path)
        after = file_state(found.path)
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


def file_state(path: Path) -> tuple[int, ...]:
    """Numbers of a file that change when its content may have: device, inode, bytes, times of both changes in ns."""
    stat = path.stat()
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class Places(TypedDict):
    """Where a description may have files."""

    folders: Sequence[Path]
    also: Sequence[Path]
    never: Sequence[Path]


def places(settings: Settings, folder: Path | None) -> Places:
    """Where files of a description that lies in `folder` are searched, and where they may and must not lead."""
    return {
        "folders": [*([folder] if folder is not None else []), settings.data],
        "also": settings.source_folders,
        "never": (settings.records, settings.keys, settings.serving),
    }


def find_files(
    pattern: str, folders: Sequence[Path], *, also: Sequence[Path] = (), never: Sequence[Path] = ()
) -> tuple[Found, ...]:
    """Files that a path or pattern names; parameters and errors as `search_files`, which finds none without an error.

    Raises
    ------
    SourceError
        When no folder has such a file, or it lies elsewhere.
    """
    found = search_files(pattern, folders, also=also, never=never)
    if not found:
        raise SourceError(
            f"No file {pattern!r} was found beside the cohort's description or in the data folder.",
            cure="Put the file there or correct `path`; it is relative to the description, then to "
            "CLINICAL_ASSETS_DATA.",
        )
    return found


def search_files(
    pattern: str, folders: Sequence[Path], *, also: Sequence[Path] = (), never: Sequence[Path] = ()
) -> tuple[Found, ...]:
    """Files that a path or pattern names, from the first folder that has any, sorted by name; none where none has.

    A name that exists as written is taken as written, even when it holds ``*``, ``?`` or ``[``. Every file must lie
    under one of the folders, wherever ``..`` and links lead.

    Parameters
    ----------
    pattern : str
        Relative to the folders, or absolute under one of them.
    folders : sequence of Path
        Searched in this order.
    also : sequence of Path
        Folders that an absolute path or a link may lead to; not searched.
    never : sequence of Path
        Folders below those whose files are no source.

    Raises
    ------
    SourceError
        When it lies elsewhere.
    """
    roots, closed = ([each.resolve() for each in group] for group in ((*folders, *also), never))

    def allowed(path: Path) -> Path:
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in roots) or any(real.is_relative_to(root) for root in closed):
            raise SourceError(
                f"{pattern!r} leads out of the folders that a description may read from.",
                cure=f"Put the file beside the description or into the data folder, or let {SOURCES} name its folder.",
            )
        return path

    for folder in folders:
        exact = folder / pattern
        if (".." in Path(pattern).parts or Path(pattern).is_absolute()) and not _GLOB & set(pattern):
            allowed(exact)  # whether or not it is there: nobody finds out what lies elsewhere
        if exact.is_file():
            allowed(exact)
            return (Found(Path(pattern).name, exact),)
        if _GLOB & set(pattern) and not Path(pattern).is_absolute():
            paths = sorted(allowed(path) for path in folder.glob(pattern) if path.is_file())
            if paths:
                return tuple(Found(path.relative_to(folder).as_posix(), path) for path in paths)
    return ()


@contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """A private folder under the data folder for files that live as long as one reading; removes what the dead left."""
    root = settings.data / "temporary"
    sweep_scratch_folders(root)
    with scratch_folder(root) as folder:
        yield folder


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def engine_message(error: Exception, files: Iterable[tuple[Path, str]]) -> str:
    """The first line of what DuckDB says, with the names of files for their paths, and no value of a record."""
    text = str(error).splitlines()[0]
    known = []
    for path, name in files:
        text = text.replace(str(path), name)
        known.append(name)
    return engine_words(ValueError(text), known=" ".join(known))


def path_literal(path: Path) -> str:
    """A path as an SQL literal that DuckDB takes as one file and not as a pattern."""
    return literal("".join(f"[{letter}]" if letter in _GLOB else letter for letter in str(path)))
