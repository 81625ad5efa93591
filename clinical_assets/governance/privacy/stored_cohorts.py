"""Data of cohorts that nobody describes any more: finding them, removing them, giving them a new name.

What belongs here: which places of an installation hold something of a cohort, by name. Records go; what was decided and
signed stays: the ledger, dossiers, released bundles, and the keys by which erased subjects are refused should the
cohort come back.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.cohorts.base import is_name
from clinical_assets.foundation.atomic_files import remove_file
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records.keys.subject_keys import SubjectKeys
from clinical_assets.records.ledger.facts.privacy import RemovalFacts, RenameFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.warehouse.store.warehouse import Warehouse


class StoredCohortError(ClinicalAssetsError):
    """Data that cannot be removed or renamed now."""


@dataclass(frozen=True)
class StoredPlace:
    """One place that holds something of a cohort: ``kind`` in words, and how many bytes lie there."""

    kind: str
    path: Path
    size: int


@dataclass(frozen=True)
class StoredCohort:
    """Everything that this installation keeps of the records of a cohort."""

    name: str
    places: tuple[StoredPlace, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(place.size for place in self.places)

    @property
    def shown(self) -> str:
        """The places in words, without paths."""
        return ", ".join(place.kind for place in self.places)


def stored_cohorts(settings: Settings) -> dict[str, StoredCohort]:
    """Every cohort of which data lie here, by name, described or not."""
    names = {path.stem for path in settings.warehouse.glob("*.duckdb")}
    for _, folder in _folders(settings):
        names |= {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    found = (StoredCohort(name, tuple(_places(settings, name))) for name in sorted(names) if is_name(name))
    return {cohort.name: cohort for cohort in found if cohort.places}


def orphans(settings: Settings, described: Collection[str]) -> tuple[StoredCohort, ...]:
    """Cohorts of which data lie here although nobody describes them."""
    return tuple(cohort for name, cohort in stored_cohorts(settings).items() if name not in described)


def remove(settings: Settings, ledger: Ledger, name: str, *, reason: str, actor: str) -> StoredCohort:
    """Delete the records of a cohort that nobody describes; says what was deleted.

    The ledger is told first, so that nothing goes unseen; a removal that was interrupted is completed by another.

    Raises
    ------
    StoredCohortError
        Nothing is stored under the name, or a champion of it serves.
    """
    with Warehouse(name, settings).exclusive():
        cohort = _unserved(settings, name)
        ledger.append(
            "removal",
            actor=actor,
            cohort=name,
            reason=reason,
            facts=RemovalFacts(places=cohort.shown, bytes=cohort.size),
        )
        for place in cohort.places:
            _delete(place.path)
    return cohort


def rename(settings: Settings, ledger: Ledger, old: str, new: str, *, reason: str, actor: str) -> StoredCohort:
    """Give warehouse, snapshots, inbox and subject keys of a cohort that nobody describes to one of another name.

    Models, reports and dossiers stay under the old name, which they were made and signed with; the new cohort is
    trained and released for itself.

    Raises
    ------
    StoredCohortError
        Nothing is stored under the old name, a champion of it serves, something is stored under the new one already, or
        files are encrypted, each with a key of its cohort's name.
    """
    if settings.master_key is not None:
        raise StoredCohortError(
            "Files are encrypted with a key that follows from the cohort's name, so they cannot take another one.",
            cure=f"Describe the cohort as {old} again; or ingest the new one, and remove the data of the old.",
        )
    with contextlib.ExitStack() as held:
        for name in sorted((old, new)):
            held.enter_context(Warehouse(name, settings).exclusive())
        cohort = _unserved(settings, old)
        moves = list(_moves(settings, old, new))
        taken = next((target for _, target in moves if target.exists()), None)
        if taken is not None:
            raise StoredCohortError(
                f"Something of cohort {new} is stored already: {taken.relative_to(taken.parents[1])}.",
                cure="Give data to a cohort before its first run, or choose another name.",
            )
        facts = RenameFacts(old=old, new=new)
        for name in (old, new):
            ledger.append("rename", actor=actor, cohort=name, reason=reason, facts=facts)
        for source, target in moves:
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
    return cohort


def _unserved(settings: Settings, name: str) -> StoredCohort:
    cohort = stored_cohorts(settings).get(name)
    if cohort is None:
        raise StoredCohortError(
            f"Nothing is stored of a cohort {name!r}.",
            cure="`clinical-assets doctor` lists data that nobody describes.",
        )
    if champion_pointer.current(settings, name) is not None:
        raise StoredCohortError(
            f"A champion of {name} serves.",
            cure=f"Take it out of service first: clinical-assets retire {name} --as LOGIN --reason '...'. "
            "Its evidence stays in any case.",
        )
    return cohort


def _folders(settings: Settings) -> tuple[tuple[str, Path], ...]:
    return (
        ("snapshots", settings.snapshots),
        ("trainings", settings.data / "models"),
        ("reports", settings.data / "reports"),
        ("files in the inbox", settings.inbox),
        ("studies", settings.data / "micro_cohorts"),
    )


def _places(settings: Settings, name: str) -> Iterator[StoredPlace]:
    for path in (settings.warehouse / f"{name}.duckdb", settings.warehouse / f"{name}.duckdb.wal"):
        if path.exists():
            yield StoredPlace("warehouse" if path.suffix == ".duckdb" else "its write-ahead log", path, _size(path))
    for kind, folder in _folders(settings):
        if (folder / name).is_dir() and any((folder / name).rglob("*")):
            yield StoredPlace(kind, folder / name, _size(folder / name))


def _moves(settings: Settings, old: str, new: str) -> Iterator[tuple[Path, Path]]:
    for ending in (".duckdb", ".duckdb.wal"):
        yield settings.warehouse / f"{old}{ending}", settings.warehouse / f"{new}{ending}"
    for folder in (settings.snapshots, settings.inbox):
        yield folder / old, folder / new
    yield SubjectKeys(settings, old).path, SubjectKeys(settings, new).path


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        remove_file(path)
