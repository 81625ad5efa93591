"""Does a feature know the outcome? What is looked for before any model is fitted, and refused.

Measured on training rows only: the holdout stays unseen. These kinds are told apart:

``identifier``           a column that names a person or counts records
``known_too_late``       a column made of the target, or of one with role ``outcome``
``after_prediction``     a date or day that lies after the moment of prediction
``separation``           one column that ranks the classes better than the cohort's limit
``missingness``          a column that is missing exactly when the outcome has one value
``copy``                 a column that determines the outcome, or several that do together (early and late dropout)
``one_sided``            a value that only one class has: a pathognomonic sign, or a copy of part of the outcome
``named_after_outcome``  a column that only its name makes suspicious
``duplicate``            the same record, or the same subject, among training and holdout rows

A column that looks like a leak but is known in time is declared under ``modelling.known_before`` with its reason; then
it is a warning that carries the reason. Roles, identifiers and shared subjects cannot be declared away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling.inputs import OUTCOME, ModelInput, TrainingTable, model_input
from clinical_assets.modelling.leak_sources import origins, source_leaks
from clinical_assets.modelling.leak_values import value_leaks
from clinical_assets.modelling.leaks import Leak
from clinical_assets.modelling.splits import Split, split_holdout

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec

Lineage = Mapping[str, Sequence[tuple[str, str]]]

# What no declaration excuses.
FINAL_KINDS = ("identifier", "known_too_late", "duplicate")


class LeakageFound(ClinicalAssetsError):
    """Features that know the outcome; ``leaks`` holds all that were refused."""

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
    lineage: Lineage | None = None,
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
        split = split_holdout(data.frame, subject=table.subject, share=spec.modelling.holdout_share)
    train = data.rows(split.train)
    leaks = [
        *source_leaks(train, spec, origins(train.feature_columns, spec, lineage), raw_frame),
        *value_leaks(train, spec),
        *_shared_records(data, split, table.subject),
    ]
    declared = spec.modelling.known_before
    leaks = [_excused(leak, declared) for leak in leaks]
    return tuple(sorted(leaks, key=lambda leak: leak.action != "refuse"))


def refuse_leaks(leaks: Iterable[Leak], *, cohort: str) -> None:
    """Raise LeakageFound when a leak is to be refused; the message names each column, its evidence and the cure."""
    refused = tuple(leak for leak in leaks if leak.action == "refuse")
    if not refused:
        return
    lines = "\n".join(f"  - {leak.column} ({leak.kind}): {leak.evidence} {leak.cure}" for leak in refused)
    names = ", ".join(dict.fromkeys(leak.column for leak in refused))
    raise LeakageFound(
        f"cohort {cohort}: {names} would leak into the model, so none was fitted.\n{lines}",
        cure="Give such columns the role `outcome` (or leave them out of the feature model). A column that is truly "
        "known when the prediction is made goes under `modelling.known_before` with the reason.",
        leaks=refused,
    )


def _excused(leak: Leak, declared: Mapping[str, str]) -> Leak:
    reasons = [declared.get(name) for name in leak.column.split(", ")]
    if leak.kind in FINAL_KINDS or not all(reasons):
        return leak
    told = "; ".join(str(reason) for reason in dict.fromkeys(reasons))
    return replace(leak, action="warn", evidence=f"{leak.evidence} Declared as known before: {told}")


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
