"""One handle leads to everything about a cohort, reads nothing before it is asked, and loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.workspace import Workspace


def test_a_handle_leads_to_description_tables_training_and_champion(trained_once: Trained) -> None:
    cohort = Workspace(trained_once.settings, trained_once.catalogue).cohort(COHORT)
    assert cohort.spec == trained_once.catalogue.spec(COHORT)
    assert cohort.warehouse.exists()
    assert cohort.training().results.bundle_digest == cohort.training().bundle().digest
    assert cohort.training(cohort.training().bundle().digest).folder == cohort.training().folder
    assert cohort.champion() is None
    assert cohort.records is cohort.workspace.records


def test_a_description_may_stand_in_for_the_catalogues(trained_once: Trained) -> None:
    workspace = Workspace(trained_once.settings, trained_once.catalogue)
    other = workspace.cohort(COHORT).spec.model_copy(update={"title": "Another"})
    assert type(workspace.cohort(COHORT))(COHORT, workspace, other).spec.title == "Another"


def test_a_name_that_nobody_knows_is_refused_when_it_is_asked_for(trained_once: Trained) -> None:
    cohort = Workspace(trained_once.settings, trained_once.catalogue).cohort("made_up_wart")
    with pytest.raises(ClinicalAssetsError, match=COHORT):
        _ = cohort.spec


def test_making_a_handle_loads_no_table_engine() -> None:
    code = (
        "import sys; from clinical_assets.workspace import Workspace\n"
        "Workspace.from_environment().cohort('heart_disease')\n"
        "print(*[m for m in 'dagster duckdb polars numpy sqlalchemy sklearn'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
