"""Whole cohorts go through the real job on a real instance, and everything that Dagster keeps of it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCauseCategory, StaleStatus
from dagster._core.definitions.partitions.utils import PartitionKeyFilter  # noqa: F401
from dagster._core.loader import LoadingContextForTest

from assets_tests.assets.graphs import COHORT, data_versions, files_that_hold, metadata_of, run_check, run_job
from assets_tests.team_cohorts import MARK, SUBJECTS, Team
from clinical_assets.assets import cohort_checks, cohorts, features
from clinical_assets.assets.resources import Platform
from clinical_assets.definitions import defs
from clinical_assets.warehouse.store import Warehouse

ASSETS = ("raw_records", "validated_records", "quarantined_records", "features", "cohort_overview")
