"""Bearer tokens of an identity provider: JSON Web Tokens (RFC 7519), checked against its published keys.

What belongs here: from a token to a caller. What does not: keys of the installation's own (``key_store``).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.serving.access.callers import RIGHTS, AccessRefused, Caller

#: Signatures that are accepted. No ``none``, and no HMAC: a published key is no secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S = 30
_LONGEST_TOKEN = 8192
#: Seconds after which published keys are fetched again, and at most how often an unknown key's name causes that.
_FETCH_S, _AGAIN_S = 600.0, 30.0
_TIMEOUT_S = 5.0
_LARGEST = 1024**2


class IssuerError(ClinicalAssetsError):
    """An identity provider whose keys cannot be had."""


@dataclass(frozen=True)
class Issuer:
    """An identity provider.

    Attributes
    ----------
    issuer, audience : str
        What a token's ``iss`` and ``aud`` must be.
    jwks : str
        Published keys: ``https://`` address, or a file.
    rights_claim : str
        Claim with the rights, as a list or as text with spaces; ``clinical_assets:predict`` and ``predict`` are one.
    cohorts_claim : str
        Claim with the cohorts, a list or text with spaces; ``*`` is all. A token without it is for none.
    """

    issuer: str
    audience: str
    jwks: str
    rights_claim: str = "scope"
    cohorts_claim: str = "cohorts"


class TokenReader:
    """Checks tokens of one issuer; threads may ask at the same time.

    Parameters
    ----------
    issuer : Issuer
        Whose tokens are accepted.
    """

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._mutex = threading.Lock()
        self._keys: dict[str | None, Any] = {}
        self._fetched = -1e9
        self._stamp: tuple[int, int] | None = None

    def caller(self, token: str) -> Caller:
        """Who a token names.

        Raises
        ------
        AccessRefused
            It is forged, expired, of another issuer or for another audience; the answer does not say which.
        IssuerError
            The issuer's keys cannot be had.
        """
        import jwt

        if len(token) > _LONGEST_TOKEN:
            raise _refused()
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise _refused()
            claims = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=[str(header["alg"])],
                audience=self.issuer.audience,
                issuer=self.issuer.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, TypeError, ValueError):
            # TypeError: the algorithm is of another kind than the key.
            raise _refused() from None
        rights = {each.removeprefix("clinical_assets:") for each in _words(claims.get(self.issuer.rights_claim))}
        cohorts = _words(claims.get(self.issuer.cohorts_claim))
        name = hashlib.sha256(f"{claims['iss']}|{claims['sub']}".encode()).hexdigest()[:16]
        return Caller(f"token:{name}", frozenset(rights & set(RIGHTS)), None if "*" in cohorts else frozenset(cohorts))

    def _key(self, kid: str | None) -> Any:
        with self._mutex:
            age = time.monotonic() - self._fetched
            if age > _FETCH_S or self._file_changed() or (kid not in self._keys and age > _AGAIN_S):
                self._fetch()
            if kid not in self._keys:
                raise _refused()
            return self._keys[kid]

    def _fetch(self) -> None:
        import jwt

        try:
            content = json.loads(self._text())
            keys = jwt.PyJWKSet.from_dict(content).keys
        except (ValueError, TypeError, AttributeError, jwt.PyJWTError):
            raise IssuerError(
                "The published keys of the identity provider cannot be read.", cure="Check --jwks: a JSON Web Key Set."
            ) from None
        found = {key.key_id: key.key for key in keys if key.public_key_use in (None, "sig")}
        # A token without a name of its key is accepted where there is one key only.
        self._keys = {**found, None: next(iter(found.values()))} if len(found) == 1 else found
        self._fetched = time.monotonic()

    def _text(self) -> str | bytes:
        place = self.issuer.jwks
        if not place.startswith(("http://", "https://")):
            try:
                self._stamp = _stamp(place)
                return Path(place).read_bytes()
            except OSError as error:
                raise IssuerError(f"--jwks {place}: {error.strerror}.", cure="Name a readable file.") from error
        import httpx

        _refuse_plain(place)
        try:
            # No redirect: keys come from the address that was configured.
            response = httpx.get(place, timeout=_TIMEOUT_S, follow_redirects=False)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise IssuerError(
                f"The published keys of the identity provider do not answer ({type(error).__name__}).",
                cure="Check --jwks and the network.",
            ) from None
        if len(response.content) > _LARGEST:
            raise IssuerError("The published keys have more than 1 MiB.", cure="Check --jwks.")
        return response.content

    def _file_changed(self) -> bool:
        return self._stamp is not None and self._stamp != _stamp(self.issuer.jwks)


def _stamp(place: str) -> tuple[int, int]:
    found = Path(place).stat()
    return found.st_ino, found.st_mtime_ns


def _refuse_plain(place: str) -> None:
    parts = urlsplit(place)
    host = parts.hostname or ""
    try:
        own = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        own = False
    if parts.scheme != "https" and not own:
        raise IssuerError("--jwks is no https address.", cure="Keys that come unprotected can be anybody's: use https.")


def _words(claim: object) -> set[str]:
    if isinstance(claim, str):
        return set(claim.split())
    return {str(each) for each in claim} if isinstance(claim, list) else set()


def _refused() -> AccessRefused:
    return AccessRefused("The token is not accepted.", cure="Ask the identity provider for a new one.", known=False)
