"""One text for one value: the JSON that digests of records are made of."""

from __future__ import annotations

import json
from typing import TypeAlias

from clinical_assets.records.refusals import RecordsError

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

# Escapes instead of letters beyond ASCII: the same bytes whatever the encoding of a file, a column or a terminal.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def canonical(value: object) -> str:
    """JSON in ASCII with sorted keys and no spaces; everything beyond ASCII is escaped, nothing is normalised.

    Raises
    ------
    RecordsError
        For NaN, an infinity, or a value that JSON does not have.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise RecordsError(
            f"A value cannot be recorded: {error}.",
            cure="Record plain texts, whole numbers, finite numbers, true, false, null, lists and mappings of them.",
        ) from error
