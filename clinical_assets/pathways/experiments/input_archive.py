"""What a study was made from, kept under its digest: matrix, sample sheet, gene sets, gene list.

What belongs here: putting files into the archive and getting them back. What does not: reading them (``inputs``).

The archive lies in the cohort's folder, because its files name subjects: the MLflow run, which may be on a server,
holds their digests alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.cohorts.paired.sweeps import is_file_name
from clinical_assets.foundation.atomic_files import PRIVATE, new_file
from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import ClinicalAssetsError

ARCHIVE = "inputs"


class ArchiveError(ClinicalAssetsError):
    """An input that is not in the archive, or is not what its digest says."""


@dataclass(frozen=True)
class ArchivedInput:
    """One input file.

    Attributes
    ----------
    path : str
        As the description names it, below the description's folder.
    sha256 : str
        64 hexadecimal digits.
    bytes : int
    """

    path: str
    sha256: str
    bytes: int


def input_paths(spec: PairedCohortSpec, folder: Path) -> tuple[str, ...]:
    """Every file that the description names, in their order; a folder gives its files."""
    sets = spec.gene_sets
    named: list[str | None] = [
        getattr(getattr(spec.expression, "mapping", None), "org_db", None),
        *(getattr(sets, name, None) for name in ("path", "org_db", "go_db")),
        spec.normalisation.genes,
        *(sweep for sweep in spec.study.sweeps.values() if isinstance(sweep, str) and is_file_name(sweep)),
    ]
    return tuple(dict.fromkeys([*subject_paths(spec, folder), *_files(named, folder)]))


def subject_paths(spec: PairedCohortSpec, folder: Path) -> tuple[str, ...]:
    """Those of them that hold subjects: matrix and sample sheet."""
    return _files([getattr(spec.expression, name, None) for name in ("matrix", "samples", "path")], folder)


def _files(named: Sequence[str | None], folder: Path) -> tuple[str, ...]:
    paths: list[str] = []
    for name in named:
        if name is None:
            continue
        whole = folder / name
        inside = sorted(each.name for each in whole.iterdir() if each.is_file()) if whole.is_dir() else []
        paths += [f"{name.rstrip('/')}/{each}" for each in inside] if whole.is_dir() else [name]
    return tuple(dict.fromkeys(paths))


def archive_inputs(spec: PairedCohortSpec, folder: Path, *, cohort_folder: Path) -> tuple[ArchivedInput, ...]:
    """Keep every input under its digest; one that is there already is not written again.

    Parameters
    ----------
    spec : PairedCohortSpec
        The description.
    folder : Path
        Where the description lies.
    cohort_folder : Path
        Where the cohort's state lies.
    """
    kept = []
    for name in input_paths(spec, folder):
        source = folder / name
        digest = file_sha256(source)
        place = cohort_folder / ARCHIVE / digest
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with new_file(place, mode=PRIVATE) as new:
                shutil.copyfile(source, new)
                _verify(new, digest, name)
        kept.append(ArchivedInput(name, digest, source.stat().st_size))
    return tuple(kept)


def restore_inputs(inputs: tuple[ArchivedInput, ...], *, cohort_folder: Path, into: Path) -> None:
    """Put archived inputs where a description in `into` looks for them.

    Raises
    ------
    ArchiveError
        One is missing, was changed, or leads out of `into`.
    """
    for one in inputs:
        place = (into / one.path).resolve()
        if not place.is_relative_to(into.resolve()):
            raise ArchiveError(f"the input {one.path!r} leads out of the folder", cure="restore it by hand")
        archived = cohort_folder / ARCHIVE / one.sha256
        if not archived.is_file():
            raise ArchiveError(f"the input {one.path!r} is not in the archive any more", cure="give back its archive")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(archived, place)
        _verify(place, one.sha256, one.path)


def _verify(path: Path, digest: str, name: str) -> None:
    if file_sha256(path) != digest:
        raise ArchiveError(f"the input {name!r} is not what its digest says", cure="run again once nobody writes to it")
