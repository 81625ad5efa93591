"""Folders that readers see whole or not at all, and that nobody can change unnoticed.

What belongs here: building a folder beside its place and moving it there, and comparing files with the digests that a
manifest lists. What does not: what a manifest says, and which errors a damaged bundle or dossier raises.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from clinical_assets.foundation.atomic_files import flush, within_umask
from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.scratch_folder import scratch_folder

#: For whoever may read the data folder, such as a server under another account; and for this account alone.
SHARED_FOLDER, PRIVATE_FOLDER = 0o755, 0o700


@contextlib.contextmanager
def new_folder(place: Path, *, mode: int = SHARED_FOLDER) -> Iterator[Path]:
    """An empty folder beside `place`, on the same disk, gone at the end of the block unless it was moved.

    What a killed process leaves is known by its mark, and swept (``scratch_folder.sweep_below``).

    Parameters
    ----------
    place : Path
        Where the folder is to go, by `put` or `replace`; its parent is made.
    mode : int
        Permissions.
    """
    with scratch_folder(place.parent, prefix=f".{place.name}-") as work:
        work.chmod(within_umask(mode))
        yield work


def put(work: Path, place: Path) -> bool:
    """Move a complete folder to its place, unless something lies there; when this returns it is on disk.

    Returns
    -------
    bool
        False where another process came first. The caller compares what lies there with what it has made.
    """
    flush_folder(work)
    try:
        work.rename(place)
    except OSError:
        if not place.exists():
            raise
        return False
    flush(place.parent)
    return True


def replace(work: Path, place: Path, *, aside: Path | None = None) -> None:
    """Put a complete folder into a place; when this returns it is on disk.

    Parameters
    ----------
    work : Path
        The complete folder, on the same disk as its place.
    place : Path
        Where it goes.
    aside : Path, optional
        Where what lay in the place is kept; by default it is removed. If the new folder cannot take the place, what
        lay there is put back.
    """
    flush_folder(work)
    old = work.with_name(f"{work.name}.old") if aside is None else aside
    moved = place.exists()
    if moved:
        place.rename(old)
    try:
        work.rename(place)
    except OSError:
        if moved:
            old.rename(place)
        raise
    flush(place.parent)
    if moved and aside is None:
        shutil.rmtree(old)


def flush_folder(folder: Path) -> None:
    """Wait until all files of a folder, and the names in it, are on disk."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def digests_in(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder by its name, with ``/`` between folders, in the order of the names."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: file_sha256(path) for name, path in sorted(files.items())}


def odd_names(folder: Path, listed: Collection[str], *, apart: Collection[str] = ()) -> list[str]:
    """Names that are listed and missing, or there and not listed; a folder counts unless a listed file lies in it.

    Parameters
    ----------
    folder : Path
        The folder whose files are held against the listing.
    listed : collection of str
        Names of files, with ``/`` between folders.
    apart : collection of str
        Names that may be there and are not listed, such as that of the manifest itself.
    """
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents}
    present = {
        name
        for path in folder.rglob("*")
        if not ((name := path.relative_to(folder).as_posix()) in folders and path.is_dir())
    }
    return sorted((present - set(apart)) ^ set(listed))


def first_changed(
    folder: Path, listed: Mapping[str, str], *, sha256: Callable[[Path], str] = file_sha256
) -> str | None:
    """The first name, in the order of the listing, whose file no longer has its listed SHA-256; None where all have.

    Parameters
    ----------
    folder : Path
        The folder of the listed files.
    listed : mapping
        Name to SHA-256 in hexadecimal digits.
    sha256 : callable
        How a file's digest is taken.
    """
    return next((name for name, digest in listed.items() if sha256(folder / name) != digest), None)
