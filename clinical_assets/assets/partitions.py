"""A cohort is a partition: the names that every asset is partitioned by.

Dagster needs the names when definitions load. Only file names and the tables of families are listed here; no
description is read until a run or a page asks for it.
"""

from __future__ import annotations

import dagster as dg

from clinical_assets.cohorts.paired import paired_catalogue
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.settings import Settings

_CATALOGUE = Catalogue.from_settings(Settings.from_environment())

COHORTS = dg.StaticPartitionsDefinition(list(_CATALOGUE.names()))
#: Micro-cohorts have assets of their own.
PAIRED = dg.StaticPartitionsDefinition(list(paired_catalogue(_CATALOGUE.folders).names()))
