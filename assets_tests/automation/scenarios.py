"""A cohort whose truth is known, released for real, and what may happen to it afterwards. All of it is made up.

``released`` takes a team's description and records through training, gates, dossier, signatures and promotion once a
session, by the project's own jobs on a Dagster instance of its own; every test works on a copy. ``World`` is what a
ward would do from then on: drop files of records, drop outcomes later, and look at what the platform made of them.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml

from assets_tests.assets.graphs import QUIET
from assets_tests.conftest import MINIMAL
from clinical_assets.definitions import defs
from clinical_assets.governance.signatures import Proof
from clinical_assets.settings import Settings

# A cohort of a team may stand in for a shipped one of the same name, so this process knows its partition.
COHORT = "heart_disease"
TRAINED_ON = 2_000
PEOPLE = {"ann": ("Ann Acker", ("reviewer",)), "bob": ("Bob Brook", ("reviewer",))}
_COLUMNS: dict[str, Any] = {
    "patient_id": {
        "type": "string",
        "role": "identifier",
        "nullable": False,
        "unique": True,
        "description": "Number of the patient.",
    },
    "age_years": {"type": "integer", "unit": "a", "range": [0, 120], "plausible": [18, 105], "description": "Age."},
    "sex": {"type": "string", "role": ["protected"], "categories": ["f", "m"], "description": "Sex."},
    "marker_a": {"type": "number", "unit": "mg/dL", "description": "A marker."},
    "marker_b": {"type": "number", "unit": "mg/dL", "description": "Another marker."},
    "pressure_mmhg": {"type": "number", "unit": "mm[Hg]", "range": [0, 400], "description": "Systolic pressure."},
    "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died in hospital."},
}
# Limits are the made-up owner's; a holdout of five hundred decides little, so they are wide.
DESCRIPTION: dict[str, Any] = {
    **{name: value for name, value in MINIMAL.items() if name != "tables"},
    "name": COHORT,
    "title": "Ward patients whose truth is known (synthetic)",
    "tables": {
        "subjects": {
            "description": "One row per patient.",
            "source": {"kind": "file", "path": f"{COHORT}/subjects.csv"},
            "key": ["patient_id"],
            "columns": _COLUMNS,
        }
    },
    "modelling": {
        "candidates": ["logistic_ridge"],
        "search": {"trials": 2, "inner_folds": 2, "outer_folds": 3, "seed": 11},
    },
    "decisions": {
        **MINIMAL["decisions"],
        "limits": {
            "calibration_slope": [0.5, 1.8],
            "calibration_intercept": [-0.7, 0.7],
            "calibration_slope_difference": 1.0,
            "tpr_difference": 0.35,
            "fpr_difference": 0.35,
            "selection_rate_ratio": 0.3,
        },
    },
    "pccp": {
        "reference": "QM-0 (made up)",
        "permitted": [
            {"kind": kind, "criteria": {"calibration_slope": [0.5, 1.8], "calibration_intercept": [-0.7, 0.7]}}
            for kind in ("intercept", "intercept_and_slope", "refit")
        ],
    },
    "monitoring": {"minimum_n": 200, "minimum_outcomes": 200, "minimum_events": 30},
}


_SETTLING = 2.1


def secret(login: str) -> str:
    """The password of a person of these tests."""
    return f"{login} says friend and enters"


_BOB = Proof(login="bob", secret=secret("bob"))


@dataclass(frozen=True)
class Truth:
    """Who comes, what they have, and what becomes of them; the defaults are the ward that the model was trained on.

    Attributes
    ----------
    age_years, age_spread : float
        Mean and standard deviation of age.
    shift : float
        Added to everybody's log-odds: another prevalence for the same patients.
    steepness : float
        Multiplies what patients differ by in log-odds: below 1, risks spread too far.
    a, b : float
        Log-odds per unit of the markers: changed, the markers mean something else.
    men : float
        Added to the log-odds of men, and taken from those of women.
    pressure : float or None
        What a broken sensor says of everybody.
    """

    age_years: float = 65.0
    age_spread: float = 10.0
    shift: float = 0.0
    steepness: float = 1.0
    a: float = 1.0
    b: float = -0.8
    men: float = 0.0
    pressure: float | None = None


@dataclass(frozen=True)
class Arrived:
    """Patients as columns: what a file of records holds, and what becomes known later."""

    records: dict[str, list[Any]]
    died: np.ndarray
    risk: np.ndarray

    def rows(self, *, later: bool = False) -> list[dict[str, Any]]:
        """Records, with their outcome if it is known."""
        columns = {**self.records, "died": self.words()} if later else self.records
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def outcomes(self, **more: list[Any]) -> list[dict[str, Any]]:
        """Rows of an outcome file."""
        columns = {"patient_id": self.records["patient_id"], "died": self.words(), **more}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def words(self) -> list[str]:
        return ["yes" if each else "no" for each in self.died]


def patients(count: int, *, truth: Truth | None = None, seed: int, prefix: str = "W") -> Arrived:
    """Draw patients from a truth."""
    told, rng = truth or Truth(), np.random.default_rng(seed)
    age = np.clip(np.rint(rng.normal(told.age_years, told.age_spread, count)), 20, 100)
    a, b = rng.normal(size=count), rng.normal(size=count)
    pressure = rng.normal(130, 15, count)
    male = rng.random(count) < 0.5
    differs = 0.04 * (age - 65) + told.a * a + told.b * b - 0.02 * (pressure - 130)
    odds = -1.0 + told.shift + told.steepness * differs + np.where(male, told.men, -told.men)
    risk = 1 / (1 + np.exp(-odds))
    died = rng.random(count) < risk
    shown = pressure if told.pressure is None else np.full(count, told.pressure)
    records: dict[str, list[Any]] = {
        "patient_id": [f"{prefix}{number:05d}" for number in range(count)],
        "age_years": age.astype(int).tolist(),
        "sex": np.where(male, "m", "f").tolist(),
        "marker_a": a.round(4).tolist(),
        "marker_b": b.round(4).tolist(),
        "pressure_mmhg": shown.round(1).tolist(),
    }
    return Arrived(records, died, risk)


@dataclass
class World:
    """A data folder with a champion, the Dagster instance in it, and time going on.

    Attributes
    ----------
    cursor : AssetDaemonCursor or None
        What the automation conditions have seen.
    """

    folder: Path
    cursor: Any = None
    sensor_cursors: dict[str, str | None] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return Settings.from_environment()

    @property
    def inbox(self) -> Path:
        return self.settings.inbox / COHORT

    @contextlib.contextmanager
    def environment(self, **more: str) -> Iterator[World]:
        """The environment in which the team works."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [each for each in os.environ if each.startswith("CLINICAL_ASSETS_")]:
                patch.delenv(name)
            patch.delenv("DAGSTER_HOME", raising=False)
            for name, value in {**self.variables(), **more}.items():
                patch.setenv(name, value)
            yield self

    def variables(self) -> dict[str, str]:
        """The environment of a process that works on this folder."""
        return {
            "CLINICAL_ASSETS_DATA": str(self.folder / "data"),
            "CLINICAL_ASSETS_CATALOGUE": str(self.folder / "catalogue"),
            "CLINICAL_ASSETS_ADVISORIES": str(self.folder / "advisories"),
            "CLINICAL_ASSETS_THREADS": "1",
            "CLINICAL_ASSETS_MEMORY": "1GB",
            "CLINICAL_ASSETS_OFFLINE": "1",
            "CLINICAL_ASSETS_ACTOR": "ann",
        }

    def describe(self, **changes: Any) -> None:
        """Change top-level parts of the description."""
        path = self.folder / "catalogue" / f"{COHORT}.yaml"
        value = {**yaml.safe_load(path.read_text(encoding="utf-8")), **changes}
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")

    def drop(self, name: str, rows: list[dict[str, Any]] | bytes) -> Path:
        """Put a complete file into the inbox, ``outcomes/`` before its name for outcomes."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written elsewhere and renamed, as whoever sends files should do.
        work = path.with_name(f".{path.name}")
        if isinstance(rows, bytes):
            work.write_bytes(rows)
        else:
            with work.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        work.rename(path)
        return path

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        from clinical_assets.launch import open_instance

        with open_instance() as instance:
            yield instance

    def run(self, job: str, *assets: str, tags: Mapping[str, str] | None = None) -> Ran:
        """Run a job, or some assets of it, for the cohort in this process."""
        with self.instance() as instance:
            result = defs.resolve_job_def(job).execute_in_process(
                partition_key=COHORT,
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                raise_on_error=False,
                run_config=QUIET,
                tags=dict(tags or {}),
            )
            return Ran(result)

    def monitor(self) -> Ran:
        """What the inbox's sensor starts once files have settled."""
        time.sleep(_SETTLING)
        ran = self.run("monitor_cohort", tags={"dagster/sensor_name": "inbox"})
        assert ran.success, ran.errors
        return ran

    def arrive(self, name: str, came: Arrived, **feedback: list[Any]) -> Ran:
        """Records, and their outcomes, in one monitoring run; records are taken in first."""
        self.drop(f"{name}.csv", came.rows())
        self.drop(f"outcomes/{name}.csv", came.outcomes(**feedback))
        return self.monitor()

    def ask(self, sensor: str) -> list[dg.RunRequest]:
        """What a sensor asks for now; its cursor is kept."""
        found = next(each for each in defs.sensors or () if each.name == sensor)
        with (
            self.instance() as instance,
            dg.build_sensor_context(
                instance=instance, cursor=self.sensor_cursors.get(sensor), definitions=defs
            ) as context,
        ):
            tick = found.evaluate_tick(context)
        self.sensor_cursors[sensor] = tick.cursor or self.sensor_cursors.get(sensor)
        return list(tick.run_requests or ())

    def follow(self, request: dg.RunRequest, sensor: str) -> Ran:
        """Run what a sensor asked for, tagged as the daemon would."""
        assert request.partition_key == COHORT
        tags = {**request.tags, "dagster/sensor_name": sensor, "dagster/run_key": str(request.run_key)}
        alone = next(each for each in defs.sensors or () if each.name == sensor).targets[0].job_name
        return self.run(request.job_name or alone, tags=tags)

    def due(self) -> set[str]:
        """Assets that automation conditions of the release ask for now."""
        with self.instance() as instance:
            found = dg.evaluate_automation_conditions(
                defs=defs,
                instance=instance,
                asset_selection=dg.AssetSelection.groups("release"),
                cursor=self.cursor,
            )
        self.cursor = found.cursor
        names = ("gate_verdicts", "release_dossier", "champion_model")
        return {name for name in names if COHORT in found.get_requested_partitions(dg.AssetKey(name))}

    def release_automation(self) -> list[set[str]]:
        """Let the release's automation act until it asks for nothing; what it asked for, look by look."""
        seen: list[set[str]] = []
        for _ in range(6):
            asked = self.due()
            seen.append(asked)
            tags = {"dagster/sensor_name": "release_automation"}
            if asked & {"gate_verdicts", "release_dossier"}:
                self.run("prepare_release", *sorted(asked & {"gate_verdicts", "release_dossier"}), tags=tags)
            if "champion_model" in asked:
                self.run("promote_champion", tags=tags)
            if not asked and len(seen) > 1:
                break
        return seen

    # What people and screens would see.

    def entries(self, action: str | None = None) -> list[Any]:
        """The cohort's ledger entries, the oldest first."""
        from clinical_assets.records.database import RecordsDatabase
        from clinical_assets.records.ledger import Ledger

        return list(Ledger(RecordsDatabase(self.settings)).entries(cohort=COHORT, action=action))  # type: ignore[arg-type]

    def champion(self) -> str:
        from clinical_assets.governance import champions

        serving = champions.current(self.settings, COHORT)
        assert serving is not None
        return serving.digest

    def candidate(self) -> Any:
        """The newest model as a release candidate."""
        from clinical_assets.cohorts.registry import Catalogue
        from clinical_assets.governance.candidate import candidate_of

        return candidate_of(COHORT, settings=self.settings, catalogue=Catalogue.from_settings(self.settings))

    def blockers(self) -> dict[str, list[str]]:
        """What stands against the newest model, by code."""
        from clinical_assets.governance import promotion

        found: dict[str, list[str]] = {}
        for each in promotion.blockers(self.candidate()):
            found.setdefault(each.code, []).append(each.message)
        return found

    def count(self, sql: str) -> int:
        """One number from the cohort's warehouse."""
        from clinical_assets.warehouse.store import Warehouse

        with Warehouse(COHORT, self.settings).reader() as connection:
            (number,) = connection.execute(sql).fetchone() or (0,)
        return int(number)

    def waive(self) -> None:
        """Bob answers for what could not be judged."""
        from clinical_assets.governance import signatures
        from clinical_assets.governance.verdict_store import latest_verdicts
        from clinical_assets.launch import report_approval

        candidate = self.candidate()
        for run in latest_verdicts(candidate.records, bundle_digest=candidate.digest).values():
            for verdict in run.verdicts:
                if verdict.verdict == "insufficient":
                    given = signatures.waive(
                        candidate,
                        dossier_digest=self.dossier(),
                        proof=_BOB,
                        gate=run.gate,
                        criterion=verdict.criterion,
                        reason="Made-up patients; watched after release.",
                    )
                    report_approval(given)

    def sign(self) -> None:
        """Bob waives what could not be judged and approves, on the dossier as it lies there; Dagster is told."""
        from clinical_assets.governance import signatures
        from clinical_assets.launch import report_approval

        self.waive()
        meaning = "I have read the dossier and agree."
        report_approval(
            signatures.approve(self.candidate(), dossier_digest=self.dossier(), proof=_BOB, meaning=meaning)
        )

    def dossier(self) -> str:
        """Digest of the newest model's dossier."""
        from clinical_assets.governance.dossier import load_dossier

        return load_dossier(self.settings, COHORT, self.candidate().digest).digest

    def copy_to(self, folder: Path) -> World:
        """The same world in a folder of a test's own."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder, sensor_cursors=dict(self.sensor_cursors))


@dataclass(frozen=True)
class Ran:
    """A finished run, as the UI would show it."""

    result: dg.ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def errors(self) -> list[str]:
        failures = [event for event in self.result.all_events if event.is_step_failure]
        return [str(event.step_failure_data.user_failure_data or event.step_failure_data.error) for event in failures]

    def shown(self, asset: str) -> dict[str, Any]:
        """Metadata of a materialisation, as plain values."""
        found = next(
            event.materialization.metadata
            for event in self.result.all_events
            if event.is_step_materialization
            and event.asset_key is not None
            and event.asset_key.to_user_string() == asset
        )
        return {name: getattr(value, "value", value) for name, value in found.items()}

    def checks(self) -> dict[str, tuple[bool, str]]:
        """Whether each check held, and how much it matters."""
        return {
            each.check_name: (each.passed, each.severity.value) for each in self.result.get_asset_check_evaluations()
        }


def write_catalogue(folder: Path, **changes: Any) -> None:
    """Description, training records and a list of advisories that names nothing."""
    catalogue = folder / "catalogue"
    (catalogue / COHORT).mkdir(parents=True)
    description = {**DESCRIPTION, **changes}
    (catalogue / f"{COHORT}.yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    rows = patients(TRAINED_ON, seed=11, prefix="T").rows(later=True)
    with (catalogue / COHORT / "subjects.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "advisories").mkdir()
    # One record about a package that nobody has, so that the gate has something to hold the installed ones against.
    affected = [{"package": {"ecosystem": "PyPI", "name": "nobody-has-this"}, "versions": ["1.0"]}]
    record = {"id": "MADE-UP-1", "modified": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "affected": affected}
    (folder / "advisories" / "MADE-UP-1.json").write_text(json.dumps(record), encoding="utf-8")


def released(folder: Path, **changes: Any) -> World:
    """Train, judge, sign and promote, by the project's jobs and by people."""
    from clinical_assets.governance.people import add_person
    from clinical_assets.records.database import RecordsDatabase

    write_catalogue(folder, **changes)
    world = World(folder)
    with world.environment():
        for job in ("train_cohort", "prepare_release"):
            ran = world.run(job)
            assert ran.success, (job, ran.errors)
        for login, (name, roles) in PEOPLE.items():
            add_person(
                RecordsDatabase(world.settings),
                login=login,
                printed_name=name,
                roles=roles,
                password=secret(login),
                actor="root",
            )
        world.sign()
        ran = world.run("promote_champion")
        assert ran.success, ran.errors
        world.due()
    return world
