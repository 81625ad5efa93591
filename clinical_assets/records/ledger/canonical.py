"""One text for one value: the JSON that digests of records are made of."""

from __future__ import annotations

from clinical_assets.foundation.canonical import canonical_json
from clinical_assets.records.errors import RecordsError


def canonical(value: object) -> str:
    """`canonical_json`, with a refusal that a person understands.

    Raises
    ------
    RecordsError
        For NaN, an infinity, or a value that JSON does not have.
    """
    try:
        return canonical_json(value)
    except (TypeError, ValueError) as error:
        raise RecordsError(
            f"A value cannot be recorded: {error}.",
            cure="Record plain texts, whole numbers, finite numbers, true, false, null, lists and mappings of them.",
        ) from error
