"""Somebody at the pages, and what they may do: by the roles that a cohort's description names.

What belongs here: rights of people. What does not: proving who somebody is (``sessions``), rights of keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.governance.signing.people import Person
from clinical_assets.governance.signing.roster import ADMINISTRATOR
from clinical_assets.serving.access.callers import AccessRefused, Caller
from clinical_assets.serving.pages.entrance.tokens import PageSession

#: What a person may ask for a cohort whose `access` names one of their roles.
_RIGHTS = frozenset({"predict", "probability", "reasons", "actions"})


class SignInNeeded(Exception):
    """Nobody is signed in, or not any more."""


@dataclass(frozen=True)
class Visitor:
    """Somebody at the pages.

    Attributes
    ----------
    name : str or None
        Printed name; None where nobody signs in.
    session : PageSession
        What the cookie said.
    person : Person or None
        Who it is.
    """

    name: str | None
    session: PageSession
    person: Person | None = None

    def may_ask(self, spec: CohortSpec) -> bool:
        """Whether this person may ask about patients of a cohort."""
        return self._holds(*spec.access.roles)

    def may_review(self, spec: CohortSpec) -> bool:
        """Whether this person may read a cohort's dossier and sign: who signs, who waives, and administrators read."""
        return self._holds(*(each.role for each in spec.approval.signatures), *spec.approval.waivers, ADMINISTRATOR)

    @property
    def administers(self) -> bool:
        """Whether this person may see all of the ledger."""
        return self._holds(ADMINISTRATOR)

    def caller(self, spec: CohortSpec) -> Caller:
        """The person as the service knows who asks.

        Raises
        ------
        AccessRefused
            The person holds no role of the cohort's `access`.
        """
        if not self.may_ask(spec):
            raise no_access()
        return Caller(f"person:{self.session.login}", _RIGHTS, frozenset({spec.name}))

    def _holds(self, *roles: str) -> bool:
        return self.person is not None and bool(set(roles) & set(self.person.roles))


def no_access() -> AccessRefused:
    """The refusal of somebody who is known; it does not say whether there is such a cohort."""
    return AccessRefused(
        "There is no such page for you.", cure="Ask the cohort's owner for a role that may see it.", known=True
    )
