"""People and events of a MEDS dataset: Parquet files of events with subject, time, code and number.

Source: Medical Event Data Standard, https://github.com/Medical-Event-Data-Standard/meds (schema of data and codes)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.standard_input.record_set import RecordSet, StandardInputError, empty_tables, finish
from clinical_assets.warehouse.store.sql_text import literal

if TYPE_CHECKING:
    import duckdb

BIRTH, DEATH, GENDER = "MEDS_BIRTH", "MEDS_DEATH", "GENDER//"


def is_meds(folder: Path) -> bool:
    """Whether a folder looks like one: Parquet files below ``data``."""
    return next((folder / "data").rglob("*.parquet"), None) is not None


def read_meds(folder: Path, connection: duckdb.DuckDBPyConnection) -> RecordSet:
    """Fill ``people`` and ``events``; codes are those of the dataset.

    Birth and death are the events ``MEDS_BIRTH`` and ``MEDS_DEATH``, sex is a code ``GENDER//...``. Events without a
    time are static and no features. Follow-up ends with the last event.

    Raises
    ------
    StandardInputError
        The files lack a column that the standard requires.
    """
    empty_tables(connection)
    place = literal(str(folder / "data" / "**" / "*.parquet"))
    connection.execute(f"CREATE TEMP VIEW in_data AS SELECT * FROM read_parquet({place}, union_by_name = true)")
    have = {str(row[0]) for row in connection.execute("DESCRIBE in_data").fetchall()}
    absent = sorted({"subject_id", "time", "code", "numeric_value"} - have)
    if absent:
        raise StandardInputError(
            f"The files below {folder.name}/data have no column {absent[0]}, which MEDS requires.",
            cure="Export the dataset by a version of MEDS from 0.3 on.",
        )
    word = f"lower(substr(max(code) FILTER (WHERE code LIKE '{GENDER}%'), {len(GENDER) + 1}))"
    connection.execute(
        f"INSERT INTO people SELECT CAST(subject_id AS VARCHAR), "
        f"CAST(min(time) FILTER (WHERE code = '{BIRTH}') AS DATE), "
        f"CASE {word} WHEN 'f' THEN 'female' WHEN 'm' THEN 'male' WHEN 'female' THEN 'female' WHEN 'male' THEN 'male' "
        f"END, CAST(min(time) FILTER (WHERE code = '{DEATH}') AS DATE), NULL FROM in_data GROUP BY subject_id"
    )
    connection.execute(
        "INSERT INTO events SELECT CAST(subject_id AS VARCHAR), CAST(time AS DATE), code, "
        "CASE WHEN isfinite(numeric_value) THEN CAST(numeric_value AS DOUBLE) END, NULL FROM in_data "
        f"WHERE time IS NOT NULL AND code NOT IN ('{BIRTH}', '{DEATH}')"
    )
    codes = folder / "metadata" / "codes.parquet"
    if codes.is_file():
        connection.execute(f"INSERT INTO code_names SELECT code, description FROM read_parquet({literal(str(codes))})")
    row = connection.execute("SELECT count(*) FROM in_data WHERE time IS NULL").fetchone()
    return finish(connection, "MEDS", {"static events, which have no time": int(row[0]) if row else 0})
