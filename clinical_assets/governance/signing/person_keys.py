"""A person's signing key: Ed25519 (RFC 8032), its private part encrypted under the person's password.

What belongs here: making, locking and unlocking keys, signing and checking. What does not: whose key counts
(``roster``).

The key that encrypts is argon2id (RFC 9106, low memory) of the password with a salt of its own; the cipher is AES-256
in GCM, bound to login and public key. Where an identity provider vouches for somebody there is no password: the
installation's key takes its place, so such a signature is as good as that key and the provider's word.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import FIELD, format_of
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing import passwords
from clinical_assets.records.keys.installation import derived_key, installation_signer
from clinical_assets.records.ledger.canonical import canonical

FORMAT = 1
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


@dataclass(frozen=True)
class PersonKey:
    """An unlocked key: whoever holds this object can sign as the person."""

    login: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """The public part, as base64."""
        return _text(self.private.public_key().public_bytes_raw())

    def sign(self, what: str, content: Mapping[str, Any]) -> str:
        """Sign plain values of a kind; as base64."""
        return _text(self.private.sign(_message(what, content)))


def is_signed_by(public_key: str, what: str, content: Mapping[str, Any], signature: str) -> bool:
    """Whether the owner of a public key signed exactly these values as something of this kind."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), _message(what, content))
    except (InvalidSignature, ValueError):
        return False
    return True


def new_key(settings: Settings, login: str, *, password: str | None) -> tuple[PersonKey, str]:
    """A new key, and its private part as it is stored.

    Parameters
    ----------
    settings : Settings
        Of the installation whose key seals what a password does not.
    login : str
        Whose key it is.
    password : str or None
        None where an identity provider vouches.
    """
    key = PersonKey(login, Ed25519PrivateKey.generate())
    nonce = secrets.token_bytes(_NONCE_BYTES)
    locked: dict[str, Any] = {FIELD: FORMAT, "nonce": _text(nonce)}
    if password is not None:
        locked["argon2id"] = {**passwords.COST._asdict(), "salt": _text(secrets.token_bytes(_SALT_BYTES))}
    cipher = AESGCM(_wrapping_key(settings, login, locked, password, create=True))
    raw = key.private.private_bytes_raw()
    locked["locked"] = _text(cipher.encrypt(nonce, raw, _bound_to(login, key.public_key)))
    return key, canonical(locked)


def open_key(settings: Settings, login: str, *, public_key: str, stored: str, password: str | None) -> PersonKey:
    """Unlock a private key.

    Raises
    ------
    Refused
        ``key_locked``: the password is not its own, or it was changed.
    """
    try:
        locked = json.loads(stored)
        format_of(locked, newest=FORMAT, where=f"the key of {login}")
        cipher = AESGCM(_wrapping_key(settings, login, locked, password))
        raw = cipher.decrypt(_bytes(locked["nonce"]), _bytes(locked["locked"]), _bound_to(login, public_key))
    except (InvalidTag, ValueError, KeyError, TypeError) as error:
        raise Refused(
            "key_locked",
            f"The signing key of {login} cannot be unlocked: the password is another one, or the key was changed.",
            cure="Let an administrator set a new password, which makes a new key: clinical-assets people password",
        ) from error
    return PersonKey(login, Ed25519PrivateKey.from_private_bytes(raw))


def _wrapping_key(
    settings: Settings, login: str, locked: Mapping[str, Any], password: str | None, *, create: bool = False
) -> bytes:
    if "argon2id" not in locked:
        return derived_key(installation_signer(settings, create=create), f"key of the person {login}")
    from argon2.low_level import Type, hash_secret_raw

    given = locked["argon2id"]
    return hash_secret_raw(
        passwords.normal(password or ""),
        _bytes(given["salt"]),
        time_cost=given["passes"],
        memory_cost=given["memory_kib"],
        parallelism=given["lanes"],
        hash_len=_KEY_BYTES,
        type=Type.ID,
    )


def _message(what: str, content: Mapping[str, Any]) -> bytes:
    # The kind stands in front: what was signed as one thing is never taken for another.
    return f"clinical_assets {what}, version 1\n{canonical(dict(content))}".encode("ascii")


def _bound_to(login: str, public_key: str) -> bytes:
    return f"{login}|{public_key}".encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
