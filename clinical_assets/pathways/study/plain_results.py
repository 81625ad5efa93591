"""Results of protocols from plain values back to what they were, for files that hold them.

What belongs here: the way back; the way there is `foundation.canonical.plain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinical_assets.pathways.study.protocols import (
    ChosenBy,
    HonestProtocol,
    Performance,
    PermutationNull,
    StudyProtocol,
)
from clinical_assets.pathways.study.search import Configuration
from clinical_assets.statistics.uncertainty.intervals import Estimate


def study_protocol_of(facts: Mapping[str, Any]) -> StudyProtocol:
    """The result of the study's protocol."""
    held_out = facts["held_out"]
    return StudyProtocol(
        best=configuration_of(facts["best"]),
        cross_validated=performance_of(facts["cross_validated"]),
        held_out=None if held_out is None else performance_of(held_out),
        train=np.array(facts["train"], dtype=np.int64),
        test=np.array(facts["test"], dtype=np.int64),
        n_configurations=facts["n_configurations"],
        # Studies chose by balanced accuracy alone before.
        chosen_by=None if facts.get("chosen_by") is None else ChosenBy(**facts["chosen_by"]),
    )


def honest_protocol_of(facts: Mapping[str, Any]) -> HonestProtocol:
    """The result of nested cross-validation."""
    return HonestProtocol(
        performance=performance_of(facts["performance"]),
        called=np.array(facts["called"], dtype=np.float64),
        chosen=tuple(configuration_of(one) for one in facts["chosen"]),
    )


def null_of(facts: Mapping[str, Any]) -> PermutationNull:
    """A permutation null."""
    return PermutationNull(facts["observed"], np.array(facts["permuted"], dtype=np.float64), facts["p_value"])


def performance_of(facts: Mapping[str, Any]) -> Performance:
    """Performance with its intervals."""
    precision = facts["precision"]
    return Performance(
        precision=None if precision is None else Estimate(**precision),
        recall=Estimate(**facts["recall"]),
        specificity=Estimate(**facts["specificity"]),
        balanced_accuracy=Estimate(**facts["balanced_accuracy"]),
    )


def configuration_of(facts: Mapping[str, Any]) -> Configuration:
    """One point of a sweep."""
    return Configuration(facts["family"], tuple((name, value) for name, value in facts["parameters"]))
