"""Does a feature know the outcome? What is looked for before any model is fitted, and refused.

Measured on training rows only: the holdout stays unseen. Six kinds are told apart:

``identifier``       a column that names a person or counts records
``known_too_late``   a column that is recorded with or after the outcome, by its role, its date or its day
``separation``       one column that ranks the classes better than the cohort's limit
``missingness``      a column that is missing exactly when the outcome has one value
``copy``             a column that determines the outcome, or several that do together (early and late dropout)
``one_sided``        a value that only one class has: a pathognomonic sign, or a copy of part of the outcome
``duplicate``        the same record, or the same subject, among training and holdout rows

A column that looks like a leak but is known in time is declared under ``modelling.known_before`` with its reason; then
it is a warning that carries the reason. Roles, identifiers and shared subjects cannot be declared away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.modelling import leak_sources
from clinical_assets.modelling.inputs import OUTCOME, FloatArray, IntArray, ModelInput, TrainingTable, model_input
from clinical_assets.modelling.separation import Levels, chance_of_pure_level, levels_of, separation
from clinical_assets.modelling.splits import Split, split_holdout

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec

Kind = Literal["identifier", "known_too_late", "separation", "missingness", "copy", "one_sided", "duplicate"]
Lineage = Mapping[str, Sequence[tuple[str, str]]]

# Below this many rows in a class a perfect separation happens by chance, and is only reported.
FEW = 10
# A pure value must be this unlikely by chance, over all values looked at.
CHANCE = 1e-3
LEAST_PURE = 8
FINAL_KINDS = ("identifier", "known_too_late", "duplicate")


@dataclass(frozen=True)
class Leak:
    """One suspicion.

    Attributes
    ----------
    column : str
        The feature, or several joined by commas where they leak together.
    kind : str
    evidence : str
        What was measured, with numbers and without identifiers.
    value : float or None
        The measure: AUROC, share or count.
    action : "refuse" or "warn"
    cure : str
    """

    column: str
    kind: Kind
    evidence: str
    value: float | None
    action: Literal["refuse", "warn"]
    cure: str


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
    origins = leak_sources.origins(train.feature_columns, spec, lineage)
    leaks = [
        *_from_sources(train, spec, origins, raw_frame),
        *_from_values(train, spec),
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
        f"cohort {cohort}: {names} know the outcome, so no model was fitted.\n{lines}",
        cure="Give such columns the role `outcome` (or leave them out of the feature model). A column that is truly known "
        "when the prediction is made goes under `modelling.known_before` with the reason.",
        leaks=refused,
    )


def _excused(leak: Leak, declared: Mapping[str, str]) -> Leak:
    reasons = [declared.get(name) for name in leak.column.split(", ")]
    if leak.kind in FINAL_KINDS or not all(reasons):
        return leak
    told = "; ".join(str(reason) for reason in dict.fromkeys(reasons))
    return replace(leak, action="warn", evidence=f"{leak.evidence} Declared as known before: {told}")


def _from_sources(
    train: ModelInput, spec: CohortSpec, origins: Lineage, raw_frame: pl.DataFrame | None
) -> list[Leak]:
    found: list[Leak] = []
    for suspicion in leak_sources.suspicions(train, spec, origins, raw_frame):
        found.append(Leak(**suspicion))
    return found


def _from_values(train: ModelInput, spec: CohortSpec) -> list[Leak]:
    k, limit = len(train.classes), spec.modelling.separation_limit
    smallest = int(np.bincount(train.y, minlength=k).min())
    targets = leak_sources.names_of_the_outcome(spec)
    found: list[Leak] = []
    pure: dict[str, _Pure] = {}
    all_levels = [levels_of(column, train.y, n_classes=k) for column in train.X.T]
    looked_at = sum(levels.values.size for levels in all_levels if levels is not None)
    for name, x, levels in zip(train.feature_columns, train.X.T, all_levels, strict=True):
        by_value = _separated(name, x, train, limit, smallest)
        by_absence = _absent(name, x, train, limit, smallest)
        copied = _copied(name, levels, train, limit, smallest) if not (by_value or by_absence) else []
        found += [*by_value, *by_absence, *copied]
        if by_value or by_absence or copied or levels is None:
            continue
        mark = _pure_rows(levels, train.y, k=k, chance=CHANCE / max(looked_at, 1))
        if mark is not None:
            pure[name] = mark
    together = _partition(pure, train.y)
    for name, mark in pure.items():
        found.append(_one_sided(name, mark, train, together=together, targets=targets))
    named = {leak.column for leak in found}
    found += [
        Leak(
            name,
            "known_too_late",
            f"it is named after the outcome ({target}).",
            None,
            "warn",
            "Make sure that it is recorded before the prediction is made; if not, give it the role `outcome`.",
        )
        for name in train.feature_columns
        if name not in named and (target := leak_sources.named_after(name, targets)) is not None
    ]
    return found


def _separated(name: str, x: FloatArray, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    found = separation(x, train.y, n_classes=len(train.classes))
    if found is None or found.auroc < limit:
        return []
    few = min(found.events, found.n - found.events) < FEW
    return [
        Leak(
            name,
            "separation",
            f"alone it ranks class {train.classes[found.label]!r} against the rest with AUROC {found.auroc:.3f} among "
            f"{found.n} training rows ({found.events} of that class); the limit is {limit:g}."
            + (f" With fewer than {FEW} rows on one side this can be chance." if few else ""),
            found.auroc,
            "warn" if few or smallest < FEW else "refuse",
            "Find out when it is recorded; if with or after the outcome, give it the role `outcome`.",
        )
    ]


def _absent(name: str, x: FloatArray, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    missing = np.isnan(x)
    if not missing.any() or missing.all():
        return []
    found = separation(missing.astype(np.float64), train.y, n_classes=len(train.classes))
    if found is None or found.auroc < limit:
        return []
    own = train.y == found.label
    return [
        Leak(
            name,
            "missingness",
            f"it is missing in {missing[own].mean():.1%} of class {train.classes[found.label]!r} and in "
            f"{missing[~own].mean():.1%} of the others: whether it is filled in tells the outcome (AUROC "
            f"{found.auroc:.3f} of the missing flag, {found.n} training rows, limit {limit:g}).",
            found.auroc,
            "warn" if smallest < FEW else "refuse",
            "It is filled in because of the outcome: give it the role `outcome`.",
        )
    ]


def _copied(name: str, levels: Levels | None, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    if levels is None or levels.values.size < 2:
        return []
    commonest = np.bincount(train.y).max() / train.n
    # A column with a level per few rows agrees by construction; the levels must be fewer than the rows they explain.
    if levels.agreement < max(limit, (1 + commonest) / 2) or np.unique(levels.counts.argmax(axis=1)).size < np.unique(
        train.y
    ).size:
        return []
    return [
        Leak(
            name,
            "copy",
            f"its {levels.values.size} values give the class right in {levels.agreement:.1%} of {train.n} training rows.",
            levels.agreement,
            "warn" if smallest < FEW else "refuse",
            "It is the outcome under another name or code: give it the role `outcome`.",
        )
    ]


@dataclass(frozen=True)
class _Pure:
    """The rows whose value only one class has."""

    label: int
    rows: Any
    n: int
    share_of_class: float


def _pure_rows(levels: Levels, y: IntArray, *, k: int, chance: float) -> _Pure | None:
    sizes, per_class = levels.counts.sum(axis=1), np.bincount(y, minlength=k)
    best: _Pure | None = None
    for label in range(k):
        only = (levels.counts[:, label] == sizes) & (sizes >= LEAST_PURE)
        only &= np.array(
            [chance_of_pure_level(int(size), n=y.size, of_class=int(per_class[label])) < chance for size in sizes]
        )
        if only.any():
            rows = only[levels.of_row]
            mark = _Pure(label, rows, int(rows.sum()), float(rows.sum() / per_class[label]))
            if best is None or mark.share_of_class > best.share_of_class:
                best = mark
    return best


def _partition(pure: Mapping[str, _Pure], y: IntArray) -> dict[str, tuple[str, ...]]:
    """Columns that mark disjoint parts of one class which together are exactly that class, by column."""
    found: dict[str, tuple[str, ...]] = {}
    for label in {mark.label for mark in pure.values()}:
        covered, chosen = np.zeros(y.size, dtype=bool), []
        ranked = sorted(
            (item for item in pure.items() if item[1].label == label), key=lambda item: (-item[1].n, item[0])
        )
        for name, mark in ranked:
            if not (covered & mark.rows).any():
                covered |= mark.rows
                chosen.append(name)
        if len(chosen) > 1 and covered.sum() == (y == label).sum():
            found |= {name: tuple(chosen) for name in chosen}
    return found


def _one_sided(
    name: str, mark: _Pure, train: ModelInput, *, together: Mapping[str, tuple[str, ...]], targets: Sequence[str]
) -> Leak:
    label = train.classes[mark.label]
    evidence = (
        f"{mark.n} training rows carry a value that only class {label!r} has, {mark.share_of_class:.1%} of that class."
    )
    cure = "Make sure that it is recorded before the prediction is made; if not, give it the role `outcome`."
    target = leak_sources.named_after(name, targets)
    if name in together:
        others = ", ".join(other for other in together[name] if other != name)
        return Leak(
            name,
            "copy",
            f"{evidence} Together with {others} it marks every row of class {label!r}, each once: they are its parts.",
            mark.share_of_class,
            "refuse",
            "They are made from the outcome: give them the role `outcome`.",
        )
    if target is not None:
        return Leak(
            name,
            "copy",
            f"{evidence} It is named after the outcome ({target}).",
            mark.share_of_class,
            "refuse",
            "It is made from the outcome: give it the role `outcome`.",
        )
    return Leak(name, "one_sided", evidence, mark.share_of_class, "warn", cure)


def _shared_records(data: ModelInput, split: Split, subject: str) -> list[Leak]:
    import polars as pl

    in_train = pl.Series("in_train", split.train)
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
    records = data.frame.select(columns).with_columns(in_train)
    both = records.group_by(columns).agg(pl.col("in_train").any().alias("train"), (~pl.col("in_train")).sum().alias("out"))
    held = both.filter(pl.col("train") & (pl.col("out") > 0))["out"].sum()
    if not held:
        return []
    return [
        Leak(
            ", ".join(columns) if len(columns) <= 4 else f"all {len(columns) - 1} features and the outcome",
            "duplicate",
            f"{held} of {int(split.holdout.sum())} holdout rows equal a training row of another subject in every feature and "
            "the outcome.",
            float(held),
            "warn",
            "Check whether one patient was entered under two identifiers; among few coarse features it can be chance.",
        )
    ]
