"""Which bundle serves a cohort: one pointer file, and the bundles that it may point to kept warm.

What belongs here: reading and switching the pointer, keeping bundles beside it, the lock under which both change. What
does not: whether a bundle may become champion (``blockers``), and writing that down (``promotion``).

``data/serving/<cohort>/champion.json`` is the truth about what serves. It is replaced in one step, so that a reader
sees the old champion or the new one, and reading it needs neither database nor registry.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.settings import LOCK_PATIENCE, Settings
from clinical_assets.whole_files import flush, write_whole

if TYPE_CHECKING:
    from clinical_assets.modelling.bundle import Bundle

POINTER, JOURNAL = "champion.json", "journal.json"
_PREFIX = "sha256:"


class ChampionError(ClinicalAssetsError):
    """A pointer that cannot be read, or that points to a bundle that is not there."""


@dataclass(frozen=True)
class Champion:
    """What serves a cohort.

    Attributes
    ----------
    cohort : str
        Name of the cohort.
    digest : str
        Digest of the bundle.
    since : str
        UTC.
    by : str
        Who promoted it or rolled back to it.
    previous : tuple of str
        Digests of the champions before it, the newest first; where a rollback goes.
    promotion : str
        Id of its row in the table of promotions.
    """

    cohort: str
    digest: str
    since: str
    by: str
    previous: tuple[str, ...]
    promotion: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "previous": list(self.previous)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Champion:
        """What `to_json` gave."""
        return cls(
            cohort=str(told["cohort"]),
            digest=str(told["digest"]),
            since=str(told["since"]),
            by=str(told["by"]),
            previous=tuple(str(each) for each in told["previous"]),
            promotion=str(told["promotion"]),
        )


def serving_folder(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's pointer."""
    return settings.serving / cohort


def current(settings: Settings, cohort: str) -> Champion | None:
    """What serves a cohort now, or None.

    Raises
    ------
    ChampionError
        The pointer cannot be read, or is another cohort's.
    """
    told = read_json(serving_folder(settings, cohort) / POINTER)
    if told is None:
        return None
    path = serving_folder(settings, cohort) / POINTER
    try:
        champion = Champion.from_json(told)
    except (KeyError, TypeError) as error:
        raise ChampionError(
            f"{path} is no pointer to a champion: {error} is missing or of another kind.",
            cure=f"Restore it from a backup; the newest row of `promotions` for {cohort} says what it held.",
        ) from error
    if champion.cohort != cohort:
        raise ChampionError(
            f"{path} points to the champion of {champion.cohort}.",
            cure="Find out who copied it; restore the right one.",
        )
    return champion


def bundle_of(settings: Settings, champion: Champion | str) -> Bundle:
    """The bundle of a champion, or of a digest that was kept warm; every file is checked.

    Raises
    ------
    ChampionError
        No such bundle is kept, or another bundle lies in its place.
    BundleError
        A file of it was changed, or is missing; names it.
    """
    from clinical_assets.modelling.bundle import Bundle

    digest = champion if isinstance(champion, str) else champion.digest
    if isinstance(champion, str):
        found = sorted(settings.bundles.glob(f"*/{_hex(digest)}"))
        place = found[0] if found else None
    else:
        place = warm_place(settings, champion.cohort, digest)
    if place is None or not place.exists():
        raise ChampionError(
            f"The bundle {digest} does not lie in {settings.bundles}.",
            cure="Restore it from a backup, or fetch it from the registry; promoting it again also brings it back.",
        )
    bundle = Bundle.load(place)
    if bundle.digest != digest or (not isinstance(champion, str) and bundle.cohort != champion.cohort):
        raise ChampionError(
            f"{place} holds {bundle.digest} of {bundle.cohort}, not {digest}.",
            cure="Find out who replaced it, and restore it from the registry.",
        )
    return bundle


def warm_place(settings: Settings, cohort: str, digest: str) -> Path:
    """Where the bundle of a digest is kept for serving."""
    return settings.bundles / cohort / _hex(digest)


def keep_warm(settings: Settings, bundle: Bundle) -> Bundle:
    """Put a verified copy of a bundle where servers and rollbacks find it; one that lies there already is checked."""
    from clinical_assets.modelling.bundle import Bundle

    place = warm_place(settings, bundle.cohort, bundle.digest)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=place.parent))
        try:
            copy = work / place.name
            shutil.copytree(bundle.folder, copy)
            for path in (*copy.iterdir(), copy):
                flush(path)
            try:
                copy.rename(place)
            except OSError:
                if not place.exists():
                    raise  # else another process fetched the same bundle meanwhile
            flush(place.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    kept = Bundle.load(place)
    if kept.digest != bundle.digest:
        raise ChampionError(f"{place} holds {kept.digest}.", cure="Move the folder away and promote again.")
    return kept


def switch(settings: Settings, champion: Champion) -> None:
    """Let the pointer name another champion, in one step that also outlives a power cut."""
    write_json(serving_folder(settings, champion.cohort) / POINTER, champion.to_json())


def read_json(path: Path) -> dict[str, Any] | None:
    """A small file of plain values, or None where there is none.

    Raises
    ------
    ChampionError
        It is no JSON object.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ChampionError(f"{path} is no JSON.", cure="Restore it from a backup.") from error
    if not isinstance(told, dict):
        raise ChampionError(f"{path} is no JSON object.", cure="Restore it from a backup.")
    return told


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a small file in one step; when this returns it is on disk."""
    write_whole(path, json.dumps(dict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def remove(path: Path) -> None:
    """Remove a file; when this returns it is gone from the disk."""
    path.unlink(missing_ok=True)
    flush(path.parent)


@contextlib.contextmanager
def hold(settings: Settings, cohort: str) -> Iterator[None]:
    """Hold the right to change what serves a cohort; other processes and threads queue.

    The lock is an operating system's, so it ends with its process.

    Raises
    ------
    ChampionError
        Somebody held it longer than the patience of the settings.
    """
    folder = serving_folder(settings, cohort)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", is_singleton=True)
    try:
        lock.acquire(timeout=settings.lock_patience_s)
    except filelock.Timeout:
        raise ChampionError(
            f"Waited {settings.lock_patience_s:.0f} s for the champion of {cohort}: another process is changing it.",
            cure=f"Let it end (or end it), or allow more time with {LOCK_PATIENCE}.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _hex(digest: str) -> str:
    name = digest.removeprefix(_PREFIX)
    # A digest becomes part of a path; nothing else may.
    if len(name) != 64 or set(name) - set("0123456789abcdef"):
        raise ChampionError(f"{digest!r} is no digest.", cure="Give sha256: and 64 hexadecimal digits.")
    return name
