"""What people did and may do: signatures, reviews, logins, and keys of callers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool

from clinical_assets.records.ledger.facts.base import LedgerFacts


class ReviewFacts(LedgerFacts):
    """Somebody looked at a dossier (digest, codes of what stands against a promotion) or at the list of people.

    Attributes
    ----------
    people : str or None
        Digest of the list that was reviewed.
    count : int or None
        People in it.
    by, signature : str or None
        The administrator, and the signature over the other fields.
    """

    dossier_digest: str | None = None
    blockers: tuple[str, ...] | None = None
    people: str | None = None
    count: int | None = None
    by: str | None = None
    reason: str | None = None
    signature: str | None = None


class SignatureFacts(LedgerFacts):
    """A signature, rejection, withdrawal or waiver; fields as in `governance.signing.record.Signature`."""

    id: str
    cohort: str
    bundle_digest: str
    dossier_digest: str
    kind: str
    meaning: str
    gate: str | None
    criterion: str | None
    reason: str | None
    login: str
    printed_name: str
    role: str
    signed_at: str
    expires_at: str
    public_key: str | None = None
    signature: str | None = None


class LoginFacts(LedgerFacts):
    """Somebody proved who they are, or did not: login, where what was typed can be one, and why it was refused."""

    login: str | None
    why: str | None


class LogoutFacts(LedgerFacts):
    """Somebody signed out of the pages.

    Attributes
    ----------
    login : str
        Who.
    session : str
        Name of the session that ended; no request is answered in it any more.
    """

    login: str
    session: str


class PersonFacts(LedgerFacts):
    """A person was added or changed; everything but the secrets, as `Enrolment` has it.

    Attributes
    ----------
    change : str
        What was done.
    number : int or None
        Of the change, from 1 per person; absent before signatures by keys.
    by : str or None
        Login of the administrator who signed.
    signature : str or None
        Over the other fields.
    """

    change: str
    number: int | None = None
    login: str
    printed_name: str
    roles: tuple[str, ...]
    accounts: tuple[str, ...]
    identity_provider: str | None
    active: StrictBool
    public_key: str | None = None
    secrets_digest: str | None = None
    by: str | None
    signature: str | None = None


class ApiKeyFacts(LedgerFacts):
    """A key of the API was made or revoked.

    Attributes
    ----------
    terms : str or None
        Digest of what a key that was made may do.
    start : str or None
        From when on a key is revoked, UTC; ``from`` in the ledger.
    """

    event: Literal["made", "revoked"]
    id: str
    terms: str | None = None
    start: str | None = Field(default=None, validation_alias="from", serialization_alias="from")


class ApiAccessFacts(LedgerFacts):
    """Calls of the API in a window: reason to refusals, and key to calls, those of administration apart."""

    since: str
    until: str
    refused: dict[str, int]
    asked: dict[str, int]
    administrative: dict[str, int]
