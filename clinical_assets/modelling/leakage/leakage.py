"""Does a feature know the outcome? What is looked for before any model is fitted, and refused.

Measured on training rows only: the holdout stays unseen. These kinds are told apart:

``identifier``           a column that names a person or counts records
``known_too_late``       a column made of the target, or of one with role ``outcome``
``after_prediction``     a date or day that lies after the moment of prediction
``separation``           one column that ranks the classes better than the cohort's limit
``pair``                 two columns of like unit whose difference or comparison does (``pairs``)
``joint``                a shallow tree, or a candidate's own nested scores, that do because of a few columns
``missingness``          a column that is missing exactly when the outcome has one value
``copy``                 a column that determines the outcome, or several that do together (early and late dropout)
``one_sided``            a value that only one class has: a pathognomonic sign, or a copy of part of the outcome
``named_after_outcome``  a column that only its name makes suspicious: a person must answer before a release
``duplicate``            the same record, or the same subject, among training and holdout rows
``grouping``             a column that says which records resemble each other, although none is declared (``alike``)

A column that looks like a leak but is known in time is declared under ``modelling.known_before`` with its reason; then
it is a warning that carries the reason. Roles, identifiers and shared subjects cannot be declared away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.leakage.joint import JointSeparation, Scorer, joint_separation, tree_separation
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.leakage.pairs import PairSeparation, separating_pairs
from clinical_assets.modelling.leakage.sources import FeatureSources, origins, source_leaks, units_of
from clinical_assets.modelling.leakage.values import value_leaks
from clinical_assets.modelling.table.inputs import OUTCOME, ModelInput, TrainingTable, model_input
from clinical_assets.modelling.table.splits import Split, split_holdout

if TYPE_CHECKING:
    import polars as pl


_WHEN = (
    "Find out when they are recorded: one of them is known with or after the outcome, and belongs under the role "
    "`outcome`."
)
_UNSURE = " Its 95 % interval includes the limit."
# More pairs than this are shown to nobody: a leaking column pairs with every copy of its fellow.
MOST_PAIRS = 5
_ALONE = ("separation", "missingness", "copy", "known_too_late", "identifier")
# What no declaration excuses.
FINAL_KINDS = ("identifier", "known_too_late", "duplicate")


class LeakageFound(ClinicalAssetsError):
    """Features that know the outcome; ``leaks`` holds all that were refused, and those that ask for an answer."""

    def __init__(self, message: str, *, cure: str | None = None, leaks: tuple[Leak, ...] = ()) -> None:
        super().__init__(message, cure=cure)
        self.leaks = leaks

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.message, self.cure, self.leaks))


def _rebuild(message: str, cure: str | None, leaks: tuple[Leak, ...]) -> LeakageFound:
    return LeakageFound(message, cure=cure, leaks=leaks)


def find_leaks(
    table: TrainingTable,
    spec: CohortSpec,
    *,
    raw_frame: pl.DataFrame | None = None,
    lineage: FeatureSources | None = None,
    split: Split | None = None,
) -> tuple[Leak, ...]:
    """Look for leaks in every feature.

    Parameters
    ----------
    table : TrainingTable
        All rows.
    spec : CohortSpec
        Roles, moment of prediction, separation limit and what is declared as known before.
    raw_frame : polars.DataFrame, optional
        The validated subject table: dates in it are compared with the moment of prediction.
    lineage : mapping of feature to (table, column) pairs, optional
        What each feature is made of. Without it a feature is traced by name: its own, or ``<column>_is_<category>``.
    split : Split, optional
        Of the table's rows sorted by key, if another than the cohort's own.

    Returns
    -------
    tuple of Leak
        Refused ones first. One column can appear under several kinds.
    """
    data = model_input(table, spec)
    if split is None:
        share = spec.modelling.holdout_share
        split = split_holdout(data.frame, subject=table.subject, share=share, together=data.groups)
    train = data.rows(split.train)
    made_of = origins(train.feature_columns, spec, lineage)
    leaks = [
        *source_leaks(train, spec, made_of, raw_frame),
        *value_leaks(train, spec),
        *_shared_records(data, split, table.subject),
    ]
    leaks += _together(train, spec, units_of(made_of, spec), found=leaks)
    return _in_order(_excused(leak, spec.modelling.known_before) for leak in leaks)


def find_model_leaks(
    train: ModelInput, spec: CohortSpec, name: str, risk: FloatArray, score: Scorer, *, found: Sequence[Leak] = ()
) -> tuple[Leak, ...]:
    """Look for a leak in a candidate's own out-of-fold risks.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    spec : CohortSpec
        Separation limit and what is declared as known before.
    name : str
        The candidate.
    risk : array of shape (n,) or (n, k)
        Its nested out-of-fold risks.
    score : callable
        Gives such risks with fewer columns; only called when the risks lie above the limit.
    found : sequence of Leak
        Found before any fit: a candidate that owes its separation to these columns says nothing new.

    Returns
    -------
    tuple of Leak
        At most one, which names the columns to which the candidate owes its separation.
    """
    joint = joint_separation(train, risk, score, limit=spec.modelling.separation_limit)
    known = {column for leak in found for column in leak.column.split(", ")}
    if joint is None or set(joint.columns) <= known:
        return ()
    leaks = [_joint(joint, f"the candidate {name} (nested cross-validation)", train, spec)]
    return _in_order(_excused(leak, spec.modelling.known_before) for leak in leaks)


def refuse_leaks(leaks: Iterable[Leak], *, cohort: str) -> None:
    """Raise LeakageFound when a leak is to be refused.

    The message names each column with its evidence and cure, and those that a person must answer beside them: all at
    once, so that nobody has to come back for the next.
    """
    leaks = tuple(leaks)
    refused = tuple(leak for leak in leaks if leak.action == "refuse")
    if not refused:
        return
    asked = tuple(leak for leak in leaks if leak.action == "ask")
    lines = "\n".join(f"  - {leak.column} ({leak.kind}): {leak.evidence} {leak.cure}" for leak in (*refused, *asked))
    names = ", ".join(dict.fromkeys(leak.column for leak in refused))
    beside = f" To be answered as well: {', '.join(leak.column for leak in asked)}." if asked else ""
    raise LeakageFound(
        f"cohort {cohort}: {names} would leak into the model, so none was kept.{beside}\n{lines}",
        cure="Give such columns the role `outcome` (or leave them out of the feature model). A column that is truly "
        "known when the prediction is made goes under `modelling.known_before` with the reason.",
        leaks=refused + asked,
    )


def _excused(leak: Leak, declared: Mapping[str, str]) -> Leak:
    reasons = [declared.get(name) for name in leak.column.split(", ")]
    if leak.kind in FINAL_KINDS or not all(reasons):
        return leak
    told = "; ".join(str(reason) for reason in dict.fromkeys(reasons))
    return replace(leak, action="warn", evidence=f"{leak.evidence} Declared as known before: {told}")


def _in_order(leaks: Iterable[Leak]) -> tuple[Leak, ...]:
    order = {"refuse": 0, "ask": 1, "warn": 2}
    return tuple(sorted(leaks, key=lambda leak: order[leak.action]))


def _together(
    train: ModelInput, spec: CohortSpec, units: Mapping[str, str | None], *, found: Sequence[Leak]
) -> list[Leak]:
    """Leaks of several columns, beside those of single ones that were found."""
    alone = {name for leak in found if leak.kind in _ALONE for name in leak.column.split(", ")}
    # Two counts of words compare nothing, and some hundred words are tens of thousands of pairs.
    pairs = separating_pairs(train, spec, units, without=(*alone, *spec.modelling.word_features))
    leaks = [_pair(pair, train, spec) for pair in pairs[:MOST_PAIRS]]
    rest = train.without(alone | {name for pair in pairs for name in (pair.first, pair.second)})
    tree = tree_separation(rest, limit=spec.modelling.separation_limit)
    if tree is not None:
        leaks.append(_joint(tree, "a decision tree of depth 3 (cross-validated)", train, spec))
    return leaks


def _pair(pair: PairSeparation, train: ModelInput, spec: CohortSpec) -> Leak:
    found = pair.found
    return Leak(
        f"{pair.first}, {pair.second}",
        "pair",
        f"{pair.measure} ranks class {train.classes[found.label]!r} against the rest with AUROC {found.auroc:.3f} "
        f"among {found.n} training rows ({found.events} of that class); alone the better of them reaches "
        f"{pair.alone:.3f}, the limit is {spec.modelling.separation_limit:g}.{'' if pair.sure else _UNSURE}",
        found.auroc,
        "refuse" if pair.sure else "ask",
        _WHEN,
    )


def _joint(joint: JointSeparation, what: str, train: ModelInput, spec: CohortSpec) -> Leak:
    found = joint.found
    return Leak(
        ", ".join(joint.columns),
        "joint",
        f"{what} ranks class {train.classes[found.label]!r} against the rest with AUROC {found.auroc:.3f} among "
        f"{found.n} training rows ({found.events} of that class), limit {spec.modelling.separation_limit:g}; without "
        f"{' and '.join(joint.columns)} it reaches {joint.without:.3f}, and no column alone more than "
        f"{joint.alone:.3f}.{'' if joint.sure else _UNSURE}",
        found.auroc,
        "refuse" if joint.sure else "ask",
        _WHEN,
    )


def _shared_records(data: ModelInput, split: Split, subject: str) -> list[Leak]:
    shared = np.intersect1d(data.groups[split.train], data.groups[split.holdout]).size
    if shared:
        return [
            Leak(
                subject,
                "duplicate",
                f"{shared} subjects have rows in training and in the holdout.",
                float(shared),
                "refuse",
                "Split by subject: the holdout must hold all rows of a subject or none.",
            )
        ]
    columns = [*data.feature_columns, OUTCOME]
    records = data.frame.select(columns)
    trained = records.filter(split.train)
    held = records.filter(split.holdout).join(trained.unique(), on=columns, how="semi", nulls_equal=True).height
    if not held:
        return []
    repeated = int(trained.is_duplicated().sum()) / max(trained.height, 1)
    return [
        Leak(
            "all features",
            "duplicate",
            f"{held} of {int(split.holdout.sum())} holdout rows equal a training row of another subject in every "
            f"feature and the outcome; among the training rows themselves {repeated:.1%} are repeated.",
            float(held),
            "warn",
            "Check whether one patient was entered under two identifiers; with few coarse features it is chance.",
        )
    ]
