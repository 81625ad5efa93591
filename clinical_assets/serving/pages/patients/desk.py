"""Where a page gets its answers: the service of an installation, which logs before it answers.

What belongs here: what every screen for clinicians asks for. What does not: screens, and the desk of a bundle alone
(``bundle_desk``).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import Response

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.serving.access.callers import AccessRefused
from clinical_assets.serving.answers import PredictionsAnswer
from clinical_assets.serving.follow_up import ActionFact, ActionsBody
from clinical_assets.serving.pages.entrance.sessions import Sessions
from clinical_assets.serving.pages.entrance.tokens import PageSession, PageTokens
from clinical_assets.serving.pages.entrance.visitors import SignInNeeded, Visitor, no_access
from clinical_assets.serving.pages.patients.forms import CohortForm
from clinical_assets.serving.pages.views import CohortChoice
from clinical_assets.serving.requests.record_models import request_spec
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.asking import answered

#: Names of the cookie: with TLS no other host or path can set it.
COOKIE, SECURE_COOKIE = "clinical_assets_session", "__Host-clinical_assets_session"


class Desk(Protocol):
    """What answers the screens for clinicians."""

    tokens: PageTokens
    recorded: bool  # whether answers are on record

    async def visitor(self, request: Request) -> Visitor:
        """Who asks.

        Raises
        ------
        SignInNeeded
            Nobody is signed in.
        """

    async def cohorts(self, visitor: Visitor) -> tuple[CohortChoice, ...]:
        """Cohorts that somebody may ask about."""

    async def choice(self, visitor: Visitor, cohort: str) -> tuple[CohortChoice, CohortSpec, CohortForm]:
        """One of them, its description and its form.

        Raises
        ------
        AccessRefused
            This person may not ask about it, or there is no such cohort.
        """

    async def ask(self, visitor: Visitor, cohort: str, body: bytes, *, request: str) -> PredictionsAnswer:
        """The answer about the records in a body."""

    async def act(self, visitor: Visitor, cohort: str, fact: ActionFact, *, request: str) -> bool:
        """Put on record what was done with an answer; False where it was known."""


class RecordedDesk:
    """The desk of an installation.

    Parameters
    ----------
    service : PredictionService
        Answers, and logs first.
    sessions : Sessions
        Who is signed in.
    secure : bool
        Whether browsers reach the server by TLS.
    """

    recorded = True

    def __init__(self, service: PredictionService, sessions: Sessions, *, secure: bool) -> None:
        self.service, self.sessions, self.tokens = service, sessions, sessions.tokens
        self.secure = secure
        self.cookie = SECURE_COOKIE if secure else COOKIE
        self._forms: dict[str, CohortForm] = {}

    def keep(self, response: Response, session: PageSession) -> None:
        """Let a browser keep a session, until it is closed."""
        cookie = self.tokens.cookie(session)
        response.set_cookie(self.cookie, cookie, httponly=True, samesite="strict", secure=self.secure)

    def forget(self, response: Response) -> None:
        """Take the session away again."""
        response.delete_cookie(self.cookie, httponly=True, samesite="strict", secure=self.secure)

    async def visitor(self, request: Request) -> Visitor:
        """Who is signed in."""
        session = self.tokens.session(request.cookies.get(self.cookie, ""), now=time.time())
        person = None if session is None else await asyncio.to_thread(self.sessions.person, session)
        if session is None or person is None:
            raise SignInNeeded
        return Visitor(person.printed_name, session, person)

    async def cohorts(self, visitor: Visitor) -> tuple[CohortChoice, ...]:
        """Cohorts that have a champion, and that the visitor may ask about."""
        return await asyncio.to_thread(self._cohorts, visitor)

    def _cohorts(self, visitor: Visitor) -> tuple[CohortChoice, ...]:
        problems = self.service.problems()
        names = [name for name in self.service.described() if name in self.service.keeper.cohorts()]
        specs = [self.service.cohort(name).spec for name in names]
        return tuple(choice_of(spec, problems.get(spec.name)) for spec in specs if visitor.may_ask(spec))

    async def choice(self, visitor: Visitor, cohort: str) -> tuple[CohortChoice, CohortSpec, CohortForm]:
        """A cohort, its description and its form."""
        try:
            if cohort not in self.service.described():
                raise no_access()
            found = await asyncio.to_thread(self.service.cohort, cohort)
            visitor.caller(found.spec)
        except AccessRefused:
            self.sessions.journal.refused("lacks a role")
            raise
        form = self._forms.get(cohort)
        if form is None:
            form = self._forms[cohort] = CohortForm(request_spec(found.spec), found.model)
        problem = (await asyncio.to_thread(self.service.problems)).get(cohort)
        return choice_of(found.spec, problem), found.spec, form

    async def ask(self, visitor: Visitor, cohort: str, body: bytes, *, request: str) -> PredictionsAnswer:
        """The answer, which is in the log under the visitor's name."""
        caller = visitor.caller(self.service.cohort(cohort).spec)
        return await answered(
            self.service, caller, cohort, body, request=request, asked="predict", received=time.perf_counter()
        )

    async def act(self, visitor: Visitor, cohort: str, fact: ActionFact, *, request: str) -> bool:
        """What was done, in the same log."""
        caller = visitor.caller(self.service.cohort(cohort).spec)
        body = ActionsBody(actions=[fact])
        new, _ = await self.service.record(cohort, body, request=request, key=caller.key)
        return bool(new)


def choice_of(spec: CohortSpec, problem: str | None) -> CohortChoice:
    """A cohort as it is offered, with the reason where it cannot answer now."""
    return CohortChoice(
        name=spec.name,
        title=spec.title,
        intended_use=spec.intended_use,
        not_for=spec.not_for,
        synthetic=spec.synthetic,
        problem=problem,
    )


def desk_of(request: Request) -> Any:
    """The desk of an application."""
    return request.app.state.desk
