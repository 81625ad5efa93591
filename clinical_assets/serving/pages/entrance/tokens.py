"""What a page gives a browser and must know again: who is signed in, that a form is its own, what it has answered.

What belongs here: signing and reading such texts. What does not: who somebody is (``sessions``).

A text is signed by HMAC-SHA256 (itsdangerous) under a key that only the holder of the installation's key can make, so
that every process of a server reads what another one gave, also after it was started again.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from clinical_assets.foundation.errors import ClinicalAssetsError

#: Seconds without a request after which somebody has to sign in again, and after which in any case: a shift.
IDLE_S, LONGEST_S = 15 * 60.0, 8 * 3600.0
#: Seconds in which a form can be sent.
_FORM_S = 8 * 3600
_ID_BYTES = 16


class ForeignForm(ClinicalAssetsError):
    """A form that this server did not give to this browser, or too long ago."""


@dataclass(frozen=True)
class PageSession:
    """What a cookie says of somebody who signed in.

    Attributes
    ----------
    id : str
        Name of the session.
    login : str
        Who.
    key : str
        Their public key then: a new password makes a new one, and ends the session.
    began : float
        Seconds since 1970.
    """

    id: str
    login: str
    key: str
    began: float


class PageTokens:
    """Signs and reads.

    Parameters
    ----------
    secret : bytes
        Key.
    idle_s : float
        Seconds for which a cookie holds; it is given again while somebody asks.
    """

    def __init__(self, secret: bytes, *, idle_s: float = IDLE_S) -> None:
        how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self._idle_s = idle_s
        self._sessions = URLSafeTimedSerializer(secret, salt="page session", signer_kwargs=how)
        self._forms = URLSafeTimedSerializer(secret, salt="page form", signer_kwargs=how)
        self._answers = URLSafeSerializer(secret, salt="page answer", signer_kwargs=how)

    def cookie(self, session: PageSession) -> str:
        """What the browser keeps of a session."""
        return str(self._sessions.dumps([session.id, session.login, session.key, session.began]))

    def session(self, cookie: str, *, now: float) -> PageSession | None:
        """The session of a cookie; None where it is none, or over."""
        try:
            given = self._sessions.loads(cookie, max_age=int(self._idle_s))
        except BadData:
            return None
        found = PageSession(*given)
        return found if 0 <= now - found.began < LONGEST_S else None

    def form(self, about: str) -> str:
        """What a form must bring back; `about` names whose it is."""
        return str(self._forms.dumps(about))

    def require_form(self, given: str, about: str) -> None:
        """Refuse a form that was not given to this browser.

        Raises
        ------
        ForeignForm
            It was not, or too long ago.
        """
        try:
            known = self._forms.loads(given, max_age=_FORM_S)
        except BadData:
            known = None
        if known != about:
            raise ForeignForm(
                "This form was not made for you, or too long ago; nothing was done.",
                cure="Open the page again and fill it in anew.",
            )

    def seal(self, answer: dict[str, Any], about: str) -> str:
        """What was answered, for the page to bring back; the browser can read it and not change it."""
        return str(self._answers.dumps([about, answer]))

    def unseal(self, given: str, about: str) -> dict[str, Any]:
        """What was answered to the same reader.

        Raises
        ------
        ForeignForm
            It was not answered here, or to somebody else.
        """
        try:
            known, answer = self._answers.loads(given)
        except (BadData, ValueError, TypeError):
            known, answer = None, {}
        if known != about:
            raise ForeignForm("This answer was not given to you here.", cure="Ask again.")
        found: dict[str, Any] = answer
        return found


def new_name() -> str:
    """A name that nobody can guess."""
    return secrets.token_urlsafe(_ID_BYTES)
