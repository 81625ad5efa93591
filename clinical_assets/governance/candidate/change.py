"""What kind of change a candidate is against the model that serves, and whether the plan agreed to it beforehand.

What belongs here: comparing two bundles and the descriptions they were trained with. What does not: whether the change
is good enough (``change_criteria``).

A change has the smallest kind that accounts for everything that differs. Several kinds at once, and whatever the plan
has no word for (another target, other tables, other limits of the gates), are ``other`` and never permitted: nobody
agreed to them beforehand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from clinical_assets.cohorts.governance import ChangeKind, PermittedChange
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, opponent_of
from clinical_assets.governance.candidate.kept_description import differing_paths, kept_facts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import BoosterExplanation, PathsExplanation
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings import trainings
from clinical_assets.modelling.trainings.reference import ReferenceMissing, read_reference

CandidateKind = ChangeKind | Literal["first", "other"]
# Parts of the description and the kind of change that they are; the longest that fits counts, the rest is `other`.
_PARTS: dict[str, str | None] = {
    "title": None,
    "owner": None,
    "family": None,
    # What these change shows in the compiled statements.
    "features": None,
    "outcome": None,
    "vars": None,
    "modelling.candidates": "candidates",
    "modelling.published": "candidates",
    "modelling.imbalance": "candidates",
    "modelling.criterion": "candidates",
    "modelling.search": "candidates",
    "decisions.costs": "threshold",
    "decisions.class_costs": "threshold",
    "decisions.tiers": "threshold",
    "decisions.threshold_range": "threshold",
    "data.collected": "refit",
}
_MODEL = ("candidate", "parameters", "imbalance", "preparation", "explanation", "raw_risk_floor")
_TARGET = ("classes", "action_from", "cohort", "synthetic")
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Change:
    """What a candidate changes.

    Attributes
    ----------
    kind : str
        ``first`` without a model to compare with, a kind of the change control plan, or ``other``.
    details : tuple of str
        What differs, in words.
    permitted : PermittedChange or None
        The terms on which the plan allows it; None where it does not.
    against : str or None
        Digest of the model compared with.
    """

    kind: CandidateKind
    details: tuple[str, ...]
    permitted: PermittedChange | None
    against: str | None = None


def kind_of_change(candidate: ReleaseCandidate) -> Change:
    """Compare a candidate with the champion; one that serves already, with the champion before it.

    Raises
    ------
    ChampionError, BundleError
        The champion's bundle is not there or was changed.
    """
    digest = opponent_of(candidate)
    if digest is None:
        return Change("first", ("no model serves this cohort yet",), None)
    champion = champion_pointer.bundle_of(candidate.settings, digest)
    found = differences(candidate, champion)
    kind = _smallest({each for each in found if each is not None})
    details = tuple(detail for told in found.values() for detail in told)
    permitted = candidate.spec.pccp.permits(cast("ChangeKind", kind)) if kind in get_args(ChangeKind) else None
    return Change(kind, details or ("nothing that is scored differs",), permitted, digest)


def differences(candidate: ReleaseCandidate, champion: Bundle) -> dict[str | None, list[str]]:
    """What differs, by the kind of change it is; under None what changes nothing that is scored."""
    ours, theirs = candidate.bundle.description, champion.description
    made, made_then = ours.provenance, theirs.provenance
    found: dict[str | None, list[str]] = {}

    def note(kind: str | None, detail: str) -> None:
        found.setdefault(kind, []).append(detail)

    for name in _TARGET:
        now, then = getattr(ours, name), getattr(theirs, name)
        if now != then:
            note("other", f"{name} was {_listed(then)}, is {_listed(now)}")
    if made.outcome_sql_digest != made_then.outcome_sql_digest:
        note("other", "the outcome's SQL differs")
    if made.features_sql_digest != made_then.features_sql_digest:
        note("features", "the features' SQL differs")
    added = [name for name in ours.feature_columns if name not in theirs.feature_columns]
    gone = [name for name in theirs.feature_columns if name not in ours.feature_columns]
    if added or gone:
        note("features", f"features added: {', '.join(added) or 'none'}; gone: {', '.join(gone) or 'none'}")
    elif ours.feature_columns != theirs.feature_columns:
        note("features", "features stand in another order")
    if (ours.threshold, ours.tiers) != (theirs.threshold, theirs.tiers):
        note("threshold", f"the threshold was {theirs.threshold:g}, is {ours.threshold:g}, or tiers differ")
    if ours.class_costs != theirs.class_costs:
        note("threshold", "the costs of decisions among the classes differ")
    _compare_descriptions(candidate, champion, note)
    _compare_models(candidate, champion, note)
    for name in ("data_digest", "code_version", "libraries"):
        if getattr(made, name) != getattr(made_then, name):
            # Of no consequence by itself: a model that was made again shows it.
            note(None, f"{name.replace('_', ' ')} differs")
    return found


def _smallest(kinds: set[str]) -> CandidateKind:
    if not kinds:
        return "refit"
    # A model is refitted whenever its features or candidates change.
    for wider in ("features", "candidates"):
        if kinds <= {wider, "refit"} and wider in kinds:
            return cast("CandidateKind", wider)
    return cast("CandidateKind", next(iter(kinds))) if len(kinds) == 1 else "other"


def _compare_descriptions(candidate: ReleaseCandidate, champion: Bundle, note: Any) -> None:
    made, made_then = candidate.bundle.description.provenance, champion.description.provenance
    if made.spec_digest == made_then.spec_digest:
        return

    now, then = kept_facts(candidate), _facts_of(candidate, champion)
    if now is None or then is None:
        note("other", "the descriptions differ, and one of them is not kept to say in what")
        return
    for path in differing_paths(now, then, depth=6):
        note(_kind_of_part(path), f"description: {path} differs")


def _kind_of_part(path: str) -> str | None:
    if path.rsplit(".", 1)[-1] == "description" and path.startswith("tables."):
        return None
    if path.startswith("tables.") and path.split(".")[2:3] == ["source"]:
        return "refit"  # where the records come from; their shape stands elsewhere
    fitting = [part for part in _PARTS if path == part or path.startswith(f"{part}.")]
    return _PARTS[max(fitting, key=len)] if fitting else "other"


def _facts_of(candidate: ReleaseCandidate, champion: Bundle) -> dict[str, Any] | None:
    """The description that the champion was trained with."""
    try:
        folder = trainings.with_bundle(candidate.settings, champion.cohort, champion.digest).report
        facts = json.loads((folder / trainings.SPEC).read_text(encoding="utf-8"))
    except (trainings.NoTraining, OSError, ValueError):
        return None
    return dict(facts) if value_digest(facts) == champion.description.provenance.spec_digest else None


def _compare_models(candidate: ReleaseCandidate, champion: Bundle, note: Any) -> None:
    ours, theirs = candidate.bundle.description, champion.description
    if ours.candidate != theirs.candidate:
        note("refit", f"{ours.candidate} won, it was {theirs.candidate}")
        return
    if not _same_before_recalibration(candidate, champion):
        note("refit", "the model was fitted again")
        return
    now, then = ours.recalibration, theirs.recalibration
    if now.slopes != then.slopes:
        note("intercept_and_slope", f"recalibration slope was {_shown(then.slopes)}, is {_shown(now.slopes)}")
    elif now.intercepts != then.intercepts:
        shown = f"was {_shown(then.intercepts)}, is {_shown(now.intercepts)}"
        note("intercept", f"recalibration intercept {shown}")


def _same_before_recalibration(candidate: ReleaseCandidate, champion: Bundle) -> bool:
    """Whether two models rank alike and differ in their recalibration at most."""
    ours, theirs = candidate.bundle.description, champion.description
    if (
        any(getattr(ours, name) != getattr(theirs, name) for name in _MODEL)
        or ours.feature_columns != theirs.feature_columns
    ):
        return False
    if ours.recalibration == theirs.recalibration:
        return _bytes(candidate.bundle, "model.onnx") == _bytes(champion, "model.onnx")
    stored = ours.explanation
    if isinstance(stored, BoosterExplanation):
        return _bytes(candidate.bundle, stored.file) == _bytes(champion, stored.file)
    if not isinstance(stored, PathsExplanation):
        return True  # coefficients, compared above
    return _same_raw_risks(candidate, champion)


def _same_raw_risks(candidate: ReleaseCandidate, champion: Bundle) -> bool:
    """For models whose inside is in the graph alone: the risks before recalibration, on the candidate's own rows."""
    import numpy as np

    from clinical_assets.statistics.calibration.logistic import logit  # loads numpy, which most changes never need

    if len(candidate.bundle.classes) > 2:
        return False  # divided by their sum after recalibration, which cannot be undone
    try:
        with candidate.warehouse.reader() as connection:
            rows = read_reference(connection, candidate.digest)
    except ReferenceMissing:
        return False
    raw = []
    for bundle in (candidate.bundle, champion):
        recalibration = bundle.description.recalibration
        served = logit(bundle.score(rows))
        raw.append((served - recalibration.intercepts[0]) / recalibration.slopes[0])
    return bool(np.abs(raw[0] - raw[1]).max() < _TOLERANCE * max(1.0, float(np.abs(raw[0]).max())))


def _bytes(bundle: Bundle, name: str) -> bytes:
    return (bundle.folder / name).read_bytes()


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(values: Any) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
