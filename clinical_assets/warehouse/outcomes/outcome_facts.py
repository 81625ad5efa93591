"""Facts that become known after a prediction: kept one by one, never twice, never overwritten.

A fact is the value of one column for one unit, and, where it says so, for one index date. It waits until the unit's
record has arrived; the order of arrival does not matter. A fact that contradicts a known one changes nothing and stands
in ``received.outcome_conflicts``.

What belongs here: bringing facts and units together. Reading files is the work of ``outcome_files``, what an outcome
means that of the cohort's outcome model (``matured_outcomes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.warehouse.outcomes.batch_spec import key_text
from clinical_assets.warehouse.outcomes.pseudonym_files import name_units
from clinical_assets.warehouse.outcomes.received_tables import CONFLICTS, VALID, VALUES, has_table, prepare_outcomes
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class Arrived:
    """What became of some facts.

    Attributes
    ----------
    new, known, conflicts : int
        Facts that are new, that were known already, and that contradict what is known.
    waiting : int
        Units whose record has not arrived yet.
    """

    new: int
    known: int
    conflicts: int
    waiting: int


def arrive(
    spec: CohortSpec, connection: duckdb.DuckDBPyConnection, facts: pa.Table, *, file: str, settings: Settings
) -> Arrived:
    """Take facts into ``received.outcome_values``, in the caller's transaction.

    Parameters
    ----------
    spec : CohortSpec
        The cohort's description.
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse, in a transaction.
    facts : pyarrow.Table
        ``unit`` or ``pseudonym`` (the other is null), the subject where it is known, ``column_name``, ``index_date``
        (null where the file has none) and ``value``, all as text; no value is null.
    file : str
        Digest of what they came from.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    """
    prepare_outcomes(connection, spec)
    connection.register("_arrived", facts)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE arrived AS SELECT *, {literal(file)} AS file, {literal(utc_now())} "
        "AS received_at FROM _arrived"
    )
    connection.unregister("_arrived")
    name_units(spec, connection, "temp.arrived", settings=settings)
    return _compare(spec, connection)


def arrive_again(spec: CohortSpec, connection: duckdb.DuckDBPyConnection, *, settings: Settings) -> None:
    """Look once more for the units of facts that came by pseudonym before anybody's record had it."""
    condition = "unit IS NULL AND pseudonym IS NOT NULL"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE arrived AS SELECT * FROM {VALUES} WHERE {condition}")
    name_units(spec, connection, "temp.arrived", settings=settings)
    connection.execute("DELETE FROM temp.arrived WHERE unit IS NULL")
    found = "SELECT pseudonym, column_name, index_date FROM temp.arrived"
    same = " AND ".join(
        f"f.{name} IS NOT DISTINCT FROM a.{name}" for name in ("pseudonym", "column_name", "index_date")
    )
    connection.execute(f"DELETE FROM {VALUES} AS f USING ({found}) AS a WHERE f.unit IS NULL AND {same}")
    _compare(spec, connection)


def _compare(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> Arrived:
    """New facts go to the others, contradictions beside them; the table of what arrived is gone afterwards."""
    # A fact without an index date speaks of the unit whatever its date.
    joined = (
        f"(SELECT a.*, k.value AS kept_value FROM temp.arrived AS a LEFT JOIN {VALUES} AS k ON "
        "(k.unit = a.unit OR (a.unit IS NULL AND k.unit IS NULL AND k.pseudonym = a.pseudonym)) "
        "AND k.column_name = a.column_name "
        "AND (k.index_date IS NULL OR a.index_date IS NULL OR k.index_date = a.index_date) "
        "QUALIFY row_number() OVER (PARTITION BY a.unit, a.pseudonym, a.column_name, a.index_date "
        "ORDER BY k.value IS NOT DISTINCT FROM a.value, k.value NULLS LAST) = 1)"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE compared AS SELECT * FROM {joined}")
    new, known, against = connection.execute(
        "SELECT count(*) FILTER (kept_value IS NULL), count(*) FILTER (kept_value = value), "
        "count(*) FILTER (kept_value <> value) FROM temp.compared"
    ).fetchone() or (0, 0, 0)
    other_value = (
        "SELECT * EXCLUDE (value), value AS other_value, 'another value is already known' AS reason, "
        "'Find out which is right; correct it at the source and erase the other.' AS cure FROM temp.compared "
        "WHERE kept_value <> value"
    )
    _conflict(connection, other_value)
    connection.execute(
        f"INSERT INTO {VALUES} BY NAME SELECT * EXCLUDE (kept_value) FROM temp.compared WHERE kept_value IS NULL"
    )
    dated = _other_dates(spec, connection)
    (waiting,) = connection.execute(_waiting(spec, connection)).fetchone() or (0,)
    connection.execute("DROP TABLE temp.arrived; DROP TABLE temp.compared")
    return Arrived(new=int(new), known=int(known), conflicts=int(against) + dated, waiting=int(waiting))


def _conflict(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Note contradictions that were not noted before; says how many."""
    same = " AND ".join(
        f"c.{name} IS NOT DISTINCT FROM n.{name}"
        for name in ("unit", "pseudonym", "column_name", "index_date", "kept_value", "other_value")
    )
    counted = connection.execute(
        f"INSERT INTO {CONFLICTS} BY NAME SELECT n.* FROM ({rows}) AS n "
        f"WHERE NOT EXISTS (SELECT 1 FROM {CONFLICTS} AS c WHERE {same})"
    ).fetchone()
    return int(counted[0]) if counted else 0


def _other_dates(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> int:
    """A fact about another index date than those of the unit's records is kept for a record of that date, and told."""
    index, subjects = spec.index_column, spec.subject_table
    if index is None or not has_table(connection, VALID, subjects):
        return 0
    date = f"CAST(s.{quoted(index)} AS VARCHAR)"
    units = f"SELECT {key_text(spec.subjects, 's', typed=True)} AS unit, {date} AS date FROM {VALID}.{quoted(subjects)}"
    dates = f"SELECT unit, max(date) AS newest, list(date) AS dates FROM ({units} AS s) GROUP BY unit"
    return _conflict(
        connection,
        "SELECT a.* EXCLUDE (value, kept_value), d.newest AS kept_value, a.index_date AS other_value, "
        "'the record has another index date' AS reason, 'Send the outcome of the episode that was scored.' AS cure "
        f"FROM temp.compared AS a JOIN ({dates}) AS d USING (unit) WHERE a.index_date IS NOT NULL "
        "AND NOT list_contains(d.dates, a.index_date)",
    )


def _waiting(spec: CohortSpec, connection: duckdb.DuckDBPyConnection) -> str:
    units = "SELECT coalesce(unit, pseudonym) AS unit FROM temp.arrived"
    if has_table(connection, VALID, spec.subject_table):
        known = f"SELECT {key_text(spec.subjects, typed=True)} AS unit FROM {VALID}.{quoted(spec.subject_table)}"
        return f"SELECT count(*) FROM ({units} EXCEPT {known})"
    return f"SELECT count(DISTINCT unit) FROM ({units})"
