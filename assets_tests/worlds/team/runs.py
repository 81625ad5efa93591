"""A team's cohorts materialised side by side in real worker processes, once for all tests that look at the outcome.

One cohort is run twice at the same time, one breaks its description, one has nobody with the outcome, and one loses
its process in the middle of writing features.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.team.cohorts import MARK, Team, listing
from clinical_assets.defs.resources import Platform
from clinical_assets.launch.cohort_run import CohortRun, StepState
from clinical_assets.launch.side_by_side import materialize
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.snapshots.digests import table_digest
from clinical_assets.warehouse.validation.validation import validate_cohort
from clinical_assets.workspace import CohortHandle

SOUND, BROKEN, EVENTLESS, KILLED = "ward_sound", "ward_broken", "ward_eventless", "ward_killed"
# Every visit with every visit with every visit ...: a statement that is still running when its process is killed.
ENDLESS = "SELECT s.patient_id, (SELECT count(*) FROM {others}) AS pairs FROM {{{{ source('subjects') }}}} AS s\n"


_FILE = "launched.json"


@dataclass(frozen=True)
class SideBySide:
    """What the launch left behind.

    Attributes
    ----------
    runs : list of CohortRun
        The sound cohort twice, then the broken one, the one without events, the killed one.
    written_elsewhere : set of Path
        What appeared in the working folder, the home folder and the folder for temporary files.
    digests_before : dict
        Of the killed cohort's tables as an earlier run had left them.
    """

    data: Path
    catalogue: Path
    runs: list[CohortRun]
    steps_seen: dict[str, set[str]]
    written_elsewhere: set[Path]
    digests_before: dict[str, str]

    def cohort(self, name: str) -> CohortHandle:
        return Platform(data=str(self.data), catalogue=str(self.catalogue)).cohort(name)

    @contextlib.contextmanager
    def environment(self) -> Iterator[pytest.MonkeyPatch]:
        """The environment in which the team works."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("KEY", "KEY_FILE", "LOCK_PATIENCE_S", "MEMORY"):
                patch.delenv(f"CLINICAL_ASSETS_{name}", raising=False)
            patch.delenv("DAGSTER_HOME", raising=False)
            patch.setenv("CLINICAL_ASSETS_DATA", str(self.data))
            patch.setenv("CLINICAL_ASSETS_CATALOGUE", str(self.catalogue))
            patch.setenv("CLINICAL_ASSETS_THREADS", "1")
            yield patch


def digests(cohort: CohortHandle) -> dict[str, str]:
    """Digest of every table of a cohort but the ledger of ingestions, which holds the time."""
    names = [f'{info.schema}."{info.name}"' for info in cohort.warehouse.tables() if info.schema != "meta"]
    with cohort.warehouse.reader() as connection:
        return {name: table_digest(connection, name) for name in names}


def make_tables(cohort: CohortHandle) -> None:
    """What the assets do, without Dagster: source to features."""
    ingest(cohort.spec, settings=cohort.settings, folder=cohort.entry.folder)
    validate_cohort(cohort.spec, cohort.warehouse)
    build_features(cohort.spec, cohort.sql, cohort.warehouse)


def side_by_side_once(factory: pytest.TempPathFactory) -> SideBySide:
    """What the launch left behind, once per session; look, do not touch."""
    folder = shared_folder(factory, "side_by_side", _launch)
    return TypeAdapter(SideBySide).validate_json((folder / _FILE).read_bytes())


def _launch(folder: Path) -> None:
    """Write the cohorts, materialise them, and kill one worker on the way."""
    catalogue, data = folder / "catalogue", folder / "data"
    elsewhere = [folder / name for name in ("working", "home", "temporary")]
    for place in (catalogue, *elsewhere):
        place.mkdir()
    steps_seen: dict[str, set[str]] = {}
    place = SideBySide(data, catalogue, [], steps_seen, set(), {})
    _write(catalogue)
    with place.environment() as patch:
        make_tables(place.cohort(KILLED))
        before = digests(place.cohort(KILLED))
        others = ", ".join(f"{{{{ source('visits') }}}} AS v{number}" for number in range(6))
        (catalogue / "features" / f"{KILLED}_week.sql").write_text(ENDLESS.format(others=others), encoding="utf-8")
        (catalogue / "features" / f"{KILLED}_week.yml").unlink()
        patch.chdir(elsewhere[0])
        patch.setenv("HOME", str(elsewhere[1]))
        patch.setenv("TMPDIR", str(elsewhere[2]))
        patch.delenv("MPLCONFIGDIR", raising=False)
        killed = threading.Event()

        def follow(cohort: str, steps: tuple[StepState, ...]) -> None:
            steps_seen.setdefault(cohort, set()).update(step.step for step in steps)
            writing = any(step.step == "features" and step.state == "in_progress" for step in steps)
            if cohort == KILLED and writing and not killed.is_set():
                killed.set()
                holder = data / "warehouse" / f"{KILLED}.holder"
                os.kill(int(holder.read_text(encoding="ascii")), signal.SIGKILL)

        runs = materialize([SOUND, SOUND, BROKEN, EVENTLESS, KILLED], job="ingest_cohort", workers=2, progress=follow)
        assert killed.is_set()
    made = replace(place, runs=runs, written_elsewhere=listing(*elsewhere), digests_before=before)
    (folder / _FILE).write_bytes(TypeAdapter(SideBySide).dump_json(made))


def _write(catalogue: Path) -> None:
    sound = Team(SOUND)
    sound.description["features"] = SOUND
    broken = Team(BROKEN)
    broken.limit(0.01)
    broken.change("subjects", 4, PatID=f"{MARK}-0003")
    broken.change("subjects", 6, sex="male")
    eventless = Team(EVENTLESS)
    for number in range(1, len(eventless.subjects) + 1):
        eventless.change("subjects", number, died="no", followed_days=365)
    killed = Team(KILLED)
    for team in (broken, eventless):
        team.description["features"] = "ward_week"
    killed.description["features"] = f"{KILLED}_week"
    for team in (sound, broken, eventless, killed):
        team.write(catalogue)
