"""A cohort whose tables stand, and what goes wrong at a team's desk."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets_tests.worlds.team.cohorts import MARK, Team
from assets_tests.worlds.team.runs import digests, make_tables
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.workspace import CohortHandle

NAME = "ward_fault"


class Ward:
    """A cohort whose tables stand, and what a next run makes of changed records."""

    def __init__(self, settings: Settings, catalogue: Path) -> None:
        self.settings = settings
        self.catalogue = catalogue
        catalogue.mkdir()
        self.team = Team(NAME)
        self.write()
        make_tables(self.cohort)
        self.before = digests(self.cohort)

    @property
    def cohort(self) -> CohortHandle:
        return Platform(data=str(self.settings.data), catalogue=str(self.catalogue)).cohort(NAME)

    def file(self, table: str) -> Path:
        return self.catalogue / NAME / f"{table}.csv"

    def write(self) -> None:
        self.team.write(self.catalogue)

    def run(self) -> None:
        make_tables(self.cohort)

    def changed(self) -> set[str]:
        """Schemas with a table that is not what it was."""
        now = digests(self.cohort)
        return {
            name.split(".")[0] for name in now.keys() | self.before.keys() if now.get(name) != self.before.get(name)
        }

    def findings(self) -> list[tuple[str, int, str, str, str, str]]:
        """Table, record, column, rule, reason and cure of every finding."""
        return self.cohort.warehouse.query(
            "SELECT table_name, _row, column_name, rule, reason, cure FROM quarantine.findings ORDER BY ALL"
        ).rows()


def told(caught: pytest.ExceptionInfo[ClinicalAssetsError]) -> str:
    """The whole message, which shows no identifier and no stack."""
    text = str(caught.value)
    assert MARK not in text
    assert "Traceback" not in text
    assert caught.value.cure
    return text
