"""Facts that name a person by pseudonym: which unit they speak of.

What belongs here: from pseudonyms of received records to units. What does not: making pseudonyms (``records``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.keys.pseudonyms import PseudonymError, Pseudonyms
from clinical_assets.warehouse.outcomes.batch_spec import key_text
from clinical_assets.warehouse.outcomes.received_tables import VALID, has_table
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb
    import polars as pl

PSEUDONYM = "pseudonym"
_VERSION = re.compile(r"p(\d+)_[0-9a-f]{32}")


def name_units(spec: CohortSpec, connection: duckdb.DuckDBPyConnection, facts: str, *, settings: Settings) -> None:
    """Fill in ``unit`` and the subject of facts that have a pseudonym, where a record of that person was received.

    Where a unit is more than a person, the index date must tell which one is meant; a fact that could mean several
    keeps waiting.
    """
    asked = connection.execute(
        f"SELECT DISTINCT {PSEUDONYM} FROM {facts} WHERE unit IS NULL AND {PSEUDONYM} IS NOT NULL"
    ).fetchall()
    if not asked or not has_table(connection, VALID, spec.subject_table):
        return
    names = _pseudonyms(spec, connection, {str(row[0]) for row in asked}, settings=settings)
    connection.register("_names", names.to_arrow())
    subject, date = spec.subject_of(spec.subject_table), spec.prediction.index_date
    dated = f"CAST(s.{quoted(date.split('.')[1])} AS VARCHAR)" if date else "NULL::VARCHAR"
    whole = spec.key == (subject,)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE named AS "
        f"SELECT n.{PSEUDONYM}, {'NULL::VARCHAR' if whole else dated} AS index_date, any_value(n.identifier) AS "
        f"identifier, any_value({key_text(spec.subjects, 's', typed=True)}) AS unit "
        f"FROM {VALID}.{quoted(spec.subject_table)} AS s "
        f"JOIN _names AS n ON n.identifier = CAST(s.{quoted(subject)} AS VARCHAR) GROUP BY ALL "
        f"HAVING count(DISTINCT {key_text(spec.subjects, 's', typed=True)}) = 1"
    )
    connection.unregister("_names")
    same = "" if whole else " AND a.index_date = n.index_date"
    connection.execute(
        f"UPDATE {facts} AS a SET unit = n.unit, {quoted(subject)} = n.identifier FROM temp.named AS n "
        f"WHERE a.unit IS NULL AND a.{PSEUDONYM} = n.{PSEUDONYM}{same}"
    )
    connection.execute("DROP TABLE temp.named")


def _pseudonyms(
    spec: CohortSpec, connection: duckdb.DuckDBPyConnection, asked: set[str], *, settings: Settings
) -> pl.DataFrame:
    """Identifier and pseudonym of every received subject, in each version of the keys that is asked about."""
    import polars as pl

    subject = quoted(spec.subject_of(spec.subject_table))
    found = connection.execute(
        f"SELECT DISTINCT CAST({subject} AS VARCHAR) AS identifier FROM {VALID}.{quoted(spec.subject_table)}"
    ).pl()["identifier"]
    made = Pseudonyms(settings, spec.name)
    frames = [pl.DataFrame({"identifier": found, PSEUDONYM: made.of(found)})]
    for version in sorted({int(match[1]) for name in asked if (match := _VERSION.fullmatch(name))}):
        try:
            frames.append(pl.DataFrame({"identifier": found, PSEUDONYM: made.of(found, version=version)}))
        except PseudonymError:
            continue  # a version that was retired, or never was: nobody can be found by it
    return pl.concat(frames).drop_nulls().unique()
