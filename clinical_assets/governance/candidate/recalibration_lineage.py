"""A recalibrated model against the one it was made from: is it that model with the map its rows give, and no more?

What belongs here: following recalibrations back to the training they began with, and checking each step from what is on
file. What does not: making the training again (``reproduction``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import DESCRIPTION, BundleManifest, StoredRecalibration
from clinical_assets.modelling.bundle.bundle_files import MODEL
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.recalibrated import verify_map
from clinical_assets.modelling.trainings.reference import ReferenceMissing, read_reference
from clinical_assets.modelling.trainings.trainings import Training


@dataclass(frozen=True)
class RecalibrationOrigin:
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


def origin_of(candidate: ReleaseCandidate) -> RecalibrationOrigin:
    """Follow a candidate's recalibrations back and check each.

    Raises
    ------
    NoTraining, BundleError
        A model on the way is not kept here, or was changed.
    """
    training, bundle = candidate.training, candidate.bundle
    steps: list[str] = []
    problems: list[str] = []
    while (derived := bundle.description.derived) is not None:
        steps.append(bundle.digest)
        training = trainings.with_bundle(candidate.settings, candidate.cohort, derived.base)
        base = training.bundle()
        problems += _step(candidate, bundle, base)
        bundle = base
    return RecalibrationOrigin(training, tuple(steps), tuple(problems))


def _step(candidate: ReleaseCandidate, bundle: Bundle, base: Bundle) -> Iterator[str]:
    short = bundle.digest[:19]
    # What is certain about the risks follows from the map and its rows, which are checked below.
    changed = {"derived", "recalibration", "uncertainty"}
    ours, theirs = (each.description.model_dump(exclude=changed, exclude_unset=True) for each in (bundle, base))
    if ours != theirs:
        yield f"{short} differs from its base in more than the recalibration"
    files = [BundleManifest.read(each.folder).files for each in (bundle, base)]
    apart = {name for name in {*files[0], *files[1]} if files[0].get(name) != files[1].get(name)}
    if apart - {DESCRIPTION, MODEL}:
        yield f"{short} has other files than its base: {', '.join(sorted(apart - {DESCRIPTION, MODEL}))}"
    if _with_map(base, bundle.description.recalibration) != (bundle.folder / MODEL).read_bytes():
        yield f"the graph of {short} is not its base's with the map of its description"
    try:
        with candidate.warehouse.reader() as connection:
            rows = read_reference(connection, bundle.digest)
    except ReferenceMissing as error:
        yield f"the rows that {short} was recalibrated on are not kept: {error.message}"
        return
    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    if not verify_map(rows, bundle.description, base=base, subject=subject):
        yield f"the rows that {short} was recalibrated on give another map"


def _with_map(base: Bundle, recalibration: StoredRecalibration) -> bytes:
    """The base's graph with other constants in its last step."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string((base.folder / MODEL).read_bytes())
    values = {"intercept": recalibration.intercepts[0], "slope": recalibration.slopes[0]}
    for constant in model.graph.initializer:
        if constant.name in values:
            constant.CopyFrom(numpy_helper.from_array(np.asarray(values[constant.name]), constant.name))
    return bytes(model.SerializeToString(deterministic=True))
