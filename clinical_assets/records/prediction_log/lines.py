"""One line of a prediction log: a head that the chain covers, and a content that can be erased without breaking it.

    hash_i = digest of the canonical JSON of head i, which holds hash_{i-1} as ``previous`` (the first: ``GENESIS``)
    head i holds content_digest = digest of (salt i | canonical JSON of content i)

Erasing replaces salt and content by null. The head stays, so the chain still verifies; without the salt, which is
random, nobody can find the content again by trying (GDPR article 17 beside EU AI Act article 12).
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical_assets.foundation.canonical import canonical_json, parts_digest, value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.stored_format import FIELD, format_of

FORMAT = 1
#: What kinds of lines there are. ``shadow``: what another model would have answered; ``repair`` notes that a
#: half-written last line was cut off.
PREDICTION, OUTCOME, ACTION, SHADOW, REPAIR = "prediction", "outcome", "action", "shadow", "repair"
_SALT_BYTES, _NONCE_BYTES = 16, 12


class LogDamaged(ClinicalAssetsError):
    """A prediction log that is not what was written."""


@dataclass(frozen=True)
class LogEntry:
    """What is to be logged.

    Attributes
    ----------
    kind : str
        ``prediction``, ``outcome``, ``action`` or ``shadow``.
    request : str
        Id of the request; the answer names it.
    key : str
        Id of the key of whoever asked; ``local`` where no key was asked for.
    digest : str or None
        Of the bundle that answered.
    content : mapping
        Plain values; a person is named by pseudonym only.
    """

    kind: str
    request: str
    key: str
    digest: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True)
class LogLine:
    """A line as it stands in the log.

    Attributes
    ----------
    seq : int
        Number in the cohort's log, from 1, without gaps.
    at : str
        UTC.
    content : mapping or None
        None once it was erased.
    hash, previous : str
        Links of the chain.
    """

    seq: int
    at: str
    kind: str
    request: str
    key: str
    digest: str | None
    content: Mapping[str, Any] | None
    hash: str
    previous: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for an export."""
        names = ("seq", "at", "kind", "request", "key", "digest", "hash", "previous", "content")
        return {name: getattr(self, name) for name in names}


class LineCodec:
    """Writes and reads the lines of one cohort; contents are encrypted where the installation has a master key."""

    def __init__(self, settings: Settings, cohort: str) -> None:
        self._cipher = _cipher(settings, cohort)

    def write(self, entry: LogEntry, *, seq: int, at: str, previous: str) -> tuple[bytes, str]:
        """The line, with its end, and its hash."""
        salt = secrets.token_hex(_SALT_BYTES)
        text = canonical_json(dict(entry.content))
        stored = self._sealed(text)
        head = {
            FIELD: FORMAT,
            "seq": seq,
            "at": at,
            "kind": entry.kind,
            "request": entry.request,
            "key": entry.key,
            "digest": entry.digest,
            "content_digest": _content_digest(salt, stored or text),
            "previous": previous,
        }
        named = value_digest(head)
        body = f'"content":{text}' if stored is None else f'"sealed":{canonical_json(stored)}'
        line = (
            f'{{{body},"hash":{canonical_json(named)},"head":{canonical_json(head)},"salt":{canonical_json(salt)}}}\n'
        )
        return line.encode("ascii"), named

    def read(self, line: bytes, *, where: str) -> LogLine:
        """A line, held against its own hash and digest.

        Raises
        ------
        LogDamaged
            It was changed; names the place.
        """
        told, head = _parsed(line, where=where)
        format_of(head, newest=FORMAT, where=where)
        if value_digest(head) != told["hash"]:
            raise _damaged(where, "its hash is another one")
        content: Mapping[str, Any] | None = None
        if told["salt"] is not None:
            stored = told.get("sealed")
            text = canonical_json(told["content"]) if stored is None else stored
            if _content_digest(told["salt"], text) != head["content_digest"]:
                raise _damaged(where, "its content is another one")
            content = told["content"] if stored is None else json.loads(self._opened(stored, where=where))
        return LogLine(
            seq=head["seq"],
            at=head["at"],
            kind=head["kind"],
            request=head["request"],
            key=head["key"],
            digest=head["digest"],
            content=content,
            hash=told["hash"],
            previous=head["previous"],
        )

    def _sealed(self, text: str) -> str | None:
        if self._cipher is None:
            return None
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode("ascii")

    def _opened(self, stored: str, *, where: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        raw = base64.b64decode(stored)
        if self._cipher is None:
            raise LogDamaged(f"{where} is encrypted, and no key is set.", cure="Set the key it was written with.")
        try:
            return bytes(self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None))
        except InvalidTag:
            raise LogDamaged(f"{where} was encrypted with another key.", cure="Set the key of that time.") from None


def erased(line: bytes, *, where: str) -> bytes:
    """The line without salt and content; its head and hash stay."""
    told, _ = _parsed(line, where=where)
    told.pop("sealed", None)
    return (canonical_json({**told, "content": None, "salt": None}) + "\n").encode("ascii")


def _content_digest(salt: str, text: str) -> str:
    return parts_digest(salt.encode("ascii"), text.encode("ascii"))


def _parsed(line: bytes, *, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        told = json.loads(line)
        head = told["head"]
        whole = isinstance(head, dict) and {"hash", "salt"} <= told.keys()
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        raise _damaged(where, "it is no line of a prediction log")
    return told, head


def _damaged(where: str, why: str) -> LogDamaged:
    return LogDamaged(f"{where}: {why}.", cure="Restore the file from a backup, and find out who changed it.")


def _cipher(settings: Settings, cohort: str) -> Any:
    """AES-256-GCM under a key of this cohort's log alone, or None without a master key (RFC 5869)."""
    if settings.master_key is None:
        return None
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"prediction log|{cohort}".encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(settings.master_key))
