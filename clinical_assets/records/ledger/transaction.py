"""One writing transaction of the database of records, and what its writers leave in it for the commit.

What belongs here: the object that travels with a connection. What does not: opening and committing (``database``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from clinical_assets.records.clock import utc_now
from clinical_assets.records.errors import RecordsError

TRANSACTION = "records_transaction"


@dataclass
class Transaction:
    """What one writing transaction keeps with it.

    Attributes
    ----------
    at : str
        The time of everything recorded in it.
    before_commit : list of callable
        Called in order with the connection as the last thing before the commit.
    after_commit : list of callable
        Called in order when the transaction has been committed, and never when it has been rolled back.
    notes : dict
        For the modules that write in it, each under its own name.
    """

    at: str = field(default_factory=utc_now)
    before_commit: list[Callable[[sa.Connection], None]] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def transaction_of(connection: sa.Connection) -> Transaction:
    """What belongs to the transaction that ``RecordsDatabase.write`` opened.

    Raises
    ------
    RecordsError
        When the connection is of another kind: its commit could not be followed.
    """
    found = connection.info.get(TRANSACTION)
    if not isinstance(found, Transaction):
        raise RecordsError(
            "Something was to be recorded outside a writing transaction of the database of records.",
            cure="Pass the connection that `with records.write() as connection` gives.",
        )
    return found
