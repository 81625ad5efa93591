"""Names and values as DuckDB reads them.

What belongs here: quoting. Nothing else builds SQL text from values.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable

Literal = None | bool | int | float | str | dt.date | dt.datetime


#: What may stand around a value and is no part of it: white space of any script, and characters that nobody sees (soft
#: hyphen, zero-width space and joiners, direction marks, byte-order mark), which come along when cells are copied.
BLANKS = (
    " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\xad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
#: A text that an export wrote as a formula, so that a spreadsheet keeps its leading zeros; the text stands inside.
TEXT_AS_FORMULA = '^="([^"]*)"$'


def quoted(name: str) -> str:
    """A column or table name in double quotes, whatever characters it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Literal | Iterable[Literal]) -> str:
    """A value as an SQL literal; a list or tuple becomes ``(a, b)`` as ``IN`` wants it.

    Raises
    ------
    ValueError
        For an empty list, a number that is not finite, or a kind of value that SQL has no literal for.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, dt.datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("an empty list has no SQL form")
        return "(" + ", ".join(literal(item) for item in value) + ")"
    raise ValueError(f"a {type(value).__name__} has no SQL form")


def slug(text: str) -> str:
    """A text as part of a column name: lower case letters, digits and single underscores."""
    return re.sub(r"[^a-z0-9]+", "_", str(text).lower()).strip("_")
