"""Making a copied data folder an installation of its own: a backup that was restored, a folder that was moved.

What belongs here: the entry that says so, and the new identity. What does not: telling a copy (``place``).
"""

from __future__ import annotations

import uuid

from clinical_assets.records.errors import RecordsError
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.facts.installation import AdoptionFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import FILE, copied_from, identity, write_identity


def adopt(ledger: Ledger, *, actor: str, reason: str) -> Entry:
    """Enter that a copied data folder goes on as an installation, and give it an identity of its own.

    Parameters
    ----------
    ledger : Ledger
        Of the copy.
    actor : str
        Account in which it happens.
    reason : str
        Where the folder comes from, and what became of the original.

    Raises
    ------
    RecordsError
        No reason is given, or the folder is no copy.
    """
    settings = ledger.database.settings
    if not reason.strip():
        raise RecordsError(
            "No reason is given for adopting the data folder.", cure="Say where it comes from: --reason."
        )
    try:
        before, copied = identity(settings), copied_from(settings) is not None
    except RecordsError:
        before, copied = None, True  # whatever it was, it cannot be told any more
    if not copied:
        raise RecordsError(f"{settings.data} is no copy.", cure=f"Nothing is to be done; {FILE} in it says so.")
    identifier = str(uuid.uuid4())
    facts = AdoptionFacts(
        installation=identifier, copy_of=None if before is None else before.id, name=settings.installation
    )
    entry = ledger.append("adoption", actor=actor, reason=reason.strip(), facts=facts)
    write_identity(settings, identifier)
    return entry
