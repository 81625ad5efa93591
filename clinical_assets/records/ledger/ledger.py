"""The audit ledger: who did what on which digest, in one chain that nobody can change unnoticed.

What belongs here: adding entries and reading them. What does not: an entry's hash (``entries``), checking the chain
(``verification``), handing it out (``exporting``), the file of anchors (``anchors``).

21 CFR 11.10(e) asks for secure, computer-generated, time-stamped audit trails; EU AI Act article 12 for automatic
records of events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import sqlalchemy as sa

from clinical_assets.foundation.types import Json
from clinical_assets.records.actors import current_actor
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import trusted_keys
from clinical_assets.records.ledger.anchors import Anchors
from clinical_assets.records.ledger.appending import append_entry
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.exporting import export
from clinical_assets.records.ledger.facts.actions import FACTS
from clinical_assets.records.ledger.facts.base import LedgerFacts
from clinical_assets.records.ledger.facts.installation import ExportFacts
from clinical_assets.records.ledger.facts.privacy import KeyRotationFacts
from clinical_assets.records.ledger.verification import ChainReport, verify
from clinical_assets.records.schema import ledger as table

LedgerAction = Literal[
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
    "retirement",
    "erasure",
    "login",
    "login_refused",
    "logout",
    "export",
    "person",
    "key_rotation",
    "dossier",
    "deidentification",
    "batch",
    "withdrawal",
    "refusal",
    "outcomes",
    "recommendation",
    "retrain",
    "alert",
    "upgrade",
    "witness",
    "prediction_log",
    "adoption",
    "api_key",
    "api_access",
    "removal",
    "rename",
    "experiment",
]
ACTIONS: tuple[str, ...] = get_args(LedgerAction)

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
        action: LedgerAction,
        *,
        actor: str,
        cohort: str | None = None,
        digest: str | None = None,
        reason: str | None = None,
        facts: LedgerFacts | Mapping[str, Json] | None = None,
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
        facts : LedgerFacts, optional
            Of the action's type in `FACTS`; plain JSON values are taken, too. No identifier of a patient: an entry
            can never be taken out again.
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
        if isinstance(facts, LedgerFacts):
            if not isinstance(facts, FACTS[action]):
                raise RecordsError(
                    f"Facts of an entry about {action} are no {type(facts).__name__}.",
                    cure=f"Give {FACTS[action].__name__}.",
                )
            facts = facts.to_json()
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
        action: LedgerAction | None = None,
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
        action: LedgerAction | None = None,
        digest: str | None = None,
        before: int | None = None,
    ) -> tuple[Entry, ...]:
        """The last ``limit`` entries that have exactly what is given, newest first; of those before a number."""
        with self.database.read() as connection:
            query = _matching(cohort=cohort, action=action, digest=digest)
            if before is not None:
                query = query.where(table.c.seq < before)
            rows = connection.execute(query.order_by(table.c.seq.desc()).limit(limit))
            return tuple(Entry.of(row) for row in rows)

    def digests(self) -> tuple[str, ...]:
        """Every digest that an entry is about."""
        with self.database.read() as connection:
            query = sa.select(table.c.digest).where(table.c.digest.is_not(None)).distinct()
            return tuple(connection.execute(query).scalars())

    def verify(self, *, every_seal: bool = False) -> ChainReport:
        """Check every entry, every anchor and the newest seal, or every one; see ``verification``."""
        with self.database.read() as connection:
            # Asked now: opening an older database makes the key.
            keys = trusted_keys(self.database.settings)
            return verify(connection, self.anchors, shared=self.database.on_server, keys=keys, every_seal=every_seal)

    def export(self, path: Path, *, format: Literal["jsonl", "csv"], actor: str | None = None) -> int:
        """Write all entries into a file and record that; returns how many. See ``exporting``.

        ``actor`` is who takes the export; without it, the account of this process.
        """
        who = actor or current_actor(self.database.settings)
        with export(self.database, path, format=format) as (count, digest):
            # In the ledger before the file has its name: a file that is not in the ledger never exists.
            facts = ExportFacts(file=path.name, format=format, entries=count)
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
        facts = KeyRotationFacts(anchors="restarted", anchored_before=report.anchored)
        return self.append("key_rotation", actor=actor, reason=reason, facts=facts)

    def _append(self, connection: sa.Connection, values: dict[str, str | None]) -> Entry:
        return append_entry(connection, self.database.settings, values)


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
