"""Does a column that nobody declared say which records resemble each other (paper, family, practice)?

Random folds put such records on both sides, and the model looks better than it will be on new papers. A column of the
subject table is suspected where the outcome differs between its levels more than a hundred and ninety-nine shuffles of
the outcome make it differ; then the same model is judged once in random folds and once in folds that keep the levels
whole. What belongs here: suspecting, measuring the gap, saying so. What does not: keeping records together
(``table.together``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.leakage.leak import Leak
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.modelling.table.together import joined, neighbours
from clinical_assets.statistics.discrimination.discrimination import auroc_statistic
from clinical_assets.statistics.uncertainty.bootstrap import bootstrap_distribution, percentile_interval

if TYPE_CHECKING:
    import polars as pl

#: Levels and rows of several per level that a column needs before it is looked at.
FEWEST_LEVELS, FEWEST_SHARED = 5, 0.5
SHUFFLES = 199
#: Columns that are measured at most, those first by whose levels the outcome differs most.
MOST = 3
RESAMPLES = 200
# A feature is open to the model, and new records have its values; what is known too late belongs to other searches.
_NEVER = {"feature", "target", "outcome", "weight", "note", "date", "group"}
_CURE = (
    "Give it the role `group`, so that its records stay together, name it under `split_by`, or say under "
    "`modelling.known_before` why new records come from the same ones."
)


def undeclared_groups(
    train: ModelInput,
    spec: CohortSpec,
    subjects: pl.DataFrame,
    score: Callable[[ModelInput], FloatArray],
) -> tuple[Leak, ...]:
    """Columns by whose levels the outcome differs, with the gap between random folds and folds of whole levels.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    spec : CohortSpec
        One with a column of role ``group`` or with ``split_by`` has answered.
    subjects : polars.DataFrame
        The validated subject table.
    score : callable
        Out-of-fold risks of one model with one setting, in folds that keep the groups of its rows whole; called
        once and once for each suspected column.

    Returns
    -------
    tuple of Leak
        At most `MOST`, of kind ``grouping``: to be answered where the interval of the gap lies above 0, else warnings.
    """
    if spec.group is not None or spec.modelling.split_by is not None:
        return ()
    event = (train.y >= spec.target.action_from).astype(np.float64)
    found = [
        (ratio, name, codes)
        for name, codes in _columns(train, spec, subjects)
        if (ratio := _beyond_chance(event, codes, spec.modelling.search.seed)) is not None
    ]
    if not found:
        return ()
    suspected = sorted(found, key=lambda one: -one[0])[:MOST]
    try:
        random = score(train)
    except InsufficientData as error:
        return tuple(_unmeasured(name, codes, error) for _, name, codes in suspected)
    return tuple(_leak(name, codes, train, event.astype(np.int64), random, score, spec) for _, name, codes in suspected)


def _leak(
    name: str,
    codes: IntArray,
    train: ModelInput,
    event: IntArray,
    random: FloatArray,
    score: Callable[[ModelInput], FloatArray],
    spec: CohortSpec,
) -> Leak:
    try:
        whole = score(replace(train, groups=joined(train.groups, neighbours(codes))))
    except InsufficientData as error:
        return _unmeasured(name, codes, error)
    gap, low, high, apart, together = _gap(event, random, whole, codes, spec)
    evidence = (
        f"{_told(name, codes)}. With records of one level on one side, the AUROC of the same model is {together:.3f}; "
        f"in random folds it is {apart:.3f} (gap {gap:.3f}, {low:.3f} to {high:.3f}, n = {train.n})."
    )
    return Leak(name, "grouping", evidence, gap, "ask" if low > 0 else "warn", _CURE)


def _told(name: str, codes: IntArray) -> str:
    levels = np.unique(codes).size
    return f"the outcome differs between the {levels} levels of {name} more than chance makes it differ"


def _unmeasured(name: str, codes: IntArray, error: InsufficientData) -> Leak:
    evidence = f"{_told(name, codes)}; the gap cannot be measured: {error.message}"
    return Leak(name, "grouping", evidence, None, "ask", _CURE)


def _columns(train: ModelInput, spec: CohortSpec, subjects: pl.DataFrame) -> Iterator[tuple[str, IntArray]]:
    """Columns whose levels hold several rows each, as codes (n,) of the training rows; a missing value is one alone."""
    import polars as pl

    key = list(spec.key)
    own = {spec.subject, *key, *spec.modelling.known_before}
    names: Sequence[str] = [
        name
        for name, column in spec.subjects.columns.items()
        if name not in own and name in subjects.columns and column.type in ("string", "integer")
        if not _NEVER & set(column.role)
    ]
    if not names:
        return
    rows = train.frame.select(key).join(
        subjects.select(*key, *names), on=key, how="left", nulls_equal=True, maintain_order="left"
    )
    for name in names:
        labels = rows[name].cast(pl.String)
        codes = labels.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        alone = codes == 0
        codes[alone] = -np.arange(1, int(alone.sum()) + 1)
        counts = np.unique(codes, return_counts=True)[1]
        if counts.size >= FEWEST_LEVELS and counts[counts > 1].sum() >= FEWEST_SHARED * train.n:
            yield name, np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _beyond_chance(event: FloatArray, codes: IntArray, seed: int) -> float | None:
    """Sum of squares between levels over its mean among shuffles; None where a shuffle reaches it."""
    counts = np.bincount(codes)

    def between(values: FloatArray) -> float:
        return float((np.bincount(codes, weights=values) ** 2 / counts).sum() - values.sum() ** 2 / values.size)

    rng, seen = np.random.default_rng(seed), between(event)
    shuffled = np.array([between(rng.permutation(event)) for _ in range(SHUFFLES)])
    return None if shuffled.max() >= seen else seen / float(shuffled.mean())


def _gap(
    event: IntArray, random: FloatArray, grouped: FloatArray, codes: IntArray, spec: CohortSpec
) -> tuple[float, float, float, float, float]:
    """AUROC in random folds minus that in grouped ones, its interval from resampling levels, and both."""
    measures = [auroc_statistic(event, action_risk(p, action_from=spec.target.action_from)) for p in (random, grouped)]
    once = np.ones((1, event.size))
    one, other = (float(np.asarray(measure(once))[0]) for measure in measures)
    drawn = bootstrap_distribution(
        lambda w: np.asarray(measures[0](w) - measures[1](w)),
        event.size,
        n_resamples=RESAMPLES,
        seed=spec.modelling.search.seed,
        groups=codes,
    )
    low, high = percentile_interval(drawn)
    return one - other, float(low), float(high), one, other
