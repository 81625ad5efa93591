"""Leaks that show in the training rows themselves: columns that tell the outcome, by value or by absence.

What belongs here: turning measures of ``separation`` into suspicions. What does not: what the description says about a
column (``sources``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.leakage.separation import (
    Levels,
    Separation,
    chance_of_pure_level,
    levels_of,
    separation,
    surely_above,
)
from clinical_assets.modelling.leakage.sources import named_after, names_of_the_outcome
from clinical_assets.modelling.table.inputs import ModelInput

# Below this many rows in a class a perfect separation happens by chance, and is only reported.
FEW = 10
# A pure value must be this unlikely by chance, over all values looked at.
CHANCE = 1e-3
LEAST_PURE = 8


def value_leaks(train: ModelInput, spec: CohortSpec) -> list[Leak]:
    """Leaks that the values of single columns, or of several together, give away."""
    k, limit = len(train.classes), spec.modelling.separation_limit
    smallest = int(np.bincount(train.y, minlength=k).min())
    targets = names_of_the_outcome(spec)
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
    named = {leak.column for leak in found if leak.action == "refuse"}
    found += [
        Leak(
            name,
            "named_after_outcome",
            f"it is named after the outcome ({target}).",
            None,
            "ask",
            "If it is recorded with or after the outcome, give it the role `outcome`; if before the prediction is "
            "made, say so under `modelling.known_before` with the reason.",
        )
        for name in train.feature_columns
        if name not in named and (target := named_after(name, targets)) is not None
    ]
    return found


def _separated(name: str, x: FloatArray, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    found = separation(x, train.y, n_classes=len(train.classes))
    if found is None or found.auroc <= limit:
        return []
    doubt = _doubt(x, train, found, limit, smallest)
    return [
        Leak(
            name,
            "separation",
            f"alone it ranks class {train.classes[found.label]!r} against the rest with AUROC {found.auroc:.3f} among "
            f"{found.n} training rows ({found.events} of that class); the limit is {limit:g}.{doubt}",
            found.auroc,
            "warn" if doubt else "refuse",
            "Find out when it is recorded; if with or after the outcome, give it the role `outcome`.",
        )
    ]


def _absent(name: str, x: FloatArray, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    missing = np.isnan(x)
    if not missing.any() or missing.all():
        return []
    flag = missing.astype(np.float64)
    found = separation(flag, train.y, n_classes=len(train.classes))
    if found is None or found.auroc <= limit:
        return []
    own = train.y == found.label
    doubt = _doubt(flag, train, found, limit, smallest)
    return [
        Leak(
            name,
            "missingness",
            f"it is missing in {missing[own].mean():.1%} of class {train.classes[found.label]!r} and in "
            f"{missing[~own].mean():.1%} of the others: whether it is filled in tells the outcome (AUROC "
            f"{found.auroc:.3f} of the missing flag, {found.n} training rows, limit {limit:g}).{doubt}",
            found.auroc,
            "warn" if doubt else "refuse",
            "It is filled in because of the outcome: give it the role `outcome`.",
        )
    ]


def _doubt(x: FloatArray, train: ModelInput, found: Separation, limit: float, smallest: int) -> str:
    """Why a separation above the limit may be no leak, or nothing."""
    if min(found.events, found.n - found.events, smallest) < FEW:
        return f" With fewer than {FEW} rows on one side this can be chance."
    if not surely_above(limit, x, train.y, found):
        return " Its 95 % interval includes the limit: it may be a strong measurement."
    return ""


def _copied(name: str, levels: Levels | None, train: ModelInput, limit: float, smallest: int) -> list[Leak]:
    if levels is None or levels.values.size < 2:
        return []
    # Guessing the commonest class is right this often; a copy must halve what is left, and name every class somewhere.
    by_guessing = np.bincount(train.y).max() / train.n
    named = np.unique(levels.counts.argmax(axis=1)).size
    if levels.agreement <= max(limit, (1 + by_guessing) / 2) or named < np.unique(train.y).size:
        return []
    return [
        Leak(
            name,
            "copy",
            f"its {levels.values.size} values tell the class in {levels.agreement:.1%} of {train.n} training rows.",
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
    target = named_after(name, targets)
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
