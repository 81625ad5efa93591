"""What the facts of all actions have in common: reading them, and what of them is signed."""

from __future__ import annotations

import json
from typing import Any, Self

from clinical_assets.foundation.stored_format import StoredDocument


class LedgerFacts(StoredDocument):
    """Base of the facts of an action.

    Attributes
    ----------
    run_id : str or None
        The Dagster run that acted.
    """

    run_id: str | None = None

    @classmethod
    def found(cls, content: object) -> Self | None:
        """The facts in plain values, or in the text of a row; None where this type would not write the same."""
        try:
            plain = json.loads(content) if isinstance(content, str) else content
            facts = cls.model_validate(plain)
        except ValueError:
            return None
        return facts if facts.to_json() == plain else None

    def signed_content(self) -> dict[str, Any]:
        """What a person's key signs: every field that is given but the signature."""
        return {name: value for name, value in self.to_json().items() if name != "signature"}
