"""A recalibrated model against the one it was made from: is it that model with the map its rows give, and no more?

What belongs here: following recalibrations back to the training they began with, and checking each step from what is on
file. What does not: making the training again (``reproduction``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_assets.modelling.recalibrated import DERIVED

if TYPE_CHECKING:
    from clinical_assets.governance.candidate import ReleaseCandidate
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.modelling.trainings import Training


@dataclass(frozen=True)
class Origin:
    """Where a chain of recalibrations began.

    Attributes
    ----------
    training : Training
        The training; the candidate's own where it is no recalibration.
    steps : tuple of str
        Digests on the way, the newest first.
    problems : tuple of str
        What does not fit, in words; empty when every step is what it says.
    """

    training: Training
    steps: tuple[str, ...]
    problems: tuple[str, ...]


def origin_of(candidate: ReleaseCandidate) -> Origin:
    """Follow a candidate's recalibrations back and check each.

    Raises
    ------
    NoTraining, BundleError
        A model on the way is not kept here, or was changed.
    """
    from clinical_assets.modelling import trainings

    training, bundle = candidate.training, candidate.bundle
    steps: list[str] = []
    problems: list[str] = []
    while (told := bundle.description.get(DERIVED)) is not None:
        steps.append(bundle.digest)
        training = trainings.with_bundle(candidate.settings, candidate.cohort, told["from"])
        base = training.bundle()
        problems += _step(candidate, bundle, base)
        bundle = base
    return Origin(training, tuple(steps), tuple(problems))


def _step(candidate: ReleaseCandidate, bundle: Bundle, base: Bundle) -> Iterator[str]:
    from clinical_assets.modelling.bundle import DESCRIPTION, MANIFEST, MODEL
    from clinical_assets.modelling.recalibrated import verify_map
    from clinical_assets.modelling.reference import ReferenceMissing, read_reference

    short = bundle.digest[:19]
    changed = {DERIVED, "recalibration"}
    ours, theirs = ({k: v for k, v in each.description.items() if k not in changed} for each in (bundle, base))
    if ours != theirs:
        yield f"{short} differs from its base in more than the recalibration"
    files = [json.loads((each.folder / MANIFEST).read_text(encoding="utf-8"))["files"] for each in (bundle, base)]
    apart = {name for name in {*files[0], *files[1]} if files[0].get(name) != files[1].get(name)}
    if apart - {DESCRIPTION, MODEL}:
        yield f"{short} has other files than its base: {', '.join(sorted(apart - {DESCRIPTION, MODEL}))}"
    if _with_map(base, bundle.description["recalibration"]) != (bundle.folder / MODEL).read_bytes():
        yield f"the graph of {short} is not its base's with the map of its description"
    try:
        with candidate.warehouse.reader() as connection:
            rows = read_reference(connection, bundle.digest)
    except ReferenceMissing as error:
        yield f"the rows that {short} was recalibrated on are not kept: {error.message}"
        return
    if not verify_map(rows, bundle.description, base=base):
        yield f"the rows that {short} was recalibrated on give another map"


def _with_map(base: Bundle, recalibration: Mapping[str, Any]) -> bytes:
    """The base's graph with other constants in its last step."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    from clinical_assets.modelling.bundle import MODEL

    model = onnx.load_model_from_string((base.folder / MODEL).read_bytes())
    values = {"intercept": recalibration["intercepts"][0], "slope": recalibration["slopes"][0]}
    for constant in model.graph.initializer:
        if constant.name in values:
            constant.CopyFrom(numpy_helper.from_array(np.asarray(values[constant.name]), constant.name))
    return bytes(model.SerializeToString(deterministic=True))
