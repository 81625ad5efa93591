"""From a view model to a page: one file of HTML without script or outside material, for a screen, a phone and paper.

Text of descriptions, verdicts and records is escaped by the environment and never read as a template. The policy on
every page lets a browser apply the stylesheet, by its digest, show embedded pictures, and nothing else; on a screen,
which a person fills, forms may also be sent to the server that it came from.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.reporting import texts
from clinical_assets.reporting.formats import FILTERS
from clinical_assets.reporting.views import Page

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(page: Page) -> str:
    """A page as a whole HTML document.

    Parameters
    ----------
    page : Page
        One of the view models of `clinical_assets.reporting.views`; it names its template.

    Raises
    ------
    jinja2.UndefinedError
        A template asks for what the view model does not hold.
    """
    return _filled(page.template, {each.name: getattr(page, each.name) for each in fields(page)})


def render_screen(page: Page) -> str:
    """A page with forms, in the language of now; errors as `render_page`."""
    from markupsafe import Markup

    values = {each.name: getattr(page, each.name) for each in fields(page)}
    own = {"stylesheet": Markup(_stylesheet(forms=True)), "policy": content_security_policy(forms=True)}
    return _filled(page.template, values | own)


def render_part(template: str, **values: Any) -> str:
    """A part for a page that another program makes; the template must bring its own style."""
    return _filled(template, values)


@cache
def content_security_policy(*, forms: bool = False) -> str:
    """What a browser may do with a page: apply this stylesheet, show embedded pictures; no script, no other address."""
    return _policy([_stylesheet(forms=forms)], sent="'self'" if forms else "'none'")


def policy_of_written(page: str) -> str:
    """The same for a page that was rendered before, perhaps with another stylesheet, which it holds."""
    return _policy(re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL), sent="'none'")


def _policy(styles: Sequence[str], *, sent: str) -> str:
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode("ascii") for each in styles]
    allowed = " ".join(f"'sha256-{each}'" for each in digests) or "'none'"
    return f"default-src 'none'; style-src {allowed}; img-src data:; base-uri 'none'; form-action {sent}"


def _filled(template: str, values: dict[str, Any]) -> str:
    return _environment().get_template(template).render(values)


@cache
def _stylesheet(*, forms: bool = False) -> str:
    names = ("style.css", "screens/screen.css") if forms else ("style.css",)
    return "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)


@cache
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(texts.gettext, texts.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= FILTERS | {"decimal": texts.decimal, "percent": texts.percent}
    # The package's own file, not data.
    made.globals |= {"stylesheet": Markup(_stylesheet()), "policy": content_security_policy()}
    made.globals |= {"language": texts.language}
    return made
