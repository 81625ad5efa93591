"""Heads of the ledger handed to somebody outside, and the ledger held against them later.

What belongs here: writing a head with its seal as a line, and comparing. What does not: where the lines go
(``witness_places``); that is what makes them worth something.

Who has the database, the anchors and the installation's key can write the ledger anew from any entry on, and nothing
within the installation would tell. A head that lies elsewhere does: its hash is over every entry before it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from clinical_assets.foundation.stored_format import FIELD, format_of
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.installation import installation_signer
from clinical_assets.records.ledger.appending import is_sealed
from clinical_assets.records.ledger.canonical import canonical
from clinical_assets.records.ledger.facts.installation import WitnessFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.ledger.witness_places import WitnessPlace
from clinical_assets.records.place import refuse_copy
from clinical_assets.records.schema import ledger as table

FORMAT = 1


@dataclass(frozen=True)
class Witness:
    """One head: number, time, hash and seal of an entry, and the public key of the seal (base64)."""

    seq: int
    at: str
    hash: str
    seal: str
    key: str

    def line(self) -> str:
        """How it is written: canonical JSON in one line."""
        return canonical({FIELD: FORMAT, **self.__dict__})


@dataclass(frozen=True)
class WitnessReport:
    """What the comparison found: how many heads agree, what is wrong with the first that does not, the last before."""

    agreeing: int
    problem: str | None
    newest: Witness | None = None


def newest_head(records: RecordsDatabase) -> Witness:
    """The newest entry of the ledger as a witness.

    Raises
    ------
    RecordsError
        The ledger has no entry, its newest entry is not sealed with this installation's key, or the data folder is a
        copy: its heads would contradict those of the original.
    """
    refuse_copy(records.settings, "has no witnesses")
    with records.read() as connection:
        row = connection.execute(sa.select(table).order_by(table.c.seq.desc()).limit(1)).first()
    if row is None:
        raise RecordsError("The ledger has no entry to be witnessed.", cure="Do something that is recorded first.")
    key = installation_signer(records.settings).public_key()
    if not is_sealed(row.hash, row.seal, (key,)):
        raise RecordsError(
            f"Entry {row.seq} was not sealed with the key of this installation.",
            cure="clinical-assets audit verify; on another machine of the same database, witness it there.",
        )
    return Witness(row.seq, row.at, row.hash, row.seal, base64.b64encode(key).decode("ascii"))


def witness(ledger: Ledger, place: WitnessPlace, *, actor: str) -> Witness:
    """Hand the newest head to a place outside, and enter that.

    Raises
    ------
    RecordsError
        There is no head to be handed out, or the place did not take it; nothing is entered then.
    """
    head = newest_head(ledger.database)
    place.add(head.line())
    ledger.append("witness", actor=actor, digest=head.hash, facts=WitnessFacts(file=place.name, entry=head.seq))
    return head


def compare(records: RecordsDatabase, lines: Sequence[str], *, where: str) -> WitnessReport:
    """Hold the ledger against witnesses.

    Parameters
    ----------
    records : RecordsDatabase
        With the ledger.
    lines : sequence of str
        What lies in a place outside, oldest first. The key of each line is the line's own: what vouches for it is the
        place from which it comes.
    where : str
        Name of the place, for messages.

    Raises
    ------
    RecordsError
        A line is no witness.
    """
    agreeing, newest = 0, None
    with records.read() as connection:
        for number, line in enumerate(lines, start=1):
            head = _parsed(line, where, number)
            found = connection.execute(sa.select(table.c.hash).where(table.c.seq == head.seq)).scalar_one_or_none()
            if found != head.hash:
                what = "is missing" if found is None else "is another one"
                return WitnessReport(agreeing, f"Entry {head.seq}, witnessed on {head.at}, {what}.", newest)
            agreeing += 1
            newest = head
    return WitnessReport(agreeing, None, newest)


def _parsed(line: str, where: str, number: int) -> Witness:
    try:
        content = json.loads(line)
        format_of(content, newest=FORMAT, where=where)
        content.pop(FIELD)
        witness = Witness(**content)
        right = is_sealed(witness.hash, witness.seal, (base64.b64decode(witness.key, validate=True),))
    except (ValueError, TypeError, KeyError, AttributeError):
        right = False
    if not right:
        raise RecordsError(f"Line {number} of {where} is no witness, or was changed.", cure="Take an unchanged copy.")
    return witness
