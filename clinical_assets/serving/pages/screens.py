"""From a view model to the answer of a server: the frame around it, its language, its headers, its cookies.

What belongs here: what all screens share. What does not: what is on one (``views``), addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from clinical_assets.reporting.pages import content_security_policy, render_screen
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import languages, name_of, preferred, speaking
from clinical_assets.serving.pages.entrance.tokens import ForeignForm
from clinical_assets.serving.pages.entrance.visitors import Visitor
from clinical_assets.serving.pages.patients.desk import desk_of
from clinical_assets.serving.pages.views import Frame, Screen

LANGUAGE_COOKIE = "clinical_assets_language"
#: The browser of somebody who is not signed in is known by this, so that nobody else's form signs it in.
BROWSER_COOKIE = "clinical_assets_browser"
_YEAR_S = 365 * 24 * 3600
_MOST_FIELDS = 20_000
_LONGEST_BACK = 300


@dataclass(frozen=True)
class SentForm:
    """Fields of a form; of several with a name the last counts."""

    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


def language_of(request: Request) -> str:
    """What the reader chose, or what the browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in languages() else preferred(request.headers.get("accept-language", ""))


def base_of(request: Request) -> str:
    """Address below which all screens lie."""
    return str(request.scope.get("root_path", ""))


def shown(
    request: Request,
    make: Callable[[Frame], Screen],
    *,
    visitor: Visitor | None,
    address: str,
    browser: str = "",
    status: int = 200,
) -> Response:
    """A screen as an answer.

    Parameters
    ----------
    request : Request
        What is answered.
    make : callable
        From the frame to the screen, run in the reader's language.
    visitor : Visitor or None
        Who reads it.
    address : str
        Where it can be opened, below the base.
    browser : str
        Name of the browser, where nobody is signed in.
    status : int
        Of the answer.
    """
    with speaking(language_of(request)):
        page = render_screen(make(_frame(request, visitor, address, browser)))
    headers = {"content-security-policy": f"{content_security_policy(forms=True)}; frame-ancestors 'none'"}
    return HTMLResponse(page, status, headers=headers)


def led(request: Request, address: str) -> Response:
    """The way to another screen."""
    return RedirectResponse(base_of(request) + address, 303)


async def posted(request: Request, about: str) -> SentForm:
    """The fields of a form that this browser was given.

    Raises
    ------
    ForeignForm
        Another page sent it, or it was given to somebody else.
    """
    refuse_foreign(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ForeignForm("This is no form of a page.", cure="Open the page here.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise ForeignForm("This form cannot be read.", cure="Open the page again.") from None
    found = SentForm(dict(pairs))
    desk_of(request).tokens.require_form(found["form"], about)
    return found


def refuse_foreign(request: Request) -> None:
    """Refuse what another page sent; errors as `posted`."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForeignForm("Another page sent this form; nothing was done.", cure="Open the page here.")


def keep_language(response: Response, language: str) -> None:
    """Let a browser remember a language."""
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR_S, httponly=True, samesite="lax")


def way_back(text: str) -> str:
    """An address below the base that somebody wanted to come back to; the first screen where it is none of ours."""
    plain = text.isascii() and text.isprintable() and len(text) <= _LONGEST_BACK
    return text if plain and text.startswith("/") and not text.startswith("//") and "\\" not in text else "/"


def address_with(address: str, **values: Any) -> str:
    """An address with a query; what is None is left out."""
    known = {name: value for name, value in values.items() if value is not None}
    return f"{address}?{urlencode(known)}" if known else address


def _frame(request: Request, visitor: Visitor | None, address: str, browser: str) -> Frame:
    desk, base = desk_of(request), base_of(request)
    links = [(_("Patients"), "/")]
    if visitor is not None and visitor.person is not None and request.app.state.reviews(visitor):
        links += [(_("Reviews"), "/review"), (_("Audit ledger"), "/ledger")]
    about = browser if visitor is None else visitor.session.id
    return Frame(
        address=address,
        base=base,
        person=None if visitor is None else visitor.name,
        links=tuple((label, to, address == to) for label, to in links) if visitor is not None else (),
        languages=tuple((code, name_of(code)) for code in languages()),
        form=desk.tokens.form(about) if about else "",
    )
