"""The pages as an application of their own, which a server puts below an address.

What belongs here: putting screens together, and how an error looks to a person. What does not: any of the screens.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.signing.record import Signature
from clinical_assets.records.keys.installation import derived_key, installation_signer
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.serving.access.rates import Rates
from clinical_assets.serving.pages.entrance import sign_in
from clinical_assets.serving.pages.entrance.sessions import Sessions
from clinical_assets.serving.pages.entrance.tokens import ForeignForm, PageTokens
from clinical_assets.serving.pages.entrance.visitors import SignInNeeded, Visitor
from clinical_assets.serving.pages.patients import clinician, list_routes
from clinical_assets.serving.pages.patients.bundle_desk import BundleDesk
from clinical_assets.serving.pages.patients.desk import Desk, RecordedDesk, desk_of
from clinical_assets.serving.pages.review import ledger_routes
from clinical_assets.serving.pages.review import routes as review_routes
from clinical_assets.serving.pages.screens import address_with, led, shown
from clinical_assets.serving.pages.views import ProblemScreen
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.app import LOOPBACK
from clinical_assets.serving.web.guards import Guards
from clinical_assets.serving.web.problems import Problem, logged_problem

#: Where a server puts the pages.
PATH = "/pages"


@dataclass(frozen=True)
class Pages:
    """The pages of an installation.

    Attributes
    ----------
    app : FastAPI
        Below `path`.
    sessions : Sessions
        Who is signed in.
    """

    app: FastAPI
    sessions: Sessions
    path: str = PATH

    def start(self) -> None:
        """Begin to enter logins and refusals."""
        self.sessions.journal.start()

    def stop(self) -> None:
        """Enter what was counted."""
        self.sessions.journal.stop()

    def refused(self, scope: Scope, problem: Problem) -> Response:
        """What a person is told of what the server refused before a page saw it."""
        request = Request({**scope, "app": self.app, "root_path": self.path})
        return problem_screen(request, problem, visitor=None)


def make_pages(
    service: PredictionService,
    *,
    secure: bool,
    tokens: PageTokens | None = None,
    rates: Rates | None = None,
    on_signed: Callable[[Signature], None] | None = None,
) -> Pages:
    """The pages of an installation.

    Parameters
    ----------
    service : PredictionService
        Answers.
    secure : bool
        Whether browsers reach the server by TLS; the session's cookie then never leaves it otherwise.
    tokens : PageTokens, optional
        Signs cookies and forms; by default under a key made from the installation's.
    rates : Rates, optional
        Limits of one process.
    on_signed : callable, optional
        Told of every signature that was given here.
    """
    settings = service.workspace.settings
    signing = tokens or PageTokens(derived_key(installation_signer(settings, create=True), "pages"))
    sessions = Sessions(service.workspace.records, signing, rates=rates)
    desk = RecordedDesk(service, sessions, secure=secure)

    def reviews(visitor: Visitor) -> bool:
        return any(visitor.may_review(spec) for spec in described(service))

    app = assembled(
        desk,
        [
            sign_in.router,
            sign_in.language_router,
            clinician.router,
            list_routes.router,
            review_routes.router,
            ledger_routes.router,
        ],
        reviews=reviews,
    )
    app.state.sessions, app.state.on_signed, app.state.seen = sessions, on_signed, set()
    app.state.described = lambda: described(service)

    @app.middleware("http")
    async def renewed(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        """A session lasts while somebody asks: its cookie is given again, unless the answer sets another."""
        response = await call(request)
        session = signing.session(request.cookies.get(desk.cookie, ""), now=time.time())
        if session is not None and "set-cookie" not in response.headers:
            desk.keep(response, session)
        return response

    return Pages(app, sessions)


def bundle_app(folder: Path, catalogue: Catalogue) -> ASGIApp:
    """The screens for clinicians over a bundle's folder alone, for this machine; errors as `BundleDesk`."""
    routers = (sign_in.language_router, clinician.router, list_routes.router)
    app = assembled(BundleDesk(folder, catalogue), routers, reviews=lambda _visitor: False)

    def refused(scope: Scope, problem: Problem) -> Response:
        return problem_screen(Request({**scope, "app": app}), problem, visitor=None)

    return Guards(app, hosts=LOOPBACK, refusals={"": refused})


def described(service: PredictionService) -> list[CohortSpec]:
    """Every description of an installation that can be read."""
    found = []
    for name in service.described():
        try:
            found.append(service.workspace.spec(name))
        except ClinicalAssetsError:
            continue  # `clinical-assets cohorts check` says what is wrong with it; nobody can ask about it
    return found


def assembled(desk: Desk, routers: Sequence[APIRouter], *, reviews: Callable[[Visitor], bool]) -> FastAPI:
    """Screens around a desk, with errors for people."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk, app.state.reviews = desk, reviews
    for router in routers:
        app.include_router(router)

    async def to_sign_in(request: Request, error: Exception) -> Response:
        del error
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        wanted = path if request.method == "GET" else "/"
        return led(request, address_with("/sign-in", back=None if wanted == "/" else quote(wanted, safe="/")))

    app.add_exception_handler(SignInNeeded, to_sign_in)
    for kind in (ClinicalAssetsError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _problem)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    request_id = str(request.scope["state"]["request_id"])
    if isinstance(error, ForeignForm):
        error = Problem(403, "foreign-form", error.message, cure=str(error.cure))
    if isinstance(error, RequestValidationError):
        error = Problem(400, "malformed", "This address is incomplete.", cure="Go on from the first screen.")
    problem = logged_problem(error, request_id=request_id)
    try:
        visitor = await desk_of(request).visitor(request)
    except (SignInNeeded, ClinicalAssetsError):
        visitor = None
    return problem_screen(request, problem, visitor=visitor)


def problem_screen(request: Request, problem: Problem, *, visitor: Visitor | None) -> Response:
    """What could not be done, and what helps."""
    response = shown(
        request,
        lambda frame: ProblemScreen(
            title=_("This could not be done"),
            frame=frame,
            status=problem.status,
            problem=problem.message,
            cure=str(problem.cure or ""),
            request=str(request.scope["state"]["request_id"]),
        ),
        visitor=visitor,
        address="/",
        status=problem.status,
    )
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response
