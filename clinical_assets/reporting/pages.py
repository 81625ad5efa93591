"""From a view model to a page: one file of HTML without script or outside material, for a screen, a phone and paper.

Text of descriptions, verdicts and records is escaped by the environment and never read as a template. The policy on
every page lets a browser apply the stylesheet, by its digest, show embedded pictures, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def render_part(template: str, **values: Any) -> str:
    """A part for a page that another program makes; the template must bring its own style."""
    return _filled(template, values)


@cache
def content_security_policy() -> str:
    """What a browser may do with a page: apply this stylesheet, show embedded pictures; no script, no address."""
    digest = base64.b64encode(hashlib.sha256(_stylesheet().encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _filled(template: str, values: dict[str, Any]) -> str:
    return _environment().get_template(template).render(values)


@cache
def _stylesheet() -> str:
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")


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
    )
    made.filters |= FILTERS
    # The package's own file, not data.
    made.globals |= {"stylesheet": Markup(_stylesheet()), "policy": content_security_policy()}
    return made
