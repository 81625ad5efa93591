"""What Dagster loads: every definition that stands in the folder ``defs``.

Importing this module reads nothing; calling ``defs`` imports the folder, and lists the cohorts of the platform's
catalogue as partitions (``defs.partitions``), once per process.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import dagster as dg

import clinical_assets.defs

# Partitioned checks and data versions per partition are what this platform stands on; their beta label is known.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


@cache
def load() -> dg.Definitions:
    """Every definition of this code location; the same object at every call of a process.

    Not ``load_from_defs_folder``, which asks for a pyproject.toml, and an installed package has none.
    """
    root = Path(__file__).resolve().parents[1]
    return dg.ComponentTree(defs_module=clinical_assets.defs, project_root=root).build_defs()


@dg.definitions
def defs() -> dg.Definitions:
    """The entry point of Dagster's tools."""
    return load()
