"""Which bundle serves a cohort: one pointer file, and the bundles that it may point to kept warm.

What belongs here: reading and switching the pointer, keeping bundles beside it, the lock under which both change. What
does not: whether a bundle may become champion (``blockers``), and writing that down (``promotion``).

``data/serving/<cohort>/champion.json`` is the truth about what serves. It is replaced in one step, so that a reader
sees the old champion or the new one, and reading it needs neither database nor registry.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from clinical_assets.foundation import locks
from clinical_assets.foundation.canonical import hex_of
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.sealed_folder import new_folder, put
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import FIELD, BadDocument, VersionedDocument
from clinical_assets.modelling.bundle.bundle import Bundle

POINTER, JOURNAL = "champion.json", "journal.json"


class ChampionError(ClinicalAssetsError):
    """A pointer that cannot be read, or that points to a bundle that is not there."""


class Champion(VersionedDocument):
    """What serves a cohort, or served it last where it was retired; content of ``champion.json``.

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
    retired : bool
        Taken out of service; nothing serves the cohort until another promotion.
    """

    cohort: str
    digest: str
    since: str
    by: str
    previous: tuple[str, ...]
    promotion: str
    retired: bool = False

    newest: ClassVar[int] = 2

    @model_serializer(mode="wrap")
    def _with_version(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Software that knows only the first version refuses a pointer whose champion was retired, and does not serve.
        return {FIELD: 2 if self.retired else 1, **fields(self)}


def serving_folder(settings: Settings, cohort: str) -> Path:
    """Folder of a cohort's pointer."""
    return settings.serving / cohort


def current(settings: Settings, cohort: str) -> Champion | None:
    """What serves a cohort now; None before the first promotion and after a retirement.

    Raises
    ------
    ChampionError
        The pointer cannot be read, or is another cohort's.
    """
    named = last(settings, cohort)
    return None if named is None or named.retired else named


def last(settings: Settings, cohort: str) -> Champion | None:
    """What the pointer names: what serves, or with ``retired`` what served last; None before the first promotion.

    Raises
    ------
    ChampionError
        As `current`.
    """
    path = serving_folder(settings, cohort) / POINTER
    try:
        champion = Champion.read(path)
    except FileNotFoundError:
        return None
    except BadDocument as error:
        raise ChampionError(
            error.message,
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
    place = warm_place(settings, bundle.cohort, bundle.digest)
    if not place.exists():
        with new_folder(place) as work:
            shutil.copytree(bundle.folder, work, dirs_exist_ok=True)
            put(work, place)  # or another process kept the same bundle meanwhile
    kept = Bundle.load(place)
    if kept.digest != bundle.digest:
        raise ChampionError(f"{place} holds {kept.digest}.", cure="Move the folder away and promote again.")
    return kept


def switch(settings: Settings, champion: Champion) -> None:
    """Let the pointer name another champion, in one step that also outlives a power cut."""
    champion.write(serving_folder(settings, champion.cohort) / POINTER)


def hold(settings: Settings, cohort: str) -> contextlib.AbstractContextManager[None]:
    """Hold the right to change what serves a cohort; other processes and threads queue.

    Raises
    ------
    ChampionError
        Somebody held it longer than the patience of the settings.
    """
    return locks.hold(
        serving_folder(settings, cohort) / ".lock",
        wanted=f"the champion of {cohort}",
        patience_s=settings.lock_patience_s,
        error=ChampionError,
    )


def _hex(digest: str) -> str:
    name = hex_of(digest)
    # A digest becomes part of a path; nothing else may.
    if len(name) != 64 or set(name) - set("0123456789abcdef"):
        raise ChampionError(f"{digest!r} is no digest.", cure="Give sha256: and 64 hexadecimal digits.")
    return name
