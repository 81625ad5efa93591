"""A cohort is a partition: the names that every asset is partitioned by.

Dagster needs the names when definitions load, and asks for them once: the catalogue is read when the first asset of a
process is declared, at the place that the platform names (``resources.platform``). Only file names and the tables of
families are listed; no description is read until a run or a page asks for it. A cohort whose description is wrong keeps
its partition, and its runs say what is wrong; what can be no cohort is left out and logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache

import dagster as dg

from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.cohorts.registry import CatalogueNote
from clinical_assets.defs.resources import platform

_log = logging.getLogger(__name__)


@cache
def cohorts() -> dg.StaticPartitionsDefinition:
    """Every cohort of the platform's catalogue."""
    catalogue = platform().cohorts()
    _say(catalogue.notes)
    return dg.StaticPartitionsDefinition(list(catalogue.names()))


@cache
def micro_cohorts() -> dg.StaticPartitionsDefinition:
    """Every paired cohort of the same folders; micro-cohorts have assets of their own."""
    paired = paired_catalogue(platform().cohorts().folders)
    _say(paired.notes)
    return dg.StaticPartitionsDefinition(list(paired.names()))


def _say(notes: Iterable[CatalogueNote]) -> None:
    for note in notes:
        _log.warning("%s %s", note.text, note.cure)
