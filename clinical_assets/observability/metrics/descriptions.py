"""Cohort descriptions for whoever asks often: read once, and again when their file changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.stand_in import in_use

if TYPE_CHECKING:
    from pathlib import Path


def stamp(path: Path) -> tuple[int, int] | None:
    """Time and size of a file, by which a change of it is seen; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


class Descriptions:
    """Checked descriptions by cohort, as they hold now: the stand-in's while a cohort's files lie nowhere."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, CohortSpec]] = {}

    def of(self, catalogue: Catalogue, cohort: str, settings: Settings) -> CohortSpec:
        """The checked description of a cohort.

        Raises
        ------
        SpecError
            It is unknown, or wrong.
        """
        entry = catalogue.entry(cohort)
        mark = (entry.path, stamp(entry.path), entry.member)
        kept = self._kept.get(cohort)
        if kept is None or kept[0] != mark:
            kept = self._kept[cohort] = (mark, catalogue.spec(cohort))
        return in_use(kept[1], settings=settings, folder=entry.folder)
