"""Digests as people type them: a few digits are enough where they name one thing only."""

from __future__ import annotations

import re
from collections.abc import Iterable

from clinical_assets.foundation.canonical import PREFIX, hex_of
from clinical_assets.foundation.errors import ClinicalAssetsError

SHORTEST = 8
_DIGITS = re.compile(r"[0-9a-f]{1,64}")


class UnclearDigest(ClinicalAssetsError):
    """The beginning of a digest that is too short, or that several digests have."""


def short_digest(digest: str) -> str:
    """The first digits of a digest, as commands take them.

    Examples
    --------
    >>> short_digest("sha256:00c0ffee1234")
    '00c0ffee'
    """
    return hex_of(digest)[:SHORTEST]


def whole_digest(given: str, known: Iterable[str], *, what: str) -> str:
    """The digest that a beginning of at least 8 digits names.

    Parameters
    ----------
    given : str
        With or without ``sha256:``; capitals do not matter.
    known : iterable of str
        Whole digests that may be meant.
    what : str
        What they name, for the message: ``"dossier of heart_disease"``.

    Returns
    -------
    str
        The one of `known`; `given` itself where none begins so, for the caller to refuse.

    Raises
    ------
    UnclearDigest
        Fewer than 8 digits, or several of `known` begin so.

    Examples
    --------
    >>> whole_digest("00c0ffee", ["sha256:00c0ffee1", "sha256:00c0ffff2"], what="bundle")
    'sha256:00c0ffee1'
    >>> whole_digest("00c0", ["sha256:00c0ffee1"], what="bundle")
    Traceback (most recent call last):
        ...
    UnclearDigest: '00c0' has fewer than 8 digits of a digest, and could name another bundle tomorrow.
      Cure: Give at least 8 digits.
    """
    digits = hex_of(given.strip().lower())
    if not _DIGITS.fullmatch(digits):
        return given
    if len(digits) < SHORTEST:
        raise UnclearDigest(
            f"{given!r} has fewer than {SHORTEST} digits of a digest, and could name another {what} tomorrow.",
            cure=f"Give at least {SHORTEST} digits.",
        )
    found = sorted({digest for digest in known if digest.startswith(PREFIX) and hex_of(digest).startswith(digits)})
    if len(found) > 1:
        raise UnclearDigest(f"{given} names more than one {what}: {', '.join(found)}.", cure="Give more digits.")
    return found[0] if found else given
