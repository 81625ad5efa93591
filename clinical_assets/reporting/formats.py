"""Numbers, times and names as a reader sees them; every page uses the same."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

from markupsafe import Markup, escape

NONE = "–"
_UNITS = {
    "mmhg": "mmHg",
    "mg_dl": "mg/dL",
    "g_dl": "g/dL",
    "mg_l": "mg/L",
    "g_l": "g/L",
    "ng_ml": "ng/mL",
    "mmol_l": "mmol/L",
    "umol_l": "µmol/L",
    "u_l": "U/L",
    "kg_m2": "kg/m²",
    "kg": "kg",
    "cm": "cm",
    "mm": "mm",
    "m": "m",
    "bpm": "per minute",
    "ms": "ms",
    "years": "years",
    "days": "days",
    "hours": "hours",
    "percent": "%",
    "pct": "%",
}
_CAPITALS = {"auroc", "auprc", "psi", "ks", "tpr", "fpr", "ppv", "npv", "ici", "bmi", "ecg", "sd", "id", "icu"}
_SNAKE = re.compile(r"(?<![\w/.-])[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+(?![\w/-]|\.\w)")


def number(value: float | None) -> str:
    """A measured value: whole numbers as such, three decimals of others, one digit of very small ones."""
    if value is None:
        return NONE
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    return f"{value:z.3f}" if abs(value) >= 0.001 else f"{value:.1g}"


def fixed(value: float | None) -> str:
    """A measure or an end of its interval with three decimals; None stands for an end that cannot be given."""
    return "unbounded" if value is None else f"{value:z,.3f}"


class HasInterval(Protocol):
    """What has a value and the ends of its interval; None stands for one that cannot be given."""

    @property
    def value(self) -> float | None:
        """The estimate."""

    @property
    def ci_low(self) -> float | None:
        """Lower end."""

    @property
    def ci_high(self) -> float | None:
        """Upper end."""


def interval(estimate: HasInterval | None) -> str:
    """An estimate with its interval, three decimals each."""
    if estimate is None or estimate.value is None:
        return "-"
    low, high = (("unbounded" if end is None else f"{end:z.3f}") for end in (estimate.ci_low, estimate.ci_high))
    return f"{estimate.value:z.3f} ({low} to {high})"


def bound(value: float | None) -> str:
    """An end of an interval; None stands for an end that cannot be given."""
    return "unbounded" if value is None else number(value)


def share(value: float | None) -> str:
    """A share from 0 to 1 as a percentage with one decimal at most."""
    if value is None or not math.isfinite(value):
        return "unbounded"
    return f"{100 * value:.1f}".removesuffix(".0") + "\N{NO-BREAK SPACE}%"


def count(value: int | None) -> str:
    """A whole number with thousands separated."""
    return NONE if value is None else f"{value:,}"


def counted(n: int, one: str, more: str | None = None) -> str:
    """A number with its noun: ``1 batch``, ``2 batches``; ``more`` is the plural where an s does not make it."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def form(value: float | None, spec: str) -> str:
    """A number in a format of Python's mini-language; a dash where there is none."""
    return NONE if value is None else format(value, spec)


def p_value(value: float | None, least: float = 1e-12) -> str:
    """A p value with two digits, or that it is below what can be told apart."""
    if value is None:
        return NONE
    if value < least:
        return f"< {least:.0e}"
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def minute(time: str) -> str:
    """An ISO time to the minute."""
    return time[:16].replace("T", " ")


def brief(digest: str) -> str:
    """The first 16 digits of a digest."""
    return f"{digest.removeprefix('sha256:')[:16]}…"


def shown(value: Any) -> str:
    """A cell of a table whose type is not known beforehand."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def words(name: str) -> str:
    """A column's or measure's name as words, its unit in brackets: ``crp_mg_l`` is ``crp (mg/L)``."""
    lower = name.lower()
    for suffix, unit in _UNITS.items():
        if lower.endswith(f"_{suffix}") and len(name) > len(suffix) + 1:
            return f"{_spaced(name[: -len(suffix) - 1])} ({unit})"
    return _spaced(name)


def _spaced(name: str) -> str:
    return " ".join(part.upper() if part.lower() in _CAPITALS else part for part in name.split("_") if part)


def prose(text: str, labels: Mapping[str, str] | None = None) -> str:
    """A sentence without code names: every ``snake_case`` name is written as words, or as its label."""
    known = labels or {}
    return _SNAKE.sub(lambda found: known.get(found[0]) or words(found[0]), text)


def wrapped(name: str) -> Markup:
    """A name with places where a narrow column may break it; everything is escaped."""
    text = str(escape(name))
    for sign in ("_", "[", "/", "="):
        text = text.replace(sign, f"{sign}<wbr>" if sign != "[" else f"<wbr>{sign}")
    # Escaped above; only <wbr> was added.
    return Markup(text)


def go_address(term: str) -> str:
    """Where a GO term is explained; a page loads nothing from there, a reader may follow it."""
    return f"https://www.ebi.ac.uk/QuickGO/term/{term}"


FILTERS = {
    "go_address": go_address,
    "number": number,
    "fixed": fixed,
    "bound": bound,
    "share": share,
    "count": count,
    "form": form,
    "p_value": p_value,
    "minute": minute,
    "brief": brief,
    "shown": shown,
    "words": words,
    "wrapped": wrapped,
}
