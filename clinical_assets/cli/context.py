"""What every command needs: the installation, and one cohort of it."""

from __future__ import annotations

from functools import cache

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import Settings
from clinical_assets.workspace import CohortHandle, Workspace


@cache
def workspace() -> Workspace:
    """The installation as the environment described it when the command started."""
    return Workspace.from_environment()


def settings() -> Settings:
    """Its folders and limits."""
    return workspace().settings


def catalogue() -> Catalogue:
    """All cohorts that it knows."""
    return workspace().catalogue


def cohort(name: str) -> CohortHandle:
    """A known cohort.

    Raises
    ------
    ClinicalAssetsError
        When no cohort has this name; names the nearest.
    """
    handle = workspace().cohort(name)
    handle.entry  # noqa: B018 - a name that nobody knows is refused at once
    return handle
