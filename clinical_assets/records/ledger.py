"""The audit ledger: who did what on which digest, in one chain that nobody can change unnoticed.

What belongs here: adding entries and reading them. What does not: an entry's hash (``entries``), checking the chain
(``verification``), handing it out (``exporting``), the file of anchors (``anchors``).

21 CFR 11.10(e) asks for secure, computer-generated, time-stamped audit trails; EU AI Act article 12 for automatic
records of events.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import sqlalchemy as sa

from clinical_assets.records.actors import current_actor
from clinical_assets.records.anchors import Anchor, Anchors
from clinical_assets.records.canonical import JSON, canonical
from clinical_assets.records.database import RecordsDatabase, Transaction, transaction_of
from clinical_assets.records.entries import GENESIS, Entry, entry_hash
from clinical_assets.records.exporting import export
from clinical_assets.records.refusals import RecordsError
from clinical_assets.records.schema import ledger as table
from clinical_assets.records.verification import RESTARTED, ChainReport, verify

Action = Literal[
    "ingestion",
    "quarantine",
    "training",
    "gate_verdict",
    "review",
    "signature",
    "rejection",
    "waiver",
    "promotion",
    "rollback",
    "erasure",
    "login",
    "login_refused",
    "export",
    "person",
    "key_rotation",
    "dossier",
    "deidentification",
    "batch",
    "withdrawal",
    "outcomes",
    "recommendation",
    "retrain",
    "alert",
]
ACTIONS: tuple[str, ...] = get_args(Action)

_log = logging.getLogger(__name__)
_NOTE = "ledger"
# NUL, which PostgreSQL cannot keep, and halves of characters, which UTF-8 does not have.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Ledger:
    """The chain of entries in a database of records.

    Parameters
    ----------
    database : RecordsDatabase
        Where the entries stand; its settings say where their anchors are.
    """

    def __init__(self, database: RecordsDatabase) -> None:
        self.database = database
        self.anchors = Anchors(database.settings)

    def append(
        self,
        action: Action,
        *,
        actor: str,
        cohort: str | None = None,
        digest: str | None = None,
        reason: str | None = None,
        facts: Mapping[str, JSON] | None = None,
        connection: sa.Connection | None = None,
    ) -> Entry:
        """Add one entry at the end of the chain.

        Parameters
        ----------
        action : str
            One of ``ACTIONS``.
        actor : str
            Who acts: an account, a login, or ``automation:<name>``.
        cohort, digest, reason : str, optional
            What it is about.
        facts : mapping, optional
            Plain JSON values. No identifier of a patient: an entry can never be taken out again.
        connection : sqlalchemy.Connection, optional
            Of ``RecordsDatabase.write``: the entry is then committed, or rolled back, with everything else in that
            transaction. Without it the entry has a transaction of its own and is on disk when this returns.

        Raises
        ------
        RecordsError
            When a value cannot be recorded, the anchors contradict the ledger, or the database refuses; nothing is
            recorded then.
        """
        if action not in ACTIONS:
            raise RecordsError(f"The ledger knows no action {action!r}.", cure=f"Use one of {', '.join(ACTIONS)}.")
        given = {"actor": actor, "action": action, "cohort": cohort, "digest": digest, "reason": reason}
        _check(given)
        if not actor:
            raise RecordsError("An entry of the ledger names nobody as its actor.", cure="Say who acts.")
        values = {**given, "facts": canonical(dict(facts or {}))}
        if connection is not None:
            return self._append(connection, values)
        with self.database.write() as own:
            return self._append(own, values)

    def entries(
        self,
        *,
        cohort: str | None = None,
        action: Action | None = None,
        digest: str | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Entries in the order of the chain, oldest first.

        Parameters
        ----------
        cohort, action, digest : str, optional
            Only entries that have exactly this.
        after : int
            Only entries with a greater number.
        limit : int, optional
            At most so many, the first ones.
        """
        with self.database.read() as connection:
            query = _matching(cohort=cohort, action=action, digest=digest).where(table.c.seq > after)
            rows = connection.execute(query.order_by(table.c.seq).limit(limit))
            return tuple(Entry.of(row) for row in rows)

    def newest(
        self,
        limit: int,
        *,
        cohort: str | None = None,
        action: Action | None = None,
        digest: str | None = None,
    ) -> tuple[Entry, ...]:
        """The last ``limit`` entries that have exactly what is given, newest first."""
        with self.database.read() as connection:
            query = _matching(cohort=cohort, action=action, digest=digest)
            rows = connection.execute(query.order_by(table.c.seq.desc()).limit(limit))
            return tuple(Entry.of(row) for row in rows)

    def verify(self) -> ChainReport:
        """Check every entry and every anchor; see ``verification``."""
        return verify(self.database, self.anchors)

    def export(self, path: Path, *, format: Literal["jsonl", "csv"], actor: str | None = None) -> int:
        """Write all entries into a file and record that; returns how many. See ``exporting``.

        ``actor`` is who takes the export; without it, the account of this process.
        """
        who = actor or current_actor(self.database.settings)
        count, digest, write = export(self.database, path, format=format)
        with write:
            # In the ledger before the file has its name: a file that is not in the ledger never exists.
            facts: dict[str, JSON] = {"file": path.name, "format": format, "entries": count}
            self.append("export", actor=who, digest=digest, facts=facts)
        return count

    def restart_anchors(self, *, actor: str, reason: str) -> Entry:
        """Begin the anchors anew after their file was lost, with an entry that says who did so and why.

        Until then ``verify`` reports the loss; afterwards it tells of it as a note. What was committed before can no
        longer be held against its anchors.

        Raises
        ------
        RecordsError
            When no reason is given, or the chain itself is broken or contradicts the anchors: that is no loss.
        """
        if not reason.strip():
            raise RecordsError("No reason is given for beginning the anchors anew.", cure="Say what became of them.")
        report = self.verify()
        if report.first_bad is not None or not (report.intact or report.anchors_lost):
            raise RecordsError(
                f"The anchors cannot begin anew: {report.problem}",
                cure="Restore the newest backup of the database of records and of the anchors.",
            )
        facts: dict[str, JSON] = {**RESTARTED, "anchored_before": report.anchored}
        return self.append("key_rotation", actor=actor, reason=reason, facts=facts)

    def _append(self, connection: sa.Connection, values: dict[str, str | None]) -> Entry:
        transaction = transaction_of(connection)
        head = _head(connection)
        if _NOTE not in transaction.notes:
            self.anchors.reach(head)
            transaction.notes[_NOTE] = None
            # Asked at the end: a caller may have rolled back to a savepoint.
            transaction.before_commit.append(lambda last: transaction.notes.update({_NOTE: _head(last)}))
            transaction.after_commit.append(lambda: self._anchor(transaction))
        chained = {
            "seq": head.seq + 1 if head else 1,
            "at": transaction.at,
            **values,
            "previous": head.hash if head else GENESIS,
        }
        hash_ = entry_hash(**chained)  # type: ignore[arg-type]
        connection.execute(table.insert().values(**chained, hash=hash_))
        row = connection.execute(sa.select(table).where(table.c.seq == chained["seq"])).one()
        return Entry.of(row)

    def _anchor(self, transaction: Transaction) -> None:
        head = transaction.notes[_NOTE]
        if head is None:
            return
        try:
            self.anchors.add(head)
        except RecordsError as error:
            # The transaction is committed: to report it as failed would be wrong. The next one is refused until the
            # anchor can be written.
            _log.error("Entry %d of the audit ledger is recorded, but not anchored yet: %s", head.seq, error)


def _head(connection: sa.Connection) -> Anchor | None:
    columns = (table.c.seq, table.c.hash, table.c.at)
    row = connection.execute(sa.select(*columns).order_by(table.c.seq.desc()).limit(1)).first()
    return Anchor(seq=row.seq, hash=row.hash, at=row.at) if row else None


def _matching(*, cohort: str | None, action: str | None, digest: str | None) -> sa.Select[tuple[object, ...]]:
    query = sa.select(table)
    for column, wanted in ((table.c.cohort, cohort), (table.c.action, action), (table.c.digest, digest)):
        if wanted is not None:
            query = query.where(column == wanted)
    return query


def _check(values: Mapping[str, str | None]) -> None:
    """Refuse what one of the two databases would refuse or change."""
    for name, text in values.items():
        if text is None:
            continue
        longest = getattr(table.c[name].type, "length", None)
        if longest is not None and len(text) > longest:
            raise RecordsError(
                f"The {name} of an entry has {len(text)} characters; {longest} are kept.", cure="Use a shorter text."
            )
        if _UNSTORABLE.search(text):
            raise RecordsError(
                f"The {name} of an entry holds NUL or half a character, which cannot be kept.", cure="Use plain text."
            )
