"""A caller and what it may ask for.

What belongs here: rights. What does not: how a caller proves who it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from clinical_assets.foundation.errors import ClinicalAssetsError

Right = Literal["predict", "probability", "reasons", "outcomes", "actions", "stats"]
RIGHTS: tuple[Right, ...] = get_args(Right)
#: The caller of a server that asks for no key, which answers this machine alone.
LOCAL_KEY = "local"


class AccessRefused(ClinicalAssetsError):
    """A caller that is not known, or may not do what it asks for.

    Attributes
    ----------
    known : bool
        True where the caller is known and lacks a right (403), False where it is not known (401).
    """

    def __init__(self, message: str, *, cure: str, known: bool) -> None:
        super().__init__(message, cure=cure)
        self.known = known

    def __reduce__(self) -> tuple[object, ...]:
        return (_refused_again, (self.message, self.cure, self.known))


def _refused_again(message: str, cure: str, known: bool) -> AccessRefused:
    return AccessRefused(message, cure=cure, known=known)


@dataclass(frozen=True)
class Caller:
    """Somebody who asks.

    Attributes
    ----------
    key : str
        Id of the key or of the token's subject; it stands in the log.
    rights : frozenset of str
        Among `RIGHTS`.
    cohorts : frozenset of str or None
        Cohorts that it may ask about; None is all.
    """

    key: str
    rights: frozenset[str]
    cohorts: frozenset[str] | None = None

    def may_see(self, cohort: str) -> bool:
        """Whether it may ask about a cohort at all."""
        return self.cohorts is None or cohort in self.cohorts

    def require(self, right: Right, cohort: str) -> None:
        """Refuse a caller that lacks a right, or may not ask about the cohort.

        Raises
        ------
        AccessRefused
            Known, but not allowed.
        """
        if not self.may_see(cohort):
            raise AccessRefused(
                "This key is not for this cohort.", cure="Ask for a key with this cohort in its scope.", known=True
            )
        if right not in self.rights:
            raise AccessRefused(
                f"This key lacks the right {right!r}.", cure=f"Ask for a key with the right {right!r}.", known=True
            )


LOCAL = Caller(LOCAL_KEY, frozenset(RIGHTS))
