"""Taking a batch back: a delivery that was wrong must not stay among the records that models are judged and made by.

Its records and scores go, and the outcomes that stood in its records; that it was received, refused values and outcomes
that somebody sent in files of their own stay. The same file is not taken in again, a corrected one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clinical_assets.foundation.canonical import hex_of
from clinical_assets.foundation.errors import WarehouseError
from clinical_assets.records.ledger.facts.intake import WithdrawalFacts
from clinical_assets.warehouse.outcomes.received_tables import (
    BATCH,
    BATCHES,
    CONFLICTS,
    RAW,
    VALID,
    VALUES,
    columns_of,
    has_table,
)
from clinical_assets.warehouse.store.sql_text import literal, quoted
from clinical_assets.warehouse.store.unentered import note
from clinical_assets.warehouse.store.warehouse import Warehouse

_LEAST_DIGITS = 8
_KEPT = {"batches", "files", "findings"}


@dataclass(frozen=True)
class Withdrawal:
    """What was taken back: the batch, and rows that went by table."""

    batch: str
    rows: dict[str, int]


def withdraw(warehouse: Warehouse, batch: str, *, actor: str, reason: str) -> Withdrawal:
    """Remove a batch's records, features and scores in one transaction.

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's warehouse.
    batch : str
        Its digest, or the beginning of it that no other batch shares.
    actor, reason : str
        Who takes it back, and why: noted for the audit ledger with the change.

    Raises
    ------
    WarehouseError
        There is no such batch, or several begin like that.
    """
    found = [str(row["batch"]) for row in list_batches(warehouse) if str(row["batch"]).startswith(batch)]
    # A slip of the keyboard must not name a batch.
    if len(hex_of(batch)) < _LEAST_DIGITS or len(found) != 1:
        raise WarehouseError(
            f"{batch!r} does not name one batch of cohort {warehouse.cohort!r}: {len(found)} begin with it.",
            cure=f"Give eight digits or more; clinical-assets batches {warehouse.cohort} lists them.",
        )
    gone: dict[str, int] = {}
    with warehouse.writer() as connection:
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database() "
            f"AND schema_name IN {literal((RAW, VALID, 'monitoring'))} ORDER BY ALL"
        ).fetchall()
        for schema, table in tables:
            relation = f"{quoted(schema)}.{quoted(table)}"
            if (schema == RAW and table in _KEPT) or BATCH not in columns_of(connection, relation):
                continue
            counted = connection.execute(f"DELETE FROM {relation} WHERE {BATCH} = {literal(found[0])}").fetchone()
            if counted and counted[0]:
                gone[f"{schema}.{table}"] = int(counted[0])
        # Else the outcomes of a corrected batch would be contradictions of wrong ones.
        for relation in (VALUES, CONFLICTS):
            if has_table(connection, *relation.split(".")):
                counted = connection.execute(f"DELETE FROM {relation} WHERE file = {literal(found[0])}").fetchone()
                if counted and counted[0]:
                    gone[relation] = int(counted[0])
        connection.execute(f"UPDATE {BATCHES} SET rows = 0 WHERE {BATCH} = {literal(found[0])}")
        note(connection, "withdrawal", digest=found[0], facts=WithdrawalFacts(rows=gone), actor=actor, reason=reason)
    return Withdrawal(batch=found[0], rows=gone)


def list_batches(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Batches that were received, the newest first: digest, time, files, records taken in and refused."""
    if not warehouse.exists():
        return []
    with warehouse.reader() as connection:
        if not has_table(connection, RAW, "batches"):
            return []
        rows = connection.execute(
            f"SELECT {BATCH}, received_at, files, rows, refused_rows FROM {BATCHES} ORDER BY received_at DESC, {BATCH}"
        ).fetchall()
    names = ("batch", "received_at", "files", "rows", "refused_rows")
    return [dict(zip(names, row, strict=True)) for row in rows]
