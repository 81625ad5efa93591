"""What somebody can write who holds the database, the files or the installation's key."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import sqlalchemy as sa

from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.verification import verify_all
from clinical_assets.records.keys.installation import installation_signer
from clinical_assets.records.ledger.appending import seal_of
from clinical_assets.records.ledger.entries import entry_hash
from clinical_assets.records.ledger.ledger import Ledger


def insert(made: Releasable, table: str, row: dict[str, Any]) -> None:
    """A plain INSERT, which no trigger refuses."""
    with contextlib.closing(sqlite3.connect(made.settings.records / "records.sqlite")) as connection, connection:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


def row_of(made: Releasable, table: sa.Table) -> dict[str, Any]:
    """The newest row of a table."""
    with made.records.read() as connection:
        return dict(connection.execute(sa.select(table)).mappings().all()[-1])


def forge_entry(made: Releasable, action: str, facts: dict[str, Any], *, sealed: bool, actor: str = "bob") -> int:
    """An entry with right number, hash and predecessor; sealed only by somebody who holds the installation's key."""
    head = Ledger(made.records).newest(1)[0]
    values = {
        "seq": head.seq + 1,
        "at": head.at,
        "actor": actor,
        "action": action,
        "cohort": None if action == "person" else COHORT,
        "digest": None if action == "person" else made.candidate.digest,
        "reason": None,
        "facts": json.dumps(facts, sort_keys=True, separators=(",", ":")),
        "previous": head.hash,
    }
    hash_ = entry_hash(**values)  # type: ignore[arg-type]
    seal = seal_of(hash_, installation_signer(made.settings)) if sealed else None
    insert(made, "ledger", {**values, "hash": hash_, "seal": seal})
    return head.seq + 1


def wrong(made: Releasable) -> dict[str, tuple[str, ...]]:
    """What the one verification finds, by kind of evidence."""
    return {part.name: part.problems for part in verify_all(made.settings).parts if part.problems}
