"""Signing in, signing out, choosing a language.

What belongs here: these addresses. What does not: who may do what (``visitors``).
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from clinical_assets.governance.errors import Refused
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import languages
from clinical_assets.serving.access.rates import TooManyRequests
from clinical_assets.serving.pages.entrance.sessions import Sessions
from clinical_assets.serving.pages.entrance.tokens import new_name
from clinical_assets.serving.pages.patients.desk import desk_of
from clinical_assets.serving.pages.screens import (
    BROWSER_COOKIE,
    keep_language,
    led,
    posted,
    shown,
    way_back,
)
from clinical_assets.serving.pages.views import SignInScreen

#: Screens of an installation, where people sign in.
router = APIRouter()
#: Screens of every server with pages.
language_router = APIRouter()


@language_router.get("/language")
async def choose_language(request: Request, to: str, back: str = "/") -> Response:
    """The same screen in another language."""
    response = led(request, way_back(back))
    if to in languages():
        keep_language(response, to)
    return response


@router.get("/sign-in")
async def sign_in_form(request: Request, back: str = "/") -> Response:
    """Login and password."""
    return await _form(request, back=way_back(back))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Prove who it is; a new session has a new name."""
    sessions = _sessions(request)
    form = await posted(request, request.cookies.get(BROWSER_COOKIE) or "-")
    back = way_back(form["back"])
    address = str((request.scope.get("client") or ("unknown",))[0])
    try:
        session = await sessions.begin(form["login"].strip(), form["password"], address=address)
    except Refused as refused:
        return await _form(request, back=back, login=form["login"], refused=refused.code, status=401)
    except TooManyRequests as error:
        response = await _form(request, back=back, login=form["login"], refused="busy", status=429)
        response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    response = led(request, back)
    desk_of(request).keep(response, session)
    response.delete_cookie(BROWSER_COOKIE, httponly=True, samesite="strict")
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, on every process."""
    desk = desk_of(request)
    visitor = await desk.visitor(request)
    await posted(request, visitor.session.id)
    await asyncio.to_thread(_sessions(request).end, visitor.session)
    response = led(request, "/sign-in")
    desk.forget(response)
    return response


async def _form(
    request: Request, *, back: str, login: str = "", refused: str | None = None, status: int = 200
) -> Response:
    nobody = not await asyncio.to_thread(_sessions(request).anybody)
    browser = request.cookies.get(BROWSER_COOKIE) or new_name()
    response = shown(
        request,
        lambda frame: SignInScreen(
            title=_("Sign in"), frame=frame, login=login, problem=_refusal(refused), nobody=nobody, back=back
        ),
        visitor=None,
        address="/sign-in",
        browser=browser,
        status=status,
    )
    response.set_cookie(BROWSER_COOKIE, browser, httponly=True, samesite="strict", secure=desk_of(request).secure)
    return response


def _refusal(code: str | None) -> str | None:
    """Why nobody was let in; the same for a wrong login and a wrong password."""
    match code:
        case None:
            return None
        case "locked":
            return _(
                "Locked after five refused attempts. Try again in 15 minutes. If it was not you: tell the operator."
            )
        case "busy":
            return _("Too many attempts. Try again in a minute.")
        case _:
            return _("Login and password do not belong together, or this person may no longer sign in.")


def _sessions(request: Request) -> Sessions:
    found: Sessions = request.app.state.sessions
    return found
