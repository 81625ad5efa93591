"""A team's cohort with everything that may hold a subject: tables, snapshots, scores, logs, event stores, reports."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.team.cohorts import Team
from assets_tests.worlds.ward.results import made_up_results
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.place import FILE
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.snapshots.snapshot_files import list_snapshots
from clinical_assets.warehouse.snapshots.snapshots import write_snapshot
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort

NAME = "ward_seven"
GONE = "SECRET-0007"
OTHER = "SECRET-0008"
# Its beginning is the whole identifier of the one who goes; it must stay.
NEIGHBOUR = "SECRET-00071"
BUNDLE = "ab" * 32
LATER = "cd" * 32


@dataclass
class Erasable:
    """The cohort, ready to have a subject erased."""

    name: str
    settings: Settings
    catalogue: Catalogue

    @property
    def spec(self) -> CohortSpec:
        return self.catalogue.spec(self.name)

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.name, self.settings)

    @property
    def deliveries(self) -> Path:
        """Folder of the team's description and CSV files."""
        return self.settings.catalogue[0]

    def deliver(self) -> None:
        """What a run does with a delivery."""
        ingest(self.spec, settings=self.settings, folder=self.deliveries)
        validate_cohort(self.spec, self.warehouse)
        build_features(self.spec, SqlProject(self.catalogue.sql_folders, self.spec), self.warehouse)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.warehouse.query(sql).rows()

    def files_with(self, text: str, *, without: str = "\0") -> list[Path]:
        """Files below the data folder that hold the bytes of a text, after another text was taken out."""
        folder = self.settings.data
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [path for path in files if text.encode() in path.read_bytes().replace(without.encode(), b"")]


def erasable(factory: pytest.TempPathFactory, folder: Path, settings: Settings) -> Erasable:
    """The cohort in a test's own folder, whose data the settings name; with a key the warehouse is encrypted.

    Made once per session, with a key and without; every test works on a copy.
    """
    world = shared_folder(
        factory,
        "erasable" if settings.master_key is None else "erasable_encrypted",
        lambda made: _make(made, replace(settings, data=made / "data")),
    )
    shutil.copytree(world, folder, dirs_exist_ok=True)
    (folder / "data" / FILE).unlink(missing_ok=True)  # an installation of its own, and no copy that says so
    settings = replace(settings, data=folder / "data", catalogue=(folder / "catalogue",))
    return Erasable(NAME, settings, Catalogue.from_settings(settings))


def _make(folder: Path, settings: Settings) -> None:
    """Refused records, unreadable lines, mentions in other rows, and files of every kind."""
    team = Team(NAME)
    team.limit(0.5)
    team.subjects.append({**team.subjects[8], "PatID": NEIGHBOUR})
    team.change("subjects", 8, remark=f"Sister of {GONE}, see {GONE}.")
    team.change("visits", 20, systolic_bp_mmhg=9999)  # a refused record of the subject who goes
    catalogue = folder / "catalogue"
    team.write(catalogue)
    with (catalogue / NAME / "visits.csv").open("a") as file:
        file.write(f"{GONE},9,1,120,too,many\n")
    settings = replace(settings, catalogue=(catalogue,))
    made = Erasable(NAME, settings, Catalogue.from_settings(settings))
    made.deliver()
    _add_tables(made)
    _add_files(made)


def _add_tables(made: Erasable) -> None:
    with made.warehouse.writer() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS reference")
        connection.execute("CREATE SCHEMA IF NOT EXISTS monitoring")
        connection.execute(
            f'CREATE TABLE reference."{BUNDLE[:16]}" AS SELECT patient_id, age_years, 0.5 AS risk FROM model.features'
        )
        connection.execute(
            f'CREATE TABLE reference."{LATER[:16]}" AS SELECT patient_id, 0.5 AS risk FROM model.features '
            f"WHERE patient_id <> '{GONE}'"
        )
        connection.execute("CREATE TABLE monitoring.scores AS SELECT patient_id, 0.25 AS risk FROM model.features")
        connection.execute(f"CREATE TABLE monitoring.notes AS SELECT ['{GONE}', '{OTHER}'] AS seen, 1 AS number")


def _without_the_subject(made: Erasable) -> str:
    """Digest of a snapshot of another time, when the subject was not there yet."""
    with made.warehouse.writer() as connection:
        relation = f"(SELECT * FROM raw.subjects WHERE PatID NOT LIKE '{GONE}%' AND remark NOT LIKE '%{GONE}%')"
        kept = write_snapshot(connection, relation, cohort=made.name, table="subjects", settings=made.settings)
    return kept.digest


def _add_files(made: Erasable) -> None:
    data, name = made.settings.data, made.name
    snapshots = {each.table: each.digest for each in list_snapshots(name, settings=made.settings)}
    data.joinpath("models").mkdir()
    for training, digest, used in (
        ("first", BUNDLE, {table: snapshots[table] for table in ("subjects", "visits")}),
        ("later", LATER, {"subjects": _without_the_subject(made)}),
    ):
        report = data / "models" / name / training / "report"
        report.mkdir(parents=True)
        results = made_up_results(
            name, f"sha256:{digest}", provenance={"snapshots": used}, selection={"reason": f"like {GONE}"}
        )
        results.write(report / "results.json")
    batch = data / "batches" / name / "scores.csv"
    batch.parent.mkdir(parents=True)
    batch.write_text(f"patient_id,risk\n{GONE},0.1\n{OTHER},0.2\n{NEIGHBOUR},0.3\n")
    log = data / "dagster" / "run.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"read {GONE} and {NEIGHBOUR}\n")
    with closing(sqlite3.connect(data / "dagster" / "events.db")) as connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER, event TEXT)")
        connection.execute("INSERT INTO event_logs VALUES (1, ?)", [json.dumps({"row": GONE, "like": NEIGHBOUR})])
        connection.commit()
