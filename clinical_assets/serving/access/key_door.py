"""The door that asks: a key of the installation, or a token of an identity provider, in ``Authorization: Bearer``.

What belongs here: from a request to a caller, with limits and the journal. What does not: keys and tokens themselves.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.records.clock import utc_now
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.serving.access.callers import AccessRefused, Caller
from clinical_assets.serving.access.journal import AccessJournal
from clinical_assets.serving.access.key_store import PREFIX, ApiKey, hash_of, list_keys, newest_entry
from clinical_assets.serving.access.rates import RATE, Rates, TooManyRequests
from clinical_assets.serving.access.tokens import Issuer, TokenReader

#: Seconds after which keys are read again, and for which known keys stay valid while the records do not answer.
READ_S, STALE_S = 2.0, 300.0
_NOBODY = hash_of("nobody has this secret")
_log = logging.getLogger(__name__)


class KeysUnavailable(ClinicalAssetsError):
    """Keys that could not be read for too long."""


class KeyDoor:
    """Asks every request for a key or a token.

    Parameters
    ----------
    records : RecordsDatabase
        Where keys stand.
    keys : bool
        Whether keys are accepted.
    tokens : TokenReader, optional
        Checks tokens; None accepts none.
    rates : Rates
        Limits.
    read_s : float
        Seconds after which keys are read again: a revoked key is refused so soon.
    """

    def __init__(
        self,
        records: RecordsDatabase,
        *,
        keys: bool = True,
        tokens: TokenReader | None = None,
        rates: Rates | None = None,
        read_s: float = READ_S,
    ) -> None:
        self._records, self._accepts_keys, self._tokens = records, keys, tokens
        self._rates = rates or Rates()
        self.journal = AccessJournal(Ledger(records))
        self._read_s = read_s
        self._mutex = threading.Lock()
        self._keys: Mapping[str, ApiKey] = {}
        self._read_at = -1e9
        self._newest = -1

    def start(self) -> None:
        """Read the keys and begin the journal."""
        self._current()
        self.journal.start()

    def stop(self) -> None:
        """Enter what was counted."""
        self.journal.stop()

    async def caller(self, scope: Mapping[str, Any]) -> Caller:
        """Who asks.

        Raises
        ------
        AccessRefused
            Nobody who is known.
        TooManyRequests
            A caller, or an address without one, asks too often.
        KeysUnavailable, IssuerError
            Keys cannot be compared now.
        """
        address = str((scope.get("client") or ("unknown",))[0])
        try:
            self._rates.refuse_busy(address)
            found = await self._identified(scope)
        except AccessRefused:
            self._rates.count_refusal(address)
            self.journal.refused("unknown")
            raise
        except TooManyRequests:
            self.journal.refused("too many attempts")
            raise
        try:
            self._rates.count(found.key)
        except TooManyRequests:
            self.journal.refused("too many requests")
            raise
        self.journal.asked(found.key, administrative=str(scope.get("path", "")).endswith("/stats"))
        return found

    def refused(self, error: AccessRefused) -> None:
        """Count a caller who is known and lacks a right."""
        if error.known:
            self.journal.refused("lacks a right")

    async def _identified(self, scope: Mapping[str, Any]) -> Caller:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, shown = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        shown = shown.strip()
        if kind.lower() != "bearer" or not shown:
            raise AccessRefused(
                "No key was shown.", cure="Send Authorization: Bearer and a key; ask the operator for one.", known=False
            )
        if shown.startswith(f"{PREFIX}_") and self._accepts_keys:
            keys = self._keys if self._is_fresh() else await asyncio.to_thread(self._current)
            return _matching(keys, shown)
        if self._tokens is not None:
            return await asyncio.to_thread(self._tokens.caller, shown)
        raise _refused()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_at < self._read_s

    def _current(self) -> Mapping[str, ApiKey]:
        with self._mutex:
            if self._is_fresh():
                return self._keys
            try:
                newest = newest_entry(self._records)
                if newest != self._newest:
                    self._keys = {key.id: key for key in list_keys(self._records)}
                    self._newest = newest
                self._read_at = time.monotonic()
            except ClinicalAssetsError as error:
                if time.monotonic() - self._read_at > STALE_S:
                    raise KeysUnavailable("Keys cannot be read now.", cure="Ask again later.") from error
                _log.warning("Keys cannot be read now; those that are known go on: %s", error.message)
            return self._keys


@dataclass(frozen=True)
class LoginTerms:
    """What a server asks callers for: plain values, of which every process makes a door of its own.

    Attributes
    ----------
    keys : bool
        Whether keys are accepted.
    issuer : Issuer or None
        Whose tokens are accepted.
    rate : str
        Requests of one caller, counted per process.
    """

    keys: bool
    issuer: Issuer | None = None
    rate: str = RATE

    def door(self, records: RecordsDatabase) -> KeyDoor:
        """A door that asks for it.

        Raises
        ------
        BadRate
            The rate cannot be read.
        """
        tokens = None if self.issuer is None else TokenReader(self.issuer)
        return KeyDoor(records, keys=self.keys, tokens=tokens, rates=Rates(self.rate))


def _matching(keys: Mapping[str, ApiKey], shown: str) -> Caller:
    _, key_id, secret = [*shown.split("_", 2), "", ""][:3]
    key = keys.get(key_id)
    # Compared in constant time, and also where there is no such key.
    same = hmac.compare_digest(hash_of(secret), _NOBODY if key is None else key.secret_hash)
    if key is None or not same or key.state(utc_now()) != "valid":
        raise _refused()
    return Caller(key.id, frozenset(key.rights), None if key.cohorts is None else frozenset(key.cohorts))


def _refused() -> AccessRefused:
    return AccessRefused("The key is not accepted.", cure="Ask the operator for another one.", known=False)
