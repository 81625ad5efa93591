"""Texts of pages in several languages, and numbers as each writes them.

What belongs here: catalogues, the language of what is being shown now, choosing one. What does not: texts of a cohort's
description, which stand in the language they were written in.

A language is one file, ``languages/<code>.po`` (GNU gettext); English is the language of the texts themselves. Whoever
adds a file has added a language: it is read as it lies there, without a step between.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.support import NullTranslations

LANGUAGES = Path(__file__).parent / "languages"
#: Language of the texts themselves.
SOURCE = "en"
_current: ContextVar[str] = ContextVar("language", default=SOURCE)
_ACCEPTED = re.compile(r"\s*([a-z]{2,3})(?:-[a-z0-9]+)*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", re.IGNORECASE)
_LONGEST_HEADER = 200


@cache
def languages() -> tuple[str, ...]:
    """Codes of all languages, English first."""
    return (SOURCE, *sorted(path.stem for path in LANGUAGES.glob("*.po")))


def name_of(language: str) -> str:
    """What speakers of a language call it."""
    from babel import Locale

    return (Locale.parse(language).get_display_name(language) or language).capitalize()


def preferred(header: str) -> str:
    """The language that somebody likes best among those that there are.

    Parameters
    ----------
    header : str
        ``Accept-Language`` (RFC 9110, 12.5.4); what cannot be read is passed over.

    >>> preferred("fr, de;q=0.8, en;q=0.5")
    'de'
    >>> preferred("nonsense;;")
    'en'
    """
    liked = []
    for place, part in enumerate(header[:_LONGEST_HEADER].split(",")):
        found = _ACCEPTED.fullmatch(part)
        if found is not None and found[1].lower() in languages():
            liked.append((-float(found[2] or 1), place, found[1].lower()))
    return min(liked)[2] if liked else SOURCE


def language() -> str:
    """Code of the language of what is being shown now."""
    return _current.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Show what is shown within the block in a language; one that there is not is English."""
    token = _current.set(code if code in languages() else SOURCE)
    try:
        yield
    finally:
        _current.reset(token)


def gettext(message: str) -> str:
    """A text in the language of now; where its catalogue lacks it, as it is."""
    return message if _current.get() == SOURCE else _catalogue(_current.get()).gettext(message)


def ngettext(one: str, more: str, n: int) -> str:
    """A text for a number of things."""
    if _current.get() == SOURCE:
        return one if n == 1 else more
    return _catalogue(_current.get()).ngettext(one, more, n)


def decimal(value: float, digits: int = 2) -> str:
    """A number with at most so many decimals, as the language of now writes it."""
    from babel.numbers import format_decimal

    return format_decimal(value, format=f"#,##0.{'#' * digits}", locale=_current.get())


def percent(value: float, digits: int = 1) -> str:
    """A share from 0 to 1 in per cent, as the language of now writes it."""
    from babel.numbers import format_percent

    return format_percent(value, format=f"#,##0.{'#' * digits}\u202f%", locale=_current.get())


@cache
def _catalogue(code: str) -> NullTranslations:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po
    from babel.support import Translations

    with (LANGUAGES / f"{code}.po").open("rb") as file:
        read = read_po(file, locale=code, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return Translations(compiled)
