"""People and events of an OMOP CDM 5.4 folder: one CSV or Parquet file per table.

Source: OMOP Common Data Model v5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.standard_input.record_set import RecordSet, StandardInputError, empty_tables, finish
from clinical_assets.warehouse.store.sql_text import literal

if TYPE_CHECKING:
    import duckdb

#: Table to the columns of concept, date, and value with its unit.
_EVENTS = {
    "condition_occurrence": ("condition_concept_id", "condition_start_date", None, None),
    "drug_exposure": ("drug_concept_id", "drug_exposure_start_date", None, None),
    "procedure_occurrence": ("procedure_concept_id", "procedure_date", None, None),
    "device_exposure": ("device_concept_id", "device_exposure_start_date", None, None),
    "measurement": ("measurement_concept_id", "measurement_date", "value_as_number", "unit_source_value"),
    "observation": ("observation_concept_id", "observation_date", "value_as_number", "unit_source_value"),
    "visit_occurrence": ("visit_concept_id", "visit_start_date", None, None),
}
#: Standard concepts of gender.
_SEX = {8507: "male", 8532: "female"}


def is_omop(folder: Path) -> bool:
    """Whether a folder looks like one: it has the table of people and a table of events."""
    return _file(folder, "person") is not None and any(_file(folder, name) for name in _EVENTS)


def read_omop(folder: Path, connection: duckdb.DuckDBPyConnection) -> RecordSet:
    """Fill ``people`` and ``events``; codes are ``OMOP/<concept id>``.

    Concepts with id 0 (not mapped to a standard concept) carry no meaning and are counted as left out. Follow-up ends
    with the last observation period where that table is there.

    Raises
    ------
    StandardInputError
        A table lacks a column that the data model requires.
    """
    empty_tables(connection)
    people = _relation(connection, folder, "person", {"person_id", "year_of_birth", "gender_concept_id"})
    have = _columns(connection, people)
    month, day = (
        f"coalesce(TRY_CAST({name} AS BIGINT), 1)" if name in have else "1"
        for name in ("month_of_birth", "day_of_birth")
    )
    sex = " ".join(f"WHEN {concept} THEN {literal(word)}" for concept, word in _SEX.items())
    connection.execute(
        f"INSERT INTO people SELECT CAST(person_id AS VARCHAR), try(make_date(TRY_CAST(year_of_birth AS BIGINT), "
        f"{month}, {day})), CASE TRY_CAST(gender_concept_id AS BIGINT) {sex} END, "
        f"NULL, NULL FROM {people}"
    )
    if _file(folder, "death") is not None:
        deaths = _relation(connection, folder, "death", {"person_id", "death_date"})
        connection.execute(
            "UPDATE people SET death_date = d.day FROM (SELECT CAST(person_id AS VARCHAR) AS id, "
            f"min(TRY_CAST(death_date AS DATE)) AS day FROM {deaths} GROUP BY 1) AS d WHERE d.id = people.subject_id"
        )
    if _file(folder, "observation_period") is not None:
        needed = {"person_id", "observation_period_end_date"}
        periods = _relation(connection, folder, "observation_period", needed)
        connection.execute(
            "UPDATE people SET observed_until = o.day FROM (SELECT CAST(person_id AS VARCHAR) AS id, "
            f"max(TRY_CAST(observation_period_end_date AS DATE)) AS day FROM {periods} GROUP BY 1) AS o "
            "WHERE o.id = people.subject_id"
        )
    unmapped = undated = 0
    for table, (concept, date, value, unit) in _EVENTS.items():
        if _file(folder, table) is None:
            continue
        rows = _relation(connection, folder, table, {"person_id", concept, date})
        have = _columns(connection, rows)
        number = f"TRY_CAST({value} AS DOUBLE)" if value in have else "NULL"
        words = f"CAST({unit} AS VARCHAR)" if unit in have else "NULL"
        unmapped += _count(connection, f"FROM {rows} WHERE coalesce(TRY_CAST({concept} AS BIGINT), 0) = 0")
        undated += _count(connection, f"FROM {rows} WHERE TRY_CAST({date} AS DATE) IS NULL")
        connection.execute(
            f"INSERT INTO events SELECT CAST(person_id AS VARCHAR), TRY_CAST({date} AS DATE), "
            f"'OMOP/' || TRY_CAST({concept} AS BIGINT), {number}, {words} FROM {rows} "
            f"WHERE coalesce(TRY_CAST({concept} AS BIGINT), 0) <> 0 AND TRY_CAST({date} AS DATE) IS NOT NULL"
        )
    if _file(folder, "concept") is not None:
        names = _relation(connection, folder, "concept", {"concept_id", "concept_name"})
        connection.execute(
            f"INSERT INTO code_names SELECT 'OMOP/' || CAST(concept_id AS BIGINT), concept_name FROM {names}"
        )
    return finish(connection, "OMOP 5.4", {"events of concept 0": unmapped, "events without a date": undated})


def with_descendants(folder: Path, connection: duckdb.DuckDBPyConnection, codes: tuple[str, ...]) -> tuple[str, ...]:
    """Codes and all codes below them, where the folder has ``concept_ancestor``; else the codes alone."""
    if _file(folder, "concept_ancestor") is None:
        return codes
    ancestors = _relation(connection, folder, "concept_ancestor", {"ancestor_concept_id", "descendant_concept_id"})
    rows = connection.execute(
        f"SELECT DISTINCT 'OMOP/' || CAST(descendant_concept_id AS BIGINT) FROM {ancestors} "
        f"WHERE 'OMOP/' || CAST(ancestor_concept_id AS BIGINT) IN {literal(codes)}"
    ).fetchall()
    return tuple(dict.fromkeys([*codes, *(str(row[0]) for row in rows)]))


def _file(folder: Path, table: str) -> Path | None:
    for ending in (".parquet", ".csv", ".csv.gz", ".tsv"):
        for path in sorted(folder.iterdir()):
            if path.name.lower() == table + ending:
                return path
    return None


def _relation(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, needed: set[str]) -> str:
    path = _file(folder, table)
    assert path is not None, "looked up before"
    place = literal(str(path))
    # Identifiers and concepts as text: what is a number is cast where it is read.
    name = f"in_{table}"
    kind = f"read_parquet({place})" if path.suffix == ".parquet" else f"read_csv({place}, all_varchar = true)"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {kind}")
    absent = sorted(needed - _columns(connection, name))
    if absent:
        raise StandardInputError(
            f"{path.name} has no column {absent[0]}, which OMOP 5.4 requires of {table}.",
            cure="Export the table with the column names of the Common Data Model.",
        )
    return name


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> set[str]:
    return {str(row[0]).lower() for row in connection.execute(f"DESCRIBE {relation}").fetchall()}


def _count(connection: duckdb.DuckDBPyConnection, rest: str) -> int:
    row = connection.execute(f"SELECT count(*) {rest}").fetchone()
    return int(row[0]) if row else 0
