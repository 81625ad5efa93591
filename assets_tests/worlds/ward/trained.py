"""A small trained cohort for the tests of this room: made-up records, the real way from file to sealed bundle.

``train`` takes seconds and is done once a session; every test works on a copy of the data folder.
"""

from __future__ import annotations

import copy
import csv
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from assets_tests.worlds.descriptions import minimal, small_search
from assets_tests.worlds.shared import shared_folder
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.types import Json
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.modelling.trainings.evidence import EVIDENCE, evidence_digests
from clinical_assets.modelling.trainings.make_bundle import train_and_keep
from clinical_assets.modelling.trainings.trainings import Training, latest
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import FILE
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.warehouse.validation.validation import validate_cohort
from clinical_assets.workspace import Workspace

COHORT = "made_up_ward"
ROWS = 900
AUTHOR = "ann"
Row = dict[str, Any]
Change = Callable[[list[Row], list[Row]], None]

_COLUMNS: dict[str, Any] = {
    "patient_id": {
        "type": "string",
        "role": "identifier",
        "nullable": False,
        "unique": True,
        "description": "Number of the patient.",
    },
    "age_years": {
        "type": "integer",
        "unit": "a",
        "range": [0, 120],
        "plausible": [18, 105],
        "description": "Age.",
    },
    "sex": {
        "type": "string",
        "role": ["protected"],
        "categories": {"f": "female", "m": "male"},
        "description": "Sex.",
    },
    "region": {
        "type": "string",
        "role": ["protected"],
        "categories": ["north", "south"],
        "description": "Where the patient lives.",
    },
    "height_m": {
        "type": "number",
        "unit": "m",
        "range": [0.3, 300],
        "plausible": [1.2, 2.3],
        "description": "Height.",
    },
    "marker_a": {"type": "number", "unit": "mg/dL", "description": "A marker."},
    "marker_b": {"type": "number", "unit": "mg/dL", "description": "Another marker."},
    "frail": {"type": "boolean", "description": "Frail."},
    "died": {"type": "boolean", "role": "target", "nullable": False, "description": "Died in hospital."},
}

DESCRIPTION: dict[str, Any] = minimal(
    name=COHORT,
    title="Ward patients who never were (synthetic)",
    tables={
        "subjects": {
            "description": "One row per patient.",
            "source": {"kind": "file", "path": f"{COHORT}/subjects.csv"},
            "key": ["patient_id"],
            "columns": _COLUMNS,
        },
        "visits": {
            "description": "One row per visit.",
            "source": {"kind": "file", "path": f"{COHORT}/visits.csv"},
            "key": ["patient_id", "visit_number"],
            "references": [{"columns": ["patient_id"], "table": "subjects"}],
            "columns": {
                "patient_id": {"type": "string", "role": "identifier", "description": "Number of the patient."},
                "visit_number": {"type": "integer", "unit": "1", "description": "Number of the visit."},
            },
        },
    },
    modelling=small_search(),
)


@dataclass(frozen=True)
class Trained:
    """A data folder with one trained cohort, the catalogue beside it, and the training."""

    settings: Settings
    catalogue: Catalogue
    training: Training

    @property
    def digest(self) -> str:
        """Digest of the bundle."""
        return self.training.bundle().digest

    def candidate(self, digest: str | None = None) -> ReleaseCandidate:
        """The newest training as a release candidate, or the one with this bundle."""
        return candidate_of(Workspace(self.settings, self.catalogue).cohort(COHORT), digest=digest)

    def copy_to(self, folder: Path) -> Trained:
        """The same in a folder of a test's own; data and keys are copied, the description too."""
        shutil.copytree(self.settings.data.parent, folder, dirs_exist_ok=True)
        (folder / "data" / FILE).unlink(missing_ok=True)  # an installation of its own, and no copy that says so
        settings = replace(self.settings, data=folder / "data", catalogue=(folder / "catalogue",))
        training = replace(self.training, folder=settings.data / self.training.folder.relative_to(self.settings.data))
        return Trained(settings, Catalogue.from_settings(settings), training)

    def describe(self, **changes: Any) -> None:
        """Change the description on disk, so that candidates made from now on see it: ``limits={...}`` and the like."""
        path = self.settings.catalogue[0] / f"{COHORT}.yaml"
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "limits" in changes:
            value["decisions"].setdefault("limits", {}).update(changes.pop("limits"))
        value.update(changes)
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def made_records(rows: int = ROWS, *, seed: int = 5) -> tuple[list[Row], list[Row]]:
    """Patients and visits: about a third dies, by a logistic model of age, both markers and frailty.

    Sex is unknown for one in twenty; region has no effect.
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(40, 95, rows)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    frail = rng.random(rows) < 0.3
    odds = -1.3 + 0.04 * (age - 67) + 1.0 * a - 0.8 * b + 0.9 * frail
    died = rng.random(rows) < 1 / (1 + np.exp(-odds))
    sex = rng.choice(["f", "m", ""], size=rows, p=[0.48, 0.47, 0.05])
    region = rng.choice(["north", "south"], size=rows, p=[0.6, 0.4])
    height = rng.normal(1.7, 0.08, rows)
    lost = rng.random(rows) < 0.1
    subjects: list[Row] = [
        {
            "patient_id": f"W{number:05d}",
            "age_years": int(age[number]),
            "sex": str(sex[number]),
            "region": str(region[number]),
            "height_m": round(float(height[number]), 2),
            "marker_a": "" if lost[number] else round(float(a[number]), 4),
            "marker_b": round(float(b[number]), 4),
            "frail": "yes" if frail[number] else "no",
            "died": "yes" if died[number] else "no",
        }
        for number in range(rows)
    ]
    visits: list[Row] = [
        {"patient_id": row["patient_id"], "visit_number": number} for row in subjects for number in (1, 2)
    ]
    return subjects, visits


def train(
    folder: Path, *, change: Change | None = None, rows: int = ROWS, seed: int = 5, description: Mapping[str, Any] = {}
) -> Trained:
    """Write description and records below a folder and take them through ingestion, validation, SQL and training.

    Parameters
    ----------
    folder : Path
        ``data``, ``data-keys`` and ``catalogue`` go here.
    change : callable, optional
        Spoils the records (subjects, visits) before they are written.
    rows : int
        Subjects that are made.
    seed : int
        Of the records.
    description : mapping
        Top-level parts of the description that differ.
    """
    catalogue_folder = folder / "catalogue"
    (catalogue_folder / COHORT).mkdir(parents=True, exist_ok=True)
    value = {**copy.deepcopy(DESCRIPTION), **description}
    (catalogue_folder / f"{COHORT}.yaml").write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    subjects, visits = made_records(rows, seed=seed)
    if change is not None:
        change(subjects, visits)
    for name, table in (("subjects", subjects), ("visits", visits)):
        write_records(catalogue_folder, name, table)
    return train_again(settings_of(folder))


def settings_of(folder: Path) -> Settings:
    """Settings of a small machine without network, for state that lies below a folder."""
    return Settings(
        data=folder / "data",
        catalogue=(folder / "catalogue",),
        master_key=None,
        memory_limit="1GB",
        threads=2,
        lock_patience_s=5,
        offline=True,
        actor=AUTHOR,
    )


def opened(folder: Path) -> Trained:
    """What ``train`` left below a folder, read again; a worker opens what another one made."""
    settings = settings_of(folder)
    return Trained(settings, Catalogue.from_settings(settings), latest(settings, COHORT))


def shared_ward(factory: pytest.TempPathFactory) -> Trained:
    """The cohort as it was trained, once per session; look, do not touch."""
    return opened(shared_folder(factory, "trained_ward", train))


def write_records(catalogue_folder: Path, table: str, rows: list[Row]) -> None:
    """Replace the file of a table."""
    with (catalogue_folder / COHORT / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def take_in(settings: Settings) -> tuple[Catalogue, Warehouse, SqlProject]:
    """Ingest, validate and build features from what lies in the catalogue folder."""
    catalogue = Catalogue.from_settings(settings)
    spec = catalogue.spec(COHORT)
    warehouse, sql = Warehouse(COHORT, settings), SqlProject(catalogue.sql_folders, spec)
    ingest(spec, settings=settings, folder=catalogue.entry(COHORT).folder)
    validate_cohort(spec, warehouse)
    build_features(spec, sql, warehouse)
    return catalogue, warehouse, sql


def train_again(settings: Settings) -> Trained:
    """Everything from the files on: a new training beside the old ones, with its entry in the ledger."""
    catalogue, warehouse, sql = take_in(settings)
    training = train_and_keep(catalogue.spec(COHORT), warehouse=warehouse, sql=sql, run_id="a test").training
    digest = training.bundle().digest
    facts: dict[str, Json] = {EVIDENCE: dict(evidence_digests(warehouse, training))}
    Ledger(RecordsDatabase(settings)).append("training", actor=AUTHOR, cohort=COHORT, digest=digest, facts=facts)
    return Trained(settings, catalogue, training)
