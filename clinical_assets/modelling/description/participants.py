"""The flow of participants: records found, refused, validated; units excluded, with reasons; units used.

TRIPOD+AI item 20a, doi 10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb


def participant_flow(connection: duckdb.DuckDBPyConnection, spec: CohortSpec) -> dict[str, Any]:
    """Counts of every step from the source to the units used.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        To the cohort's warehouse, with ``raw``, ``validated``, ``quarantine`` and ``model.outcomes``.
    spec : CohortSpec
        The cohort's description.

    Returns
    -------
    dict
        ``tables``: one entry per table with ``table``, ``raw`` (records found), ``unreadable`` (lines that were no
        record), ``refused``, ``validated`` and ``reasons`` (``rule``, ``columns``, ``records``; a record may have
        several). ``units``, ``excluded`` (``reason``, ``units``) and ``used``: prediction units.
    """
    tables = [_table(connection, name) for name in spec.tables]
    excluded = connection.execute(
        "SELECT exclusion, count(*) FROM model.outcomes WHERE exclusion IS NOT NULL GROUP BY ALL ORDER BY 2 DESC, 1"
    ).fetchall()
    units = _count(connection, "model.outcomes")
    return {
        "tables": tables,
        "units": units,
        "excluded": [{"reason": reason, "units": int(count)} for reason, count in excluded],
        "used": units - sum(int(count) for _, count in excluded),
    }


def _table(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    mine = f"table_name = {literal(name)}"
    reasons = connection.execute(
        "SELECT f.rule, f.column_name, count(DISTINCT f._row) FROM quarantine.findings AS f "
        f"SEMI JOIN quarantine.records AS r ON r.table_name = f.table_name AND r._row = f._row WHERE f.{mine} "
        "GROUP BY ALL ORDER BY 3 DESC, 1, 2"
    ).fetchall()
    return {
        "table": name,
        "raw": _count(connection, f"raw.{quoted(name)}"),
        "unreadable": _count(connection, f"quarantine.records WHERE {mine} AND _row IS NULL"),
        "refused": _count(connection, f"quarantine.records WHERE {mine} AND _row IS NOT NULL"),
        "validated": _count(connection, f"validated.{quoted(name)}"),
        "reasons": [
            {"rule": rule, "columns": columns or "", "records": int(records)} for rule, columns, records in reasons
        ],
    }


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(found[0]) if found else 0
