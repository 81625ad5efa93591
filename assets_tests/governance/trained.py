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
import yaml

from assets_tests.conftest import MINIMAL
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.governance.candidate import ReleaseCandidate, candidate_of
from clinical_assets.modelling.make_bundle import Kept, train_and_keep
from clinical_assets.settings import Settings
from clinical_assets.warehouse.features import build_features
from clinical_assets.warehouse.ingestion import ingest
from clinical_assets.warehouse.sql_project import SqlProject
from clinical_assets.warehouse.store import Warehouse
from clinical_assets.warehouse.validation import validate_cohort

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
    "sex": {"type": "string", "role": ["protected"], "categories": ["f", "m"], "description": "Sex."},
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

DESCRIPTION: dict[str, Any] = {
    **{name: value for name, value in copy.deepcopy(MINIMAL).items() if name != "tables"},
    "name": COHORT,
    "title": "Ward patients who never were (synthetic)",
    "tables": {
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
    "modelling": {
        "candidates": ["logistic_ridge"],
        "search": {"trials": 2, "inner_folds": 2, "outer_folds": 3, "seed": 11},
    },
}


@dataclass(frozen=True)
class Trained:
    """A data folder with one trained cohort, the catalogue beside it, and the training."""

    settings: Settings
    catalogue: Catalogue
    kept: Kept

    @property
    def digest(self) -> str:
        """Digest of the bundle."""
        return self.kept.training.bundle().digest

    def candidate(self, digest: str | None = None) -> ReleaseCandidate:
        """The newest training as a release candidate, or the one with this bundle."""
        return candidate_of(COHORT, settings=self.settings, catalogue=self.catalogue, digest=digest)

    def copy_to(self, folder: Path) -> Trained:
        """The same in a folder of a test's own; data and keys are copied, the description too."""
        root = self.settings.data.parent
        shutil.copytree(root, folder, dirs_exist_ok=True)
        settings = replace(self.settings, data=folder / "data", catalogue=(folder / "catalogue",))
        training = replace(
            self.kept.training, folder=settings.data / self.kept.training.folder.relative_to(self.settings.data)
        )
        return Trained(settings, Catalogue.from_settings(settings), replace(self.kept, training=training))

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
    settings = Settings(
        data=folder / "data",
        catalogue=(catalogue_folder,),
        master_key=None,
        memory_limit="1GB",
        threads=2,
        lock_patience_s=5,
        offline=True,
        actor=AUTHOR,
    )
    return train_again(settings)


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
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    catalogue, warehouse, sql = take_in(settings)
    spec = catalogue.spec(COHORT)
    kept = train_and_keep(spec, warehouse=warehouse, sql=sql, run_id="a test")
    digest = kept.training.bundle().digest
    Ledger(RecordsDatabase(settings)).append("training", actor=AUTHOR, cohort=COHORT, digest=digest)
    return Trained(settings, catalogue, kept)
