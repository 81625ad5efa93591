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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from assets_tests.worlds.machine.graphs import QUIET
from assets_tests.worlds.ward.released import administrator
from assets_tests.worlds.year.description import BOB, COHORT, DESCRIPTION, PEOPLE, TRAINED_ON, secret
from assets_tests.worlds.year.patients import Arrived, patients
from clinical_assets.definitions import load
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.supply_chain.dependencies import installed_packages
from clinical_assets.records.place import FILE
from clinical_assets.workspace import Workspace


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
    skipped: str | None = None

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
            "CLINICAL_ASSETS_ADVISORIES": str(self.folder / "advisories.json"),
            "CLINICAL_ASSETS_THREADS": "1",
            "CLINICAL_ASSETS_MEMORY": "1GB",
            "CLINICAL_ASSETS_OFFLINE": "1",
            # Files are renamed into the inbox when they are complete.
            "CLINICAL_ASSETS_INBOX_SETTLED_S": "0",
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
        from clinical_assets.launch.instance import open_instance

        with open_instance() as instance:
            yield instance

    def run(self, job: str, *assets: str, tags: Mapping[str, str] | None = None) -> Ran:
        """Run a job, or some assets of it, for the cohort in this process."""
        with self.instance() as instance:
            result = (
                load()
                .resolve_job_def(job)
                .execute_in_process(
                    partition_key=COHORT,
                    instance=instance,
                    asset_selection=[dg.AssetKey(name) for name in assets] or None,
                    raise_on_error=False,
                    run_config=QUIET,
                    tags=dict(tags or {}),
                )
            )
            return Ran(result)

    def monitor(self) -> Ran:
        """What the inbox's sensor starts."""
        ran = self.run("monitor_cohort", tags={"dagster/sensor_name": "inbox"})
        assert ran.success, ran.errors
        return ran

    def arrive(self, name: str, came: Arrived, **feedback: list[Any]) -> Ran:
        """Records, and their outcomes, in one monitoring run; records are taken in first."""
        self.drop(f"{name}.csv", came.rows())
        self.drop(f"outcomes/{name}.csv", came.outcomes(**feedback))
        return self.monitor()

    def ask(self, sensor: str) -> list[dg.RunRequest]:
        """What a sensor asks for now; its cursor is kept, and the words of a skipped tick in ``skipped``."""
        found = next(each for each in load().sensors or () if each.name == sensor)
        with (
            self.instance() as instance,
            dg.build_sensor_context(
                instance=instance,
                cursor=self.sensor_cursors.get(sensor),
                definitions=load(),
                resources={"platform": Platform()},
            ) as context,
        ):
            tick = found.evaluate_tick(context)
        self.skipped = tick.skip_message
        self.sensor_cursors[sensor] = tick.cursor or self.sensor_cursors.get(sensor)
        return list(tick.run_requests or ())

    def follow(self, request: dg.RunRequest, sensor: str) -> Ran:
        """Run what a sensor asked for, tagged as the daemon would."""
        assert request.partition_key == COHORT
        tags = {**request.tags, "dagster/sensor_name": sensor, "dagster/run_key": str(request.run_key)}
        alone = next(each for each in load().sensors or () if each.name == sensor).targets[0].job_name
        return self.run(request.job_name or alone, tags=tags)

    def due(self) -> set[str]:
        """Assets that automation conditions of the release ask for now."""
        with self.instance() as instance:
            found = dg.evaluate_automation_conditions(
                defs=load(),
                instance=instance,
                asset_selection=dg.AssetSelection.groups("release"),
                cursor=self.cursor,
            )
        self.cursor = found.cursor
        names = ("gate_verdicts", "release_dossier")
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
            for request in self.ask("promotion"):
                asked = asked | {"champion_model"}
                seen[-1] = asked
                self.follow(request, "promotion")
            if not asked and len(seen) > 1:
                break
        return seen

    # What people and screens would see.

    def entries(self, action: str | None = None) -> list[Any]:
        """The cohort's ledger entries, the oldest first."""
        from clinical_assets.records.database import RecordsDatabase
        from clinical_assets.records.ledger.ledger import Ledger

        return list(Ledger(RecordsDatabase(self.settings)).entries(cohort=COHORT, action=action))  # type: ignore[arg-type]

    def champion(self) -> str:
        from clinical_assets.modelling.champion import champion_pointer

        serving = champion_pointer.current(self.settings, COHORT)
        assert serving is not None
        return serving.digest

    def candidate(self) -> Any:
        """The newest model as a release candidate."""
        from clinical_assets.governance.candidate.candidate import candidate_of

        return candidate_of(Workspace(self.settings).cohort(COHORT))

    def blockers(self) -> dict[str, list[str]]:
        """What stands against the newest model, by code."""
        from clinical_assets.governance.promotion import promotion

        found: dict[str, list[str]] = {}
        for each in promotion.blockers(self.candidate()):
            found.setdefault(each.code, []).append(each.message)
        return found

    def count(self, sql: str) -> int:
        """One number from the cohort's warehouse."""
        from clinical_assets.warehouse.store.warehouse import Warehouse

        with Warehouse(COHORT, self.settings).reader() as connection:
            (number,) = connection.execute(sql).fetchone() or (0,)
        return int(number)

    def waive(self) -> None:
        """Bob answers for what could not be judged."""
        from clinical_assets.governance.signing import signatures
        from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
        from clinical_assets.launch.instance import report_approval

        candidate = self.candidate()
        for run in latest_verdicts(candidate.records, bundle_digest=candidate.digest).values():
            for verdict in run.verdicts:
                if verdict.verdict == "insufficient":
                    given = signatures.waive(
                        candidate,
                        dossier_digest=self.dossier(),
                        proof=BOB,
                        gate=run.gate,
                        criterion=verdict.criterion,
                        reason="Made-up patients; watched after release.",
                    )
                    report_approval(given)

    def sign(self) -> None:
        """Bob waives what could not be judged and approves, on the dossier as it lies there; Dagster is told."""
        from clinical_assets.governance.signing import signatures
        from clinical_assets.launch.instance import report_approval

        self.waive()
        meaning = "I have read the dossier and agree."
        report_approval(signatures.approve(self.candidate(), dossier_digest=self.dossier(), proof=BOB, meaning=meaning))

    def dossier(self) -> str:
        """Digest of the newest model's dossier."""
        from clinical_assets.governance.dossier.stored_dossier import load_dossier

        return load_dossier(self.settings, COHORT, self.candidate().digest).digest

    def copy_to(self, folder: Path) -> World:
        """The same world in a folder of a test's own."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        (folder / "data" / FILE).unlink(missing_ok=True)  # an installation of its own, and no copy that says so
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


def write_catalogue(folder: Path, *, rows: int = TRAINED_ON, **changes: Any) -> None:
    """Description, training records and a report of pip-audit that names no vulnerability."""
    catalogue = folder / "catalogue"
    (catalogue / COHORT).mkdir(parents=True)
    description = {**DESCRIPTION, **changes}
    (catalogue / f"{COHORT}.yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    records = patients(rows, seed=11, prefix="T").rows(later=True)
    with (catalogue / COHORT / "subjects.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    # A report that looked at everything installed, and knows nothing against it.
    looked_at = [{"name": name, "version": version, "vulns": []} for name, version in installed_packages().items()]
    (folder / "advisories.json").write_text(json.dumps({"dependencies": looked_at, "fixes": []}), encoding="utf-8")


def released(folder: Path, *, rows: int = TRAINED_ON, **changes: Any) -> World:
    """Train, judge, sign and promote, by the project's jobs and by people."""
    from clinical_assets.governance.signing.people import add_person
    from clinical_assets.records.database import RecordsDatabase

    write_catalogue(folder, rows=rows, **changes)
    world = World(folder)
    with world.environment():
        for job in ("train_cohort", "prepare_release"):
            ran = world.run(job)
            assert ran.success, (job, ran.errors)
        by = administrator(RecordsDatabase(world.settings))
        for login, (name, roles) in PEOPLE.items():
            add_person(
                RecordsDatabase(world.settings),
                login=login,
                printed_name=name,
                roles=roles,
                password=secret(login),
                actor="root",
                by=by,
            )
        world.sign()
        ran = world.run("promote_champion")
        assert ran.success, ran.errors
        world.due()
    return world
