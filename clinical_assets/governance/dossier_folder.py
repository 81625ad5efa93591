"""A dossier as a folder that cannot be changed unnoticed: sealed, verified, replaced as a whole.

``manifest.json`` lists every content file with its SHA-256, and the dossier's digest is that of the list. The page
shows the digest that is signed although it is in the list itself: it is listed with 64 zeros in the digest's place.
What differs between two equal dossiers (times, run ids, host) stands in ``run.json``, outside the digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import LOCK_PATIENCE, Settings

FORMAT = 1
INDEX, MANIFEST, RUN = "index.html", "manifest.json", "run.json"
# Stands for the dossier's own digest until everything else is known.
PENDING = "sha256:" + "0" * 64
_SHORT = 16


class DossierError(ClinicalAssetsError):
    """A dossier that is not there, incomplete or changed, or that cannot be written."""


def place_of(settings: Settings, cohort: str, bundle_digest: str) -> Path:
    """Where the newest dossier of a bundle lies: ``<dossiers>/<cohort>/<first 16 digits of the bundle>``."""
    return settings.dossiers / cohort / _short(bundle_digest)


def older_place(place: Path, digest: str) -> Path:
    """Where a dossier lies after another one of the same bundle took its place: its digest follows the name."""
    return place.with_name(f"{place.name}-{_short(digest)}")


def digest_of(files: Mapping[str, bytes]) -> str:
    """Digest of the dossier that these content files make; the page still holds `PENDING`."""
    return _digest({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def seal(folder: Path, files: Mapping[str, bytes], *, facts: Mapping[str, str], run: Mapping[str, Any]) -> str:
    """Write content files, manifest and run into an empty folder.

    Parameters
    ----------
    files : mapping
        Content by relative path, ``/`` between folders. The page holds `PENDING` wherever it shows the digest.
    facts : mapping
        More of the manifest, such as cohort and bundle digest; they must stand in a content file too.
    run : mapping
        What differs between two equal dossiers.

    Returns
    -------
    str
        The digest.
    """
    digest = digest_of(files)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(PENDING.encode(), digest.encode()) if name == INDEX else content)
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = {"format": FORMAT, **facts, "digest": digest, "files": listed}
    (folder / MANIFEST).write_bytes(_canonical(manifest))
    (folder / RUN).write_bytes(_canonical(run))
    return digest


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a dossier against its manifest, and the manifest against its digest.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DossierError
        Something is missing, was added or was changed; names the file.
    """
    cure = "Restore the folder from a backup, or write the dossier again; find out who changed it."
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = json.loads(raw)
    except (OSError, ValueError) as error:
        raise DossierError(f"{folder} holds no readable {MANIFEST}.", cure=cure) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DossierError(
            f"{folder / MANIFEST} has no format {FORMAT}.", cure="Use the version of clinical_assets that wrote it."
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or raw != _canonical(manifest) or _digest(files) != manifest.get("digest"):
        raise DossierError(f"{folder / MANIFEST} was changed after the dossier was written.", cure=cure)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    odd = (present - {MANIFEST, RUN}) ^ set(files)
    if odd:
        raise DossierError(f"{folder.name}: missing or added files: {', '.join(sorted(odd))}.", cure=cure)
    for name, expected in files.items():
        content = (folder / name).read_bytes()
        if name == INDEX:
            # Zeros written into the page by hand must not pass for the digest.
            content = b"" if PENDING.encode() in content else content.replace(_bytes(manifest), PENDING.encode())
        if hashlib.sha256(content).hexdigest() != expected:
            raise DossierError(f"{folder.name}/{name} was changed after the dossier was written.", cure=cure)
    return manifest


@contextlib.contextmanager
def exclusive(place: Path, settings: Settings) -> Iterator[None]:
    """Let one process at a time replace the dossiers of a cohort."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(place.parent / ".dossiers.lock", timeout=settings.lock_patience_s)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise DossierError(
            f"another process has been writing dossiers in {place.parent} for {settings.lock_patience_s:g} s.",
            cure=f"Wait for it, or give more patience with {LOCK_PATIENCE}.",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def work_folder(place: Path) -> Iterator[Path]:
    """An empty folder beside a place, gone afterwards unless it was moved there."""
    work = Path(tempfile.mkdtemp(prefix=".dossier-", dir=place.parent))
    # mkdtemp makes folders private; a dossier is read by people and servers that run under another name.
    work.chmod(0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def take_place(work: Path, place: Path) -> None:
    """Put a whole dossier into its place; the one that lay there is kept under a name with its digest.

    A dossier that was changed on disk is kept too, under a name that says so.
    """
    moved: Path | None = None
    if place.exists():
        moved = _aside(place)
        place.rename(moved)
    try:
        work.rename(place)
    except OSError:
        if moved is not None:
            moved.rename(place)
        raise


def _aside(place: Path) -> Path:
    """A free name for what lies in a place now."""
    try:
        name = older_place(place, verify(place)["digest"])
    except DossierError:
        name = place.with_name(f"{place.name}-damaged")
    free, number = name, 1
    while free.exists():
        # The same dossier was current before, or several damaged ones: none is thrown away.
        number += 1
        free = name.with_name(f"{name.name}-{number}")
    return free


def _bytes(manifest: Mapping[str, Any]) -> bytes:
    return str(manifest["digest"]).encode()


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]


def _digest(files: Mapping[str, str]) -> str:
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
