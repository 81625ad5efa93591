"""What a rule of Safe Harbor is, and the patterns of values that rules share.

What belongs here: shapes and patterns. The rules are in ``rules`` (people, places, times) and
``numbers`` (numbers, addresses of machines, pictures).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

IdentifierClass = Literal[
    "names",
    "geography",
    "dates and ages",
    "telephone",
    "fax",
    "e-mail",
    "social security number",
    "medical record number",
    "health plan number",
    "account number",
    "licence number",
    "vehicle",
    "device",
    "url",
    "ip address",
    "biometric",
    "photograph",
    "other unique code",
]
ValueKind = Literal["text", "number", "date", "bytes"]


@dataclass(frozen=True)
class IdentifierRule:
    """One way to recognise an identifier.

    Attributes
    ----------
    name : str
        Of the rule, in findings.
    kinds : tuple
        Types of column that it judges.
    column : str or None
        Regular expression that is searched in the column's name, in snake case between underscores; None: any name.
    value : str or None
        SQL that is true for a value that counts; ``{text}`` is the value as text, ``{value}`` as it is. None: any.
    share : float
        Share of the filled values that must count; 0: one is enough.
    many : bool
        Whether the values must be nearly all different, as those of an identifier are and those of a category are not.
    personal : bool
        Whether it judges only tables with a row per person or unit: a date of a run is no date of a patient.
    """

    identifier_class: IdentifierClass
    name: str
    cure: str
    kinds: tuple[ValueKind, ...] = ("text",)
    column: str | None = None
    value: str | None = None
    share: float = 0.0
    many: bool = False
    personal: bool = False


def word(pattern: str) -> str:
    """SQL: the text has the pattern between characters that are neither letters nor digits."""
    return f"regexp_matches({{text}}, '(^|[^0-9A-Za-z])(?:{pattern})($|[^0-9A-Za-z])')"


def whole(pattern: str) -> str:
    """SQL that is true where a text, ``{text}``, is what a pattern describes and nothing else."""
    return f"regexp_full_match({{text}}, '{pattern}')"


PHONE = r"(?:\+?1[-. ]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])\d{3}[-. ]\d{4}"
ABROAD = r"\+\d{1,3}(?:[ .()/-]{0,2}\d){7,12}"
# Never given: area 000, 666 and from 900 on, group 00, serial 0000.
SSN = (
    r"(?:00[1-9]|0[1-9]\d|[1-578]\d{2}|6[0-57-9]\d|66[0-57-9])-(?:0[1-9]|[1-9]\d)"
    r"-(?:000[1-9]|00[1-9]\d|0[1-9]\d{2}|[1-9]\d{3})"
)
OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
DAY = r"(?:0?[1-9]|[12]\d|3[01])"
MONTH = r"(?:0?[1-9]|1[0-2])"
WORD_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = (
    rf"(?:1[89]|20)\d{{2}}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01])(?:T[\d:.]+Z?)?)?|{MONTH}/{DAY}/(?:\d{{2}}|\d{{4}})"
    rf"|{DAY}\.{MONTH}\.(?:19|20)\d{{2}}|(?i:{DAY}[- ]{WORD_MONTH}[- ](?:19|20)?\d{{2}})"
    rf"|(?i:{WORD_MONTH} {DAY},? (?:19|20)\d{{2}})"
)
FULL_DATE = DATE.replace(r"(?:-(?:0[1-9]|[12]\d|3[01])(?:T[\d:.]+Z?)?)?", r"-(?:0[1-9]|[12]\d|3[01])(?:T[\d:.]+Z?)?")
STREET = (
    r"\d{1,5}[A-Za-z]? [A-Z][\w. ]{2,40} (?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct)\.?"
)
UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# Medicare Beneficiary Identifier, CMS: positions 2, 5, 8, 9 are letters without S, L, O, I, B, Z.
_L = "[AC-HJKMNP-RT-Y]"
MBI = rf"[1-9]{_L}[AC-HJKMNP-RT-Y0-9]\d-?{_L}[AC-HJKMNP-RT-Y0-9]\d-?{_L}{{2}}\d{{2}}"
ZIPPED = r"(^|_)(zip|zip_?code|zip3|zip5|postal_?code|post_?code|plz)(_|$)"
LEFT_OUT = "Leave the column out."
NUMBER = r"_?(id|ids|no|nr|num|number|code|serial)"
PERSON = r"(patient|subject|person|participant|encounter|visit|admission|sample|specimen|accession|case)"
DIGITS = "regexp_replace({text}, '\\.0$', '')"

PSEUDONYM = r"p\d+_[0-9a-f]{32}"
"""Pseudonyms of this platform: they are not judged, as only the holder of the keys can lead them back."""


def snake(name: str) -> str:
    """A column's name in lower snake case: ``PatientName`` and ``patient-name`` are ``patient_name``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
