"""What many tests need: a data folder of their own, and a small description that is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import yaml

from assets_tests.worlds import descriptions
from assets_tests.worlds.ward.trained import Trained, shared_ward
from clinical_assets.cli import context
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import (
    ACTOR,
    ADVISORIES,
    ALERT_SECRET,
    ALERT_URLS,
    CATALOGUE,
    DATA,
    INBOX_FOLDER_SETTLED,
    INBOX_SETTLED,
    INSTALLATION,
    KEY,
    KEY_FILE,
    KEYS,
    RECORDS_URI,
    SENTRY_DSN,
    TRACKING_URI,
    WITNESSES,
    Settings,
)
from clinical_assets.governance.gates.performance import latency
from clinical_assets.governance.signing import passwords

if TYPE_CHECKING:
    from assets_tests.worlds.team.runs import SideBySide

# `make` points Dagster at the state of this checkout, which no test may touch; each test has an instance of its own.
os.environ.pop("DAGSTER_HOME", None)

# Here once, for every property: a busy machine is no reason to fail, and a fixture of the function's may serve all
# examples of a test. `hypothesis.settings`, because `settings` is a fixture below.
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.register_profile("fast", hypothesis.settings.get_profile("ci"), max_examples=10)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Passwords of tests are worth no guess; what a guess costs elsewhere is tested with the passwords."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", passwords.HashCost(memory_kib=64, passes=1, lanes=1))
        yield


@pytest.fixture(autouse=True, scope="session")
def short_measurements() -> Iterator[None]:
    """Latency is measured as often as a judgement needs at least; more blocks only narrow its interval."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "BLOCKS", latency.LEAST_BLOCKS)
        yield


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The command line and runs make files for their account alone, for as long as their process lives."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def own_installation() -> Iterator[None]:
    """A command finds the installation of its test, also where a test calls a command's function by itself."""
    yield
    context.workspace.cache_clear()


@pytest.fixture
def minimal() -> dict[str, Any]:
    """A right description as plain values, to be changed by the test."""
    return descriptions.minimal()


@pytest.fixture
def small_spec(minimal: dict[str, Any]) -> CohortSpec:
    """A right description."""
    return CohortSpec.model_validate(minimal)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose data folder is the test's own; the environment says the same."""
    monkeypatch.setenv(DATA, str(tmp_path / "data"))
    others = (
        KEYS,
        ACTOR,
        ADVISORIES,
        ALERT_URLS,
        ALERT_SECRET,
        SENTRY_DSN,
        INBOX_SETTLED,
        INBOX_FOLDER_SETTLED,
        INSTALLATION,
        WITNESSES,
    )
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
    from assets_tests.worlds.team.runs import side_by_side_once

    return side_by_side_once(tmp_path_factory)


# Files that keep a worker busy for the longest begin first, so that none of them is left alone at the end.
# (`make test` hands files out in this order.) Files that ask for one world stand apart: the second would wait for it.
LONGEST = (
    "test_scenarios",
    "test_micro_cohorts",
    "test_models",
    "test_release",
    "test_killed_changes",
    "test_secrets_scan",
    "test_studies",
    "test_validation",
    "test_cli",
    "test_erasure",
    "test_registry",
    "test_mlflow_runs",
    "test_scan",
    "test_faults",
    "test_machine_faults",
    "test_outcome_files",
    "test_killed_and_full",
    "test_signatures",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all others stay where they are."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The cohort as it was trained; look, do not touch."""
    return shared_ward(tmp_path_factory)


@pytest.fixture
def trained(trained_once: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The cohort in a folder of the test's own; the environment says the same."""
    mine = trained_once.copy_to(tmp_path / "trained")
    monkeypatch.setenv(DATA, str(mine.settings.data))
    monkeypatch.setenv(CATALOGUE, str(mine.settings.catalogue[0]))
    monkeypatch.setenv(ACTOR, str(mine.settings.actor))
    for name in (KEY, KEY_FILE, TRACKING_URI, RECORDS_URI, KEYS):
        monkeypatch.delenv(name, raising=False)
    return mine
