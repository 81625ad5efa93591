r"""Adding one entry to the ledger, within a writing transaction: chained, sealed, and anchored after the commit.

What belongs here: the steps of adding, and the look at what stands there before. What does not: who may add what
(``ledger``), the seal's key (``keys.installation``).

    seal_i = Ed25519 signature, by the installation's key, of "clinical_assets ledger seal, version 1\n" | hash_i

A hash commits to all entries before it, so a valid seal of the newest entry is one of the whole chain: whoever can
write the database but has no key adds nothing that is taken for ours. An entry that has no anchor yet is checked in
full, seal included, before another one follows it or an anchor confirms it.
"""

from __future__ import annotations

import base64
import logging
from typing import Any

import sqlalchemy as sa

from clinical_assets.foundation.settings import Settings
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import Signer, installation_signer, is_signed, trusted_keys
from clinical_assets.records.ledger.anchors import Anchor, Anchors
from clinical_assets.records.ledger.entries import GENESIS, Entry, entry_hash
from clinical_assets.records.ledger.transaction import Transaction, transaction_of
from clinical_assets.records.schema import ledger as table

_log = logging.getLogger(__name__)
_NOTE = "ledger"
_SEAL = "clinical_assets ledger seal, version 1\n"


def append_entry(
    connection: sa.Connection, settings: Settings, values: dict[str, str | None], *, first_seal: bool = False
) -> Entry:
    """Add one entry in the transaction of a connection.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        A writing transaction.
    settings : Settings
        Where the seal's key and the anchors lie.
    values : dict
        ``actor``, ``action``, ``cohort``, ``digest``, ``reason`` and ``facts`` (canonical text), checked by the caller.
    first_seal : bool
        The entries before this one were written before there were seals, and the caller has verified them.

    Raises
    ------
    RecordsError
        The entries before were not written by this installation, contradict the anchors, or there is no key.
    """
    transaction = transaction_of(connection)
    anchors = Anchors(settings)
    head = head_of(connection)
    signer = installation_signer(settings, create=head is None or first_seal)
    if _NOTE not in transaction.notes:
        if not first_seal:
            _refuse_strange(connection, anchors, head, trusted_keys(settings))
        anchors.reach(head)
        transaction.notes[_NOTE] = None
        # Asked at the end: a caller may have rolled back to a savepoint.
        transaction.before_commit.append(lambda last: transaction.notes.update({_NOTE: head_of(last)}))
        transaction.after_commit.append(lambda: _anchor(transaction, anchors))
    chained: dict[str, Any] = {
        "seq": head.seq + 1 if head else 1,
        "at": transaction.at,
        **values,
        "previous": head.hash if head else GENESIS,
    }
    hash_ = entry_hash(**chained)
    connection.execute(table.insert().values(**chained, hash=hash_, seal=seal_of(hash_, signer)))
    row = connection.execute(sa.select(table).where(table.c.seq == chained["seq"])).one()
    return Entry.of(row)


def seal_of(hash_: str, signer: Signer) -> str:
    """The seal of an entry's hash, as base64."""
    return base64.b64encode(signer.sign((_SEAL + hash_).encode("ascii"))).decode("ascii")


def is_sealed(hash_: str, seal: str | None, keys: tuple[bytes, ...]) -> bool:
    """Whether a seal is one of a hash by a key that counts here."""
    try:
        signature = base64.b64decode(seal or "", validate=True)
        return is_signed((_SEAL + hash_).encode("ascii"), signature, keys)
    except ValueError:  # no base64, or no ASCII
        return False


def is_whole(row: Any) -> bool:
    """Whether the content of an entry's row has its hash."""
    fields = row._asdict()
    hash_, _ = fields.pop("hash"), fields.pop("seal")
    return bool(entry_hash(**fields) == hash_)


def head_of(connection: sa.Connection) -> Anchor | None:
    """Number, hash and time of the newest entry."""
    columns = (table.c.seq, table.c.hash, table.c.at)
    row = connection.execute(sa.select(*columns).order_by(table.c.seq.desc()).limit(1)).first()
    return Anchor(seq=row.seq, hash=row.hash, at=row.at) if row else None


def _refuse_strange(connection: sa.Connection, anchors: Anchors, head: Anchor | None, keys: tuple[bytes, ...]) -> None:
    """Check what stands behind the newest anchor; without one, the newest entry, whose hash is over all others."""
    if head is None:
        return
    newest = anchors.newest()
    if newest is not None and newest.seq >= head.seq:
        return
    first = head.seq if newest is None else newest.seq + 1
    previous = None if newest is None else newest.hash
    for row in connection.execute(sa.select(table).where(table.c.seq >= first).order_by(table.c.seq)):
        follows = previous is None or row.previous == previous
        if not (follows and is_whole(row) and is_sealed(row.hash, row.seal, keys)):
            raise RecordsError(
                f"Entry {row.seq} of the audit ledger was not written by this installation: its seal, its hash or the "
                "entry before it does not fit. Nothing is added to it.",
                cure="Run `clinical-assets audit verify`; restore the newest backup of the database of records, and "
                "find out who wrote into it. Another machine's key must stand in installation.trusted.",
            )
        previous = row.hash


def _anchor(transaction: Transaction, anchors: Anchors) -> None:
    head = transaction.notes[_NOTE]
    if head is None:
        return
    try:
        anchors.add(head)
    except RecordsError as error:
        # The transaction is committed: to report it as failed would be wrong. The next one is refused until the
        # anchor can be written.
        _log.error("Entry %d of the audit ledger is recorded, but not anchored yet: %s", head.seq, error)


def unsigned_until(connection: sa.Connection, settings: Settings) -> int:
    """The entry of the upgrade from version 1, before which people had no keys; 0 where there was none.

    Only the first sealed entry can be it, and only with its seal: otherwise an upgrade that somebody adds would let
    entries without signatures count.
    """
    first = connection.execute(
        sa.select(table).where(table.c.seal.is_not(None)).order_by(table.c.seq).limit(1)
    ).one_or_none()
    if first is None or first.action != "upgrade":
        return 0
    right = is_whole(first) and is_sealed(first.hash, first.seal, trusted_keys(settings))
    return int(first.seq) if right else 0


def is_vouched_for(connection: sa.Connection, row: Any, settings: Settings) -> bool:
    """Whether the installation wrote an entry: by its own seal, or by that of the upgrade, to which the chain leads."""
    if row.seal is not None:
        return is_whole(row) and is_sealed(row.hash, row.seal, trusted_keys(settings))
    until = unsigned_until(connection, settings)
    if row.seq >= until:
        return False
    expected = row.previous
    query = sa.select(table).where(table.c.seq >= row.seq, table.c.seq <= until).order_by(table.c.seq)
    for link in connection.execute(query):
        if link.previous != expected or not is_whole(link):
            return False
        expected = link.hash
    return True
