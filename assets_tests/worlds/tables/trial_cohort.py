"""A small cohort with visits, and a connection that holds its raw records: what several tests of validation need."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import duckdb
import polars as pl

from assets_tests.worlds.descriptions import minimal
from clinical_assets.cohorts.spec import CohortSpec

SUBJECTS: dict[str, Any] = {
    "description": "One row per patient.",
    "source": {"kind": "file", "path": "subjects.csv"},
    "key": ["patient_id"],
    "refused_limit": 1,
    "columns": {
        "patient_id": {"type": "string", "role": "identifier", "nullable": False, "description": "Patient."},
        "insurance_id": {"type": "string", "role": "identifier", "unique": True, "description": "Insurance."},
        "age_years": {"type": "integer", "range": [0, 120], "unit": "a", "missing": [-9], "description": "Age."},
        "sex": {"type": "string", "categories": ["f", "m"], "description": "Sex."},
        "admitted_date": {"type": "date", "role": "date", "description": "Admission."},
    },
}
VISITS: dict[str, Any] = {
    "description": "One row per visit.",
    "source": {"kind": "file", "path": "visits.csv"},
    "key": ["patient_id", "visit_number"],
    "recorded": "visit_day",
    "refused_limit": 1,
    "references": [{"columns": ["patient_id"], "table": "subjects"}],
    "columns": {
        "patient_id": {"type": "string", "role": "identifier", "description": "Patient."},
        "visit_number": {"type": "integer", "role": "ignored", "description": "Visit."},
        "visit_day": {"type": "integer", "role": "ignored", "description": "Day."},
        "weight_kg": {"type": "number", "range": [20, 300], "unit": "kg", "description": "Weight."},
    },
}


def cohort(tables: Mapping[str, dict[str, Any]] | None = None) -> CohortSpec:
    """Subjects and visits, or other tables."""
    values = minimal()
    values["prediction"]["index_date"] = "subjects.admitted_date"
    values["tables"] = copy.deepcopy(dict(tables or {"subjects": SUBJECTS, "visits": VISITS}))
    return CohortSpec.model_validate(values)


def changed(table: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A table's description with other values for some keys."""
    return {**copy.deepcopy(dict(table)), **changes}


def subjects(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Raw subjects, all text, numbered from one."""
    return _numbered(rows, SUBJECTS)


def visits(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Raw visits, all text, numbered from one."""
    return _numbered(rows, VISITS)


def sound(*patients: str) -> pl.DataFrame:
    """One sound subject per name."""
    return subjects(*((patient, f"I-{patient}", "50", "f", "2020-01-01") for patient in patients))


def warehouse_of(**tables: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    """An in-memory database with raw tables."""
    connection = duckdb.connect(config={"python_enable_replacements": "false", "threads": "1"})
    connection.execute("CREATE SCHEMA raw")
    for name, frame in tables.items():
        connection.register("frame", frame)
        connection.execute(f'CREATE TABLE raw."{name}" AS SELECT * FROM frame')
        connection.unregister("frame")
    return connection


def findings(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Table, row, column and rule of every finding."""
    return connection.execute(
        "SELECT table_name, _row, column_name, rule FROM quarantine.findings ORDER BY ALL"
    ).fetchall()


def kept(connection: duckdb.DuckDBPyConnection, table: str) -> list[int]:
    """Row numbers of the validated records."""
    return [row for (row,) in connection.execute(f'SELECT _row FROM validated."{table}" ORDER BY _row').fetchall()]


def _numbered(rows: tuple[tuple[Any, ...], ...], table: Mapping[str, Any]) -> pl.DataFrame:
    schema = dict.fromkeys(table["columns"], pl.String)
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_row_index("_row", offset=1)
