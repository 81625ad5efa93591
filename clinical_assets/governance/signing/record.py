"""One signature as it is kept for good.

What belongs here: its fields, and the content that is signed. What does not: giving and checking one (``signatures``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SignatureKind = Literal["approval", "rejection", "withdrawal", "waiver"]
WHAT = "signature"


@dataclass(frozen=True)
class Signature:
    """One signature.

    Attributes
    ----------
    id : str
    cohort, bundle_digest, dossier_digest : str
        What was signed.
    kind : str
        ``approval``, ``rejection``, ``withdrawal`` (of one's own rejection) or ``waiver``.
    meaning : str
        What the signer says by signing.
    gate, criterion, reason : str or None
        What a waiver waives; why a waiver, rejection or withdrawal was given.
    login, printed_name, role : str
        Who signed, and as what.
    signed_at, expires_at : str
        UTC.
    ledger_seq : int
        Its entry in the audit ledger.
    public_key : str or None
        The signer's public key at that time, as base64; None for a signature of version 1, which no key made.
    signature : str or None
        By the signer's private key, over everything else but the number of the entry.
    """

    id: str
    cohort: str
    bundle_digest: str
    dossier_digest: str
    kind: SignatureKind
    meaning: str
    gate: str | None
    criterion: str | None
    reason: str | None
    login: str
    printed_name: str
    role: str
    signed_at: str
    expires_at: str
    ledger_seq: int
    public_key: str | None = None
    signature: str | None = None

    @property
    def by_key(self) -> bool:
        """True for a signature by a person's key; False for one of version 1."""
        return self.signature is not None

    def facts(self) -> dict[str, Any]:
        """What its ledger entry says: everything but the number of the entry."""
        left_out = {"ledger_seq"} if self.by_key or self.public_key else {"ledger_seq", "public_key", "signature"}
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def content(self) -> dict[str, Any]:
        """What the key signs."""
        return {name: value for name, value in self.facts().items() if name != "signature"}
