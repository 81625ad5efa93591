"""Changes of a warehouse that are not in the audit ledger yet, noted in the transaction that makes them.

What belongs here: noting a change, and entering what was noted. Warehouse and ledger are two stores, and a process can
be killed between the two. A change is therefore noted in ``meta.unentered`` of the warehouse together with the change
itself; the note goes when the ledger has the entry. What a killed process left is entered by the next run, once: an
entry carries the number of its note.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from clinical_assets.records.clock import utc_now
from clinical_assets.records.ledger.facts.intake import NOTED, NotedFacts
from clinical_assets.warehouse.store.sql_text import literal

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.records.ledger.ledger import Ledger, LedgerAction
    from clinical_assets.warehouse.store.warehouse import Warehouse

_TABLE = "meta.unentered"


def note(
    connection: duckdb.DuckDBPyConnection,
    action: LedgerAction,
    *,
    digest: str,
    facts: NotedFacts,
    actor: str | None = None,
    reason: str | None = None,
) -> None:
    """Note a change, in the transaction that makes it.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Of the cohort's warehouse, in a transaction.
    action, digest, facts, reason
        Of the entry to come. No identifier may stand in `facts`.
    actor : str, optional
        Who made the change; by default whoever enters it.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS meta")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_TABLE} (change VARCHAR, noted_at VARCHAR, action VARCHAR, digest VARCHAR, "
        "facts VARCHAR, actor VARCHAR, reason VARCHAR)"
    )
    values = (secrets.token_hex(8), utc_now(), action, digest, json.dumps(facts.to_json()), actor, reason)
    texts = ", ".join("NULL" if value is None else literal(value) for value in values)
    connection.execute(f"INSERT INTO {_TABLE} VALUES ({texts})")


def enter(warehouse: Warehouse, ledger: Ledger, *, actor: str, run_id: str | None = None) -> int:
    """Enter what was noted and is not in the ledger yet, the oldest first; says how many.

    Parameters
    ----------
    warehouse : Warehouse
        The cohort's warehouse.
    ledger : Ledger
        Where the entries go.
    actor : str
        In whose name changes are entered that say nothing of it.
    run_id : str, optional
        The run that enters them.
    """
    if not warehouse.exists():
        return 0
    with warehouse.exclusive():
        if not any((info.schema, info.name) == ("meta", "unentered") for info in warehouse.tables()):
            return 0
        noted = warehouse.query(f"SELECT * FROM {_TABLE} ORDER BY noted_at, change").rows(named=True)
        for row in noted:
            action: LedgerAction = row["action"]
            # Killed between entry and the end of the note: the entry is there.
            entries = ledger.entries(action=action, cohort=warehouse.cohort)
            facts_type = NOTED[action]
            known = {facts.change for entry in entries if (facts := facts_type.found(entry.facts)) is not None}
            added = {"change": row["change"], **({} if run_id is None else {"run_id": run_id})}
            if row["change"] not in known:
                ledger.append(
                    action,
                    actor=row["actor"] or actor,
                    cohort=warehouse.cohort,
                    digest=row["digest"],
                    reason=row["reason"],
                    facts=facts_type.of(json.loads(row["facts"]), where=_TABLE).model_copy(update=added),
                )
            with warehouse.writer() as connection:
                connection.execute(f"DELETE FROM {_TABLE} WHERE change = {literal(row['change'])}")
    return len(noted)
