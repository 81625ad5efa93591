"""A team's own cohort outside the package: description, two CSV files, SQL with its tests. All of it is made up.

Every value that could name a person begins with ``SECRET``, so that a test can look for it where it must not be.
"""

from __future__ import annotations

import copy
import csv
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from assets_tests.worlds.descriptions import decisions, frame

Row = dict[str, Any]
MARK = "SECRET"
SUBJECTS = 60
LANDMARK_DAYS, HORIZON_DAYS = 7, 90

DESCRIPTION: dict[str, Any] = {
    **frame(
        "ward_team",
        title="Ward patients after a stroke (synthetic)",
        disease={"name": "Ischaemic stroke", "icd10": ["I63"]},
        owner={"team": "Ward Seven"},
    ),
    "prediction": {
        "moment": "One week after admission.",
        "index_date": "subjects.admitted_on",
        "landmark_days": LANDMARK_DAYS,
        "horizon_days": HORIZON_DAYS,
        "censoring": "Patients not followed to the horizon are left out and counted.",
    },
    "subject": "patient_id",
    "tables": {
        "subjects": {
            "description": "One row per patient.",
            "source": {"kind": "file", "path": "subjects.csv"},
            "key": ["patient_id"],
            "refused_limit": 0.1,
            "columns": {
                "patient_id": {
                    "type": "string",
                    "from": "PatID",
                    "role": "identifier",
                    "pattern": rf"{MARK}-[0-9]+",
                    "nullable": False,
                    "unique": True,
                    "description": "Number of the patient.",
                },
                "remark": {"type": "string", "role": "note", "description": "What the ward wrote down."},
                "age_years": {"type": "integer", "unit": "a", "range": [18, 110], "description": "Age at admission."},
                "sex": {
                    "type": "string",
                    "role": ["feature", "protected"],
                    "categories": {"f": "female", "m": "male"},
                    "description": "Sex.",
                },
                "height_m": {
                    "type": "number",
                    "unit": "m",
                    "range": [1.2, 2.3],
                    "plausible": [1.4, 2.1],
                    "description": "Height.",
                },
                "admitted_on": {"type": "date", "role": "date", "nullable": False, "description": "Admission."},
                "followed_days": {"type": "integer", "unit": "d", "role": "outcome", "description": "Follow-up."},
                "died": {"type": "boolean", "role": "target", "description": "Died at the end of follow-up."},
            },
        },
        "visits": {
            "description": "One row per measurement.",
            "source": {"kind": "file", "path": "visits.csv"},
            "key": ["patient_id", "visit_number"],
            "recorded": "visit_day",
            "refused_limit": 0.1,
            "references": [{"columns": ["patient_id"], "table": "subjects"}],
            "columns": {
                "patient_id": {"type": "string", "role": "identifier", "description": "Number of the patient."},
                "visit_number": {"type": "integer", "unit": "1", "description": "Number of the visit."},
                "visit_day": {"type": "integer", "unit": "d", "role": "date", "description": "Days from admission."},
                "systolic_bp_mmhg": {
                    "type": "number",
                    "unit": "mm[Hg]",
                    "range": [50, 280],
                    "missing": [0],
                    "description": "Systolic pressure; 0 stands for not measured.",
                },
            },
        },
    },
    "features": "ward_week",
    "outcome": "fixed_horizon",
    "vars": {"time_column": "followed_days", "event_column": "died"},
    "target": {"description": "Death within 90 days.", "classes": ["alive", "dead"]},
    "decisions": decisions(),
}

FEATURES = """\
WITH measured AS (
    SELECT patient_id, avg(systolic_bp_mmhg) AS systolic_bp_mean_mmhg, count(*) AS visits
    FROM {{ source('visits') }}
    GROUP BY patient_id
)

SELECT
    s.patient_id,
    s.age_years,
    CAST(s.sex = 'm' AS INTEGER) AS is_male,
    s.height_m,
    m.systolic_bp_mean_mmhg,
    coalesce(m.visits, 0) AS visits
FROM {{ source('subjects') }} AS s
LEFT JOIN measured AS m USING (patient_id)
"""

FEATURE_TESTS: dict[str, Any] = {
    "description": "One patient, as known a week after admission.",
    "columns": [
        {
            "name": "patient_id",
            "tests": ["not_null", "unique", {"relationships": {"to": "source('visits')", "field": "patient_id"}}],
        },
        {
            "name": "visits",
            "description": "Visits in the first week.",
            "tests": [{"accepted_values": {"values": [1, 2]}}],
        },
    ],
    "tests": [{"expression": "age_years BETWEEN 18 AND 110"}],
}


@dataclass
class Team:
    """A cohort of a team before it is written: change what should be wrong, then ``write``."""

    name: str
    description: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(DESCRIPTION))
    features: str = FEATURES
    subjects: list[Row] = field(default_factory=lambda: made_subjects())  # noqa: PLW0108 - defined below
    visits: list[Row] = field(default_factory=lambda: made_visits())  # noqa: PLW0108 - defined below

    def write(self, catalogue: Path) -> Path:
        """Put the description into the catalogue's folder and the records into a folder of the cohort's own."""
        records = catalogue / self.name
        records.mkdir(parents=True, exist_ok=True)
        for table, rows in (("subjects", self.subjects), ("visits", self.visits)):
            self.description["tables"][table]["source"]["path"] = f"{self.name}/{table}.csv"
            write_csv(records / f"{table}.csv", rows)
        value = {**self.description, "name": self.name}
        path = catalogue / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        layer = catalogue / "features"
        layer.mkdir(exist_ok=True)
        # A model that is called like the cohort lies beside its description.
        place = catalogue if self.model == self.name else layer
        (place / f"{self.model}.sql").write_text(self.features, encoding="utf-8")
        tests = {"models": [{**copy.deepcopy(FEATURE_TESTS), "name": self.model}]}
        (layer / f"{self.model}.yml").write_text(yaml.safe_dump(tests), encoding="utf-8")
        return path

    @property
    def model(self) -> str:
        """Name of the feature model."""
        return str(self.description["features"])

    def limit(self, share: float) -> None:
        """Let this share of each table be refused."""
        for table in self.description["tables"].values():
            table["refused_limit"] = share

    def change(self, table: str, record: int, **values: Any) -> None:
        """Change a record, counted from 1 as messages do."""
        rows = self.subjects if table == "subjects" else self.visits
        rows[record - 1] = {**rows[record - 1], **values}


def made_subjects(count: int = SUBJECTS) -> list[Row]:
    """Patients: a third dies within the horizon, one in twelve is lost before it."""
    rng = np.random.default_rng(7)
    first = dt.date(2024, 1, 1)
    return [
        {
            "PatID": f"{MARK}-{number:04}",
            "remark": f"{MARK} remark {number}",
            "age_years": int(rng.integers(40, 95)),
            "sex": "fm"[number % 2],
            "height_m": round(float(rng.normal(1.7, 0.08)), 2),
            "admitted_on": (first + dt.timedelta(days=number)).isoformat(),
            "followed_days": 30 + number if number % 3 == 0 else (60 if number % 12 == 1 else 365),
            "died": "yes" if number % 3 == 0 else "no",
            # Nobody described this column, so nobody said that it is harmless.
            "insurance": f"{MARK}-insurance-{number}",
        }
        for number in range(1, count + 1)
    ]


def made_visits(count: int = SUBJECTS) -> list[Row]:
    """Two visits in the first week and one after it, some without a pressure."""
    rng = np.random.default_rng(8)
    return [
        {
            "patient_id": f"{MARK}-{number:04}",
            "visit_number": visit,
            "visit_day": day,
            "systolic_bp_mmhg": 0 if number % 10 == 0 else int(rng.normal(140, 15)),
        }
        for number in range(1, count + 1)
        for visit, day in ((1, 1), (2, 5), (3, 30))
    ]


def write_csv(path: Path, rows: list[Row]) -> None:
    """Rows as a CSV file; no rows, no file content."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def listing(*folders: Path) -> set[Path]:
    """Every file and folder below some folders."""
    return {path for folder in folders for path in folder.rglob("*")}
