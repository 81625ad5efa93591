"""One entry of the audit ledger, and the hash that ties it to the one before.

    hash_i = "sha256:" + SHA-256(hash_{i-1} | canonical JSON of all other fields of entry i)

``|`` joins the text of the hash before (``GENESIS`` before the first entry) and the JSON, nothing between them. The
JSON is ``canonical``: sorted keys, no spaces, ASCII. Anybody can compute it again from an export.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.canonical import HEX_DIGITS, PREFIX, parts_digest
from clinical_assets.records.ledger.canonical import canonical

if TYPE_CHECKING:
    import sqlalchemy as sa

GENESIS = PREFIX + "0" * HEX_DIGITS


_FOR_MACHINES = {"signature", "public_key", "secrets_digest"}


@dataclass(frozen=True)
class Entry:
    """What happened.

    Attributes
    ----------
    seq : int
        Number of the entry, from 1, without gaps.
    at : str
        When, ISO 8601 in UTC with microseconds; entries of one transaction have the same time.
    actor, action : str
        Who did what.
    cohort, digest, reason : str or None
        The cohort, the digest of what was acted on, and what the actor gave as reason.
    facts : dict
        What else is to be known, as plain JSON values; no identifier of a patient.
    previous, hash : str
        The hash of the entry before, and the hash over this one.
    seal : str or None
        The installation's signature of the hash, as base64; None for entries of version 1.
    """

    seq: int
    at: str
    actor: str
    action: str
    cohort: str | None
    digest: str | None
    reason: str | None
    facts: dict[str, Any]
    previous: str
    hash: str
    seal: str | None = None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Entry:
        """The entry in a row of the table."""
        return cls(**{**row._asdict(), "facts": json.loads(row.facts)})

    def to_json(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)

    def in_short(self) -> str:
        """Reason and facts in one line, without what only machines read; JSON and exports have that, too."""
        parts = [self.reason] if self.reason else []
        told = (f"{name}={value}" for name, value in self.facts.items() if name not in _FOR_MACHINES)
        return "; ".join([*parts, *told])


def facts_of(text: str) -> dict[str, Any]:
    """The facts in the text of a row; empty where somebody changed it so that it is no JSON object any more."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def entry_hash(
    *,
    previous: str,
    seq: int,
    at: str,
    actor: str,
    action: str,
    cohort: str | None,
    digest: str | None,
    reason: str | None,
    facts: str,
) -> str:
    """The hash of an entry whose ``facts`` are given as the canonical text that is stored.

    The text stands in the JSON as it is: it is not read and written again, so no other text has the same hash.
    """
    action, actor, at = canonical(action), canonical(actor), canonical(at)
    content = (
        f'{{"action":{action},"actor":{actor},"at":{at},"cohort":{canonical(cohort)},"digest":{canonical(digest)},'
        f'"facts":{facts},"reason":{canonical(reason)},"seq":{seq}}}'
    )
    # A damaged text may hold halves of characters; it must get a hash too, another one.
    return parts_digest((previous + content).encode("utf-8", "surrogatepass"))
