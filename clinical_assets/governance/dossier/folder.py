"""A dossier as a folder that cannot be changed unnoticed: sealed, verified, replaced as a whole.

``manifest.json`` lists every content file with its SHA-256, and the dossier's digest is that of the list. The page
shows the digest that is signed although it is in the list itself: it is listed with 64 zeros in the digest's place.
What differs between two equal dossiers (times, run ids, host) stands in ``run.json``, outside the digest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_assets.foundation import sealed_folder
from clinical_assets.foundation.canonical import HEX_DIGITS, PREFIX, bytes_sha256, hex_of, listing_digest, readable_json
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat, VersionedDocument

INDEX, MANIFEST, RUN = "index.html", "manifest.json", "run.json"
# Stands for the dossier's own digest until everything else is known.
PENDING = PREFIX + "0" * HEX_DIGITS
_SHORT = 16


class DossierError(ClinicalAssetsError):
    """A dossier that is not there, incomplete or changed, or that cannot be written."""


class DossierManifest(VersionedDocument):
    """Content of ``manifest.json``.

    Attributes
    ----------
    cohort, bundle_digest : str
        The model that the dossier is about; a content file says it too.
    digest : str
        What is signed: digest of `files`.
    files : dict
        Name, ``/`` between folders, to SHA-256 in hexadecimal digits.
    """

    cohort: str
    bundle_digest: str
    digest: str
    files: dict[str, str]


def place_of(settings: Settings, cohort: str, bundle_digest: str) -> Path:
    """Where the newest dossier of a bundle lies: ``<dossiers>/<cohort>/<first 16 digits of the bundle>``."""
    return settings.dossiers / cohort / _short(bundle_digest)


def older_place(place: Path, digest: str) -> Path:
    """Where a dossier lies after another one of the same bundle took its place: its digest follows the name."""
    return place.with_name(f"{place.name}-{_short(digest)}")


def digest_of(files: Mapping[str, bytes]) -> str:
    """Digest of the dossier that these content files make; the page still holds `PENDING`."""
    return listing_digest({name: bytes_sha256(content) for name, content in files.items()})


def seal(folder: Path, files: Mapping[str, bytes], *, cohort: str, bundle_digest: str, run: Mapping[str, Any]) -> str:
    """Write content files, manifest and run into an empty folder.

    Parameters
    ----------
    folder : Path
        An empty folder.
    files : mapping
        Content by relative path, ``/`` between folders. The page holds `PENDING` wherever it shows the digest.
    cohort, bundle_digest : str
        The model; they must stand in a content file too.
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
    listed = {name: bytes_sha256(content) for name, content in sorted(files.items())}
    manifest = DossierManifest(cohort=cohort, bundle_digest=bundle_digest, digest=digest, files=listed)
    (folder / MANIFEST).write_bytes(canonical_bytes(manifest.to_json()))
    (folder / RUN).write_bytes(canonical_bytes(run))
    return digest


def verify(folder: Path) -> DossierManifest:
    """Check every file of a dossier against its manifest, and the manifest against its digest.

    Returns
    -------
    DossierManifest
        What it says of itself.

    Raises
    ------
    DossierError
        Something is missing, was added or was changed; names the file.
    """
    cure = "Restore the folder from a backup, or write the dossier again; find out who changed it."
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = DossierManifest.read(folder / MANIFEST)
    except NewerFormat as error:
        raise DossierError(error.message, cure=error.cure) from error
    except (OSError, BadDocument) as error:
        raise DossierError(f"{folder} holds no readable {MANIFEST}.", cure=cure) from error
    files = manifest.files
    if raw != canonical_bytes(manifest.to_json()) or listing_digest(files) != manifest.digest:
        raise DossierError(f"{folder / MANIFEST} was changed after the dossier was written.", cure=cure)
    if odd := sealed_folder.odd_names(folder, files, apart=(MANIFEST, RUN)):
        raise DossierError(f"{folder.name}: missing or added files: {', '.join(odd)}.", cure=cure)

    def listed_sha256(path: Path) -> str:
        content = path.read_bytes()
        if path == folder / INDEX:
            # Zeros written into the page by hand must not pass for the digest.
            content = (
                b"" if PENDING.encode() in content else content.replace(manifest.digest.encode(), PENDING.encode())
            )
        return bytes_sha256(content)

    if changed := sealed_folder.first_changed(folder, files, sha256=listed_sha256):
        raise DossierError(f"{folder.name}/{changed} was changed after the dossier was written.", cure=cure)
    return manifest


def exclusive(place: Path, settings: Settings) -> contextlib.AbstractContextManager[None]:
    """Let one process at a time replace the dossiers of a cohort."""
    return hold(
        place.parent / ".dossiers.lock",
        wanted=f"the dossiers in {place.parent}",
        patience_s=settings.lock_patience_s,
        error=DossierError,
    )


def take_place(work: Path, place: Path) -> None:
    """Put a whole dossier into its place; the one that lay there is kept under a name with its digest.

    A dossier that was changed on disk is kept too, under a name that says so.
    """
    sealed_folder.replace(work, place, aside=_aside(place) if place.exists() else None)


def _aside(place: Path) -> Path:
    """A free name for what lies in a place now."""
    try:
        name = older_place(place, verify(place).digest)
    except DossierError:
        name = place.with_name(f"{place.name}-damaged")
    free, number = name, 1
    while free.exists():
        # The same dossier was current before, or several damaged ones: none is thrown away.
        number += 1
        free = name.with_name(f"{name.name}-{number}")
    return free


def _short(digest: str) -> str:
    return hex_of(digest)[:_SHORT]


def canonical_bytes(value: Mapping[str, Any]) -> bytes:
    """The one way in which a dossier's JSON files are written; another text of the same values is a changed file."""
    return readable_json(value, sort_keys=True).encode()
