"""Small synthetic cohorts and folders of models for the tests of SQL models."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb

from assets_tests.worlds.descriptions import decisions, frame
from clinical_assets.cohorts.registry import shipped_sql
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import create_validated_tables

SHIPPED_SQL = shipped_sql()

_SOURCE = {"kind": "file", "path": "none.csv"}
_FRAME: dict[str, Any] = {
    **frame("a_cohort"),
    "target": {"description": "An event.", "classes": ["no", "yes"]},
    "decisions": decisions(),
}


#: Day on which everybody enrols.
INDEX = dt.date(2020, 3, 1)


def column(kind: str, role: str | list[str] = "feature", **more: Any) -> dict[str, Any]:
    """A column's description."""
    return {"type": kind, "description": f"A {kind} of the test.", "role": role, **more}


def one_table(**changes: Any) -> CohortSpec:
    """Subjects only: no time, one moment."""
    columns = {
        "subject_id": column("string", "identifier", nullable=False),
        "age_years": column("integer", unit="a", description="Age at admission."),
        "weight_kg": column("number", unit="kg"),
        "is_smoker": column("boolean"),
        "sex": column("string", ["feature", "protected"], categories=["F", "M"]),
        "remark": column("string", "note"),
        "died": column("boolean", "target"),
        "ward_after": column("string", "outcome"),
        "secret": column("number", "ignored"),
    }
    columns |= changes.pop("columns", {})
    subjects = {"description": "One row a person.", "source": _SOURCE, "key": ["subject_id"], "columns": columns}
    spec = {
        **_FRAME,
        "name": "one_table",
        "prediction": {"moment": "At admission."},
        "subject": "subject_id",
        "tables": {"subjects": subjects},
        "features": "declared_columns",
        "outcome": "target_class",
    }
    return CohortSpec.model_validate(spec | changes)


def with_visits(
    *,
    recorded: str = "visit_date",
    kind: str = "date",
    index_kind: str = "date",
    landmark_days: int = 28,
    **changes: Any,
) -> CohortSpec:
    """Subjects with visits over time: an index date and a landmark."""
    subjects = {
        "description": "One row a person.",
        "source": _SOURCE,
        "key": ["subject_id"],
        "columns": {
            "subject_id": column("string", "identifier", nullable=False),
            "enrolled_at": column(index_kind, "date", nullable=False),
            "age_years": column("integer"),
            "followed_days": column("number", "outcome"),
            "status": column("string", "target", categories=["event", "alive"]),
        },
    }
    visits = {
        "description": "One row a visit.",
        "source": _SOURCE,
        "key": ["subject_id", "visit_number"],
        "recorded": recorded,
        "columns": {
            "subject_id": column("string", "identifier"),
            "visit_number": column("integer"),
            recorded: column(kind, "date"),
            "heart_rate_bpm": column("number"),
            "is_missed": column("boolean"),
            "adjudicated_later": column("number", "outcome"),
        },
    }
    spec = {
        **_FRAME,
        "name": "with_visits",
        "prediction": {
            "moment": "Four weeks after enrolment.",
            "index_date": "subjects.enrolled_at",
            "landmark_days": landmark_days,
            "horizon_days": 100,
            "censoring": "Those not followed to the horizon are left out and counted.",
        },
        "subject": "subject_id",
        "tables": {"subjects": subjects, "visits": visits},
        "features": "visit_features",
        "outcome": "fixed_horizon",
        "vars": {"time_column": "followed_days", "event_column": "status", "event_values": ["event"]},
    }
    return CohortSpec.model_validate(spec | changes)


VISIT_FEATURES = """\
WITH per_unit AS (
    SELECT
        subject_id,
        count(*) AS visits,
        count(*) FILTER (WHERE is_missed) AS visits_missed,
        avg(heart_rate_bpm) AS heart_rate_mean_bpm,
        arg_max(heart_rate_bpm, visit_number) AS heart_rate_last_bpm
    FROM {{ source('visits') }}
    GROUP BY subject_id
)

SELECT
    s.subject_id,
    s.age_years,
    coalesce(v.visits, 0) AS visits,
    coalesce(v.visits_missed, 0) AS visits_missed,
    v.visits_missed / nullif(v.visits, 0) AS visits_missed_share,
    v.heart_rate_mean_bpm,
    v.heart_rate_last_bpm
FROM {{ source('subjects') }} AS s
LEFT JOIN per_unit AS v USING (subject_id)
"""


def write_models(folder: Path, files: dict[str, str]) -> Path:
    """Write ``layer/name.sql`` or ``.yml`` files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def project_of(folder: Path, files: dict[str, str], spec: CohortSpec | None = None) -> SqlProject:
    """A project over the given files, the shipped models behind them."""
    return SqlProject([write_models(folder, files), SHIPPED_SQL], spec or one_table())


def validated(spec: CohortSpec, rows: dict[str, list[tuple[Any, ...]]]) -> duckdb.DuckDBPyConnection:
    """An in-memory database with a schema ``validated`` holding rows, row numbers added."""
    connection = duckdb.connect(config={"threads": "1"})
    create_validated_tables(connection, spec)
    for table, records in rows.items():
        insert(connection, table, records)
    return connection


def insert(connection: duckdb.DuckDBPyConnection, table: str, records: list[tuple[Any, ...]]) -> None:
    """Add rows, given in the order of the description's columns."""
    if records:
        numbered = [(number, *record) for number, record in enumerate(records, start=1)]
        places = ", ".join("?" for _ in numbered[0])
        connection.executemany(f"INSERT INTO validated.{table} VALUES ({places})", numbered)
