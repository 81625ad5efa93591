"""The description that a model was trained with, as its training kept it, and in what two descriptions differ.

What belongs here: reading it. What does not: whether what it names can still be restored (``provenance_check``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.modelling.trainings.trainings import SPEC


def kept_facts(candidate: ReleaseCandidate) -> dict[str, Any] | None:
    """The description that the model was trained with, as plain values; None where it is not kept or was changed."""
    try:
        facts = json.loads((candidate.training.report / SPEC).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if value_digest(facts) != candidate.bundle.description.provenance.spec_digest:
        return None
    return dict(facts)


def trained_spec(candidate: ReleaseCandidate) -> CohortSpec | None:
    """The description that the model was trained with; None where neither the kept nor the present one is it."""
    if value_digest(candidate.spec.training_facts()) == candidate.bundle.description.provenance.spec_digest:
        return candidate.spec
    facts = kept_facts(candidate)
    return None if facts is None else CohortSpec.model_validate(facts)


def differing_paths(first: Any, second: Any, *, depth: int = 2, path: str = "") -> tuple[str, ...]:
    """Dotted paths at which two nested values differ, no deeper than ``depth`` levels."""
    if first == second:
        return ()
    if depth == 0 or not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return (path or "everything",)
    below = [
        differing_paths(first.get(name), second.get(name), depth=depth - 1, path=f"{path}.{name}" if path else name)
        for name in sorted({*first, *second})
    ]
    return tuple(each for paths in below for each in paths)
