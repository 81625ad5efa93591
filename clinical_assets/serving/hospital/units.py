"""Quantities in the unit of a column: the same unit, or one that differs by a factor that is exact by definition.

What belongs here: UCUM units made of a prefix and a unit, and products and quotients of them. What does not: units
whose relation depends on the substance (mmol and mg) or that have another zero (Cel and [degF]): those are refused.

The factors are those of UCUM (The Unified Code for Units of Measure, version 2.1, tables 1 to 8).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

#: http://unitsofmeasure.org is UCUM's address in FHIR.
UCUM = "http://unitsofmeasure.org"
_PREFIXES: Mapping[str, Fraction] = {
    name: Fraction(10) ** power
    for name, power in {
        "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "M": 6, "G": 9,
    }.items()
}  # fmt: skip
#: Unit: factor, and the base that it is measured in. Those of the second group take no prefix.
_METRIC: Mapping[str, tuple[Fraction, str]] = {
    "g": (Fraction(1), "g"),
    "m": (Fraction(1), "m"),
    "s": (Fraction(1), "s"),
    "mol": (Fraction(1), "mol"),
    "Pa": (Fraction(1), "Pa"),
    "m[Hg]": (Fraction("133322"), "Pa"),
    "m[H2O]": (Fraction("9806.65"), "Pa"),
    "eq": (Fraction(1), "eq"),
    "[IU]": (Fraction(1), "[IU]"),
    "U": (Fraction(1), "U"),
    "V": (Fraction(1), "V"),
    "J": (Fraction(1), "J"),
    "cal": (Fraction("4.184"), "J"),
}
_LITRE = Fraction(1, 1000)
_PLAIN: Mapping[str, tuple[Fraction, str]] = {
    "min": (Fraction(60), "s"),
    "h": (Fraction(3600), "s"),
    "d": (Fraction(86400), "s"),
    "wk": (Fraction(604800), "s"),
    "[in_i]": (Fraction("0.0254"), "m"),
    "[ft_i]": (Fraction("0.3048"), "m"),
    "[lb_av]": (Fraction("453.59237"), "g"),
    "[oz_av]": (Fraction("28.349523125"), "g"),
    "%": (Fraction(1, 100), ""),
}
_PART = re.compile(r"([./]?)(10\*|10\^|(?:\[[^\]]*\]|[^./0-9+\-\[])+)?([+\-]?[0-9]+)?")
_NOTE = re.compile(r"\{[^{}]*\}")


def factor(given: str, wanted: str) -> Fraction | None:
    """What a number in one unit is multiplied by to be in another one; None where that is not exact or not known.

    Parameters
    ----------
    given, wanted : str
        UCUM codes; annotations in braces say nothing about the unit.
    """
    if given == wanted:
        return Fraction(1)
    first, second = _read(given), _read(wanted)
    if first is None or second is None or first[1] != second[1]:
        return None
    return first[0] / second[0]


def converted(value: float, by: Fraction) -> float:
    """A number times a factor, from the decimals that it was written in, rounded once."""
    return value if by == 1 else float(Fraction(repr(value)) * by)


def _read(code: str) -> tuple[Fraction, dict[str, int]] | None:
    """A unit as a factor and the powers of bases; None where it is not understood."""
    text = _NOTE.sub("", code)
    # What is only an annotation is the unity.
    text = {"": "1"}.get(text, text)
    total, powers = Fraction(1), Counter[str]()
    place = 0
    while place < len(text):
        found = _PART.match(text, place)
        if found is None or found.end() == place:
            return None
        sign = -1 if found[1] == "/" else 1
        part = _part(found[2], found[3])
        if part is None:
            return None
        total *= part[0] ** sign
        for base, power in part[1].items():
            powers[base] += sign * power
        place = found.end()
    return total, {base: power for base, power in powers.items() if power}


def _part(name: str | None, number: str | None) -> tuple[Fraction, dict[str, int]] | None:
    if name is None:
        return (Fraction(number), {}) if number is not None and number.isdigit() and int(number) else None
    power = int(number or 1)
    if abs(power) > 30:
        return None
    if name in ("10*", "10^"):
        return Fraction(10) ** power, {}
    unit = _unit(name)
    return None if unit is None else (unit[0] ** power, {base: each * power for base, each in unit[1].items()})


def _unit(name: str) -> tuple[Fraction, dict[str, int]] | None:
    if name in _PLAIN:
        by, base = _PLAIN[name]
        return by, {base: 1} if base else {}
    for prefix, scale in (("", Fraction(1)), *_PREFIXES.items()):
        rest = name.removeprefix(prefix) if name.startswith(prefix) else ""
        if rest in ("l", "L"):
            return scale * _LITRE, {"m": 3}
        if rest in _METRIC:
            by, base = _METRIC[rest]
            return scale * by, {base: 1}
    return None
