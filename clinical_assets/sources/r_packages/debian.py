"""Debian packages as archives: fetched with Debian's tools, found in a folder, read member by member.

What belongs here: the archive. What does not: what a file in it means. Nothing is installed, and no script of a package
runs.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import Found, places, search_files

#: Folder of archives, inside the data folder or beside a description.
FOLDER = "r_packages"
_MAGIC = b"!<arch>\n"
_HEADER = 60
# Unpacked; the largest data file of the packages that the catalogue names has 20 MB.
_MOST_BYTES = 500_000_000

#: Runs a command in a folder.
Run = Callable[[Sequence[str], Path], None]


def download(packages: Sequence[str], into: Path, *, run: Run | None = None) -> tuple[Path, ...]:
    """Fetch archives with ``apt-get download``; one that is there already is replaced.

    Parameters
    ----------
    packages : sequence of str
        Names of Debian packages.
    into : Path
        Folder for the archives; made if it is not there.
    run : callable, optional
        Runs a command in a folder; Debian's tools by default.

    Returns
    -------
    tuple of Path
        One archive per package, in the order of ``packages``.

    Raises
    ------
    SourceError
        The tools are missing, or a package cannot be had.
    """
    into.mkdir(parents=True, exist_ok=True)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt fetches as an account of its own
        (run or _run)(["apt-get", "download", *packages], folder)
        for package in packages:
            archives = sorted(folder.glob(f"{package}_*.deb"))
            if len(archives) != 1:
                raise SourceError(
                    f"{len(archives)} archives of {package} were fetched", cure="run apt-get update first"
                )
            for old in into.glob(f"{package}_*.deb"):
                old.unlink()
            found.append(Path(shutil.move(archives[0], into / archives[0].name)))
    return tuple(found)


def find_archive(package: str, *, settings: Settings, folder: Path | None) -> Found | None:
    """The archive of a package in `FOLDER`, beside the description or in the data folder; None where there is none.

    Raises
    ------
    SourceError
        There are several, and nothing says which is meant.
    """
    found = search_files(f"{FOLDER}/{package}_*.deb", **places(settings, folder))
    if len(found) > 1:
        raise SourceError(
            f"{FOLDER} has {len(found)} archives of {package}: {', '.join(Path(each.name).name for each in found)}.",
            cure="Leave one of them there.",
        )
    return found[0] if found else None


def read_members(archive: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """Content of files in an archive, by their path (``usr/share/...``).

    Raises
    ------
    SourceError
        It is no Debian archive, is packed in a way that Python cannot read, or lacks a file.
    """
    left, content = set(wanted), dict[str, bytes]()
    try:
        with tarfile.open(fileobj=io.BytesIO(_data_part(archive)), mode="r:*") as packed:
            for entry in packed:
                name = entry.name.removeprefix("./")
                if name not in left or not entry.isfile():
                    continue
                if entry.size > _MOST_BYTES:
                    raise SourceError(f"{archive.name}: {name} unpacks to more than 0.5 GB.", cure="Check the package.")
                member = packed.extractfile(entry)
                content[name] = member.read() if member is not None else b""
                left.discard(name)
                if not left:
                    break
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SourceError(
            f"{archive.name} cannot be unpacked: {type(error).__name__}.",
            cure="Fetch the package of Debian again; others may be packed by zstd, which is not read.",
        ) from None
    if left:
        raise SourceError(f"{archive.name} lacks {min(left)}.", cure="Use the release of Debian 12.")
    return {name: content[name] for name in wanted}


def _data_part(archive: Path) -> bytes:
    """The packed tree of files: the member ``data.tar.*`` of the ar archive that a ``.deb`` is."""
    with archive.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise SourceError(
                f"{archive.name} is no Debian archive.", cure="Fetch it again; a web page may have been saved instead."
            )
        for name, size in _ar_members(file):
            if name.startswith("data.tar"):
                return file.read(size)
            file.seek(size + size % 2, io.SEEK_CUR)
    raise SourceError(f"{archive.name} has no data in it.", cure="Fetch the package again.")


def _ar_members(file: io.BufferedReader) -> Iterator[tuple[str, int]]:
    while len(header := file.read(_HEADER)) == _HEADER:
        size = header[48:58].strip()
        if header[58:] != b"`\n" or not size.isdigit():
            return
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), int(size)


def _run(command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise SourceError(
            f"{command[0]} is not on this machine", cure="fetch on a machine with Debian's tools and copy the folder"
        )
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise SourceError(
            f"{' '.join(command[:2])} failed: {said[-1] if said else 'no words'}", cure="run apt-get update"
        )
