"""What many tests need: a data folder of their own, and a small description that is right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.settings import (
    ACTOR,
    ADVISORIES,
    ALERT_SECRET,
    ALERT_URLS,
    CATALOGUE,
    DATA,
    KEY,
    KEY_FILE,
    KEYS,
    RECORDS_URI,
    SENTRY_DSN,
    TRACKING_URI,
    Settings,
)

if TYPE_CHECKING:
    from assets_tests.team_runs import SideBySide

MINIMAL: dict[str, Any] = {
    "name": "small_cohort",
    "title": "A small cohort for tests",
    "disease": {"name": "Test disease", "icd10": ["Z00"]},
    "intended_use": "Show how a description behaves.",
    "not_for": "Patients.",
    "owner": {"team": "Tests"},
    "data": {"kind": "synthetic", "source": "made here", "licence": "CC0", "limits": ["It is made up."]},
    "prediction": {"moment": "At admission."},
    "subject": "patient_id",
    "tables": {
        "subjects": {
            "description": "One row per patient.",
            "source": {"kind": "file", "path": "small_cohort.csv"},
            "key": ["patient_id"],
            "columns": {
                "patient_id": {"type": "string", "role": "identifier", "nullable": False, "description": "Patient."},
                "age_years": {"type": "integer", "range": [0, 120], "unit": "a", "description": "Age."},
                "sex": {
                    "type": "string",
                    "role": ["feature", "protected"],
                    "categories": ["f", "m"],
                    "description": "Sex.",
                },
                "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died in hospital."},
            },
        }
    },
    "features": "declared_columns",
    "outcome": "target_class",
    "target": {"description": "Death in hospital.", "classes": ["alive", "dead"]},
    "decisions": {
        "costs": {"false_positive": 1, "false_negative": 4, "rationale": "For tests."},
        "tiers": [{"name": "Low", "lower": 0, "action": "None."}, {"name": "High", "lower": 0.5, "action": "Look."}],
    },
}


@pytest.fixture
def minimal() -> dict[str, Any]:
    """A right description as plain values, to be changed by the test."""
    return copy.deepcopy(MINIMAL)


@pytest.fixture
def small_spec(minimal: dict[str, Any]) -> CohortSpec:
    """A right description."""
    return CohortSpec.model_validate(minimal)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose data folder is the test's own; the environment says the same."""
    monkeypatch.setenv(DATA, str(tmp_path / "data"))
    others = (KEYS, ACTOR, ADVISORIES, ALERT_URLS, ALERT_SECRET, SENTRY_DSN)
    for name in (CATALOGUE, KEY, KEY_FILE, TRACKING_URI, RECORDS_URI, *others):
        monkeypatch.delenv(name, raising=False)
    return Settings.from_environment()


@pytest.fixture
def write_yaml(tmp_path: Path) -> Callable[..., Path]:
    """Write values as a description file named like the cohort."""

    def write(value: dict[str, Any], *, folder: Path | None = None) -> Path:
        place = folder or tmp_path
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{value['name']}.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """A team's cohorts, materialised side by side: sound ones, broken ones, and one whose process was killed."""
    from assets_tests.team_runs import launch_side_by_side

    return launch_side_by_side(tmp_path_factory.mktemp("side_by_side"))
