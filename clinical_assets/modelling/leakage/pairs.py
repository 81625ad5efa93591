"""Two columns that know the outcome together although neither does alone: comparisons and differences.

What belongs here: the search over pairs of columns of like unit or type. What does not: interactions that no comparison
shows (``joint``), and columns that know it alone (``values``).

The outcome "left the study" is ``last_contact_day < observed_days``: each of the two days says little, their order says
all. For every pair (a, b) of one class of unit three measures are looked at: a - b, |a - b| (equality and exclusive or)
and the sign of a - b. A screen on at most ``SCREENED`` rows per class finds those near the limit; only these are
measured on all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.leakage.separation import Separation, separation, surely_above
from clinical_assets.modelling.table.inputs import ModelInput

SCREENED = 500
# AUROCs of a screen of so many rows scatter by less than this around those of all rows, near the limit.
SCREEN_MARGIN = 0.03
# What is joint must leave at most this share of the discordant pairs that the better column leaves alone: a difference
# of two strong measurements is a little stronger than either; a leak is far stronger.
LEFT_BY_A_LEAK = 1 / 3
FEWEST = 10

_MEASURES: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "the difference {a} - {b}": lambda difference: difference,
    "the distance between {a} and {b}": np.abs,
    "the comparison of {a} with {b}": np.sign,
}


@dataclass(frozen=True)
class PairSeparation:
    """A pair of columns, the measure that ranks the classes best, and how well.

    Attributes
    ----------
    first, second : str
        Columns.
    measure : str
        In words, such as ``the difference a - b``.
    found : Separation
        Of the measure, on all rows where both are known.
    alone : float
        AUROC of the better column alone, in [.5, 1].
    sure : bool
        Whether the lower end of the 95 % interval lies above the limit, too.
    """

    first: str
    second: str
    measure: str
    found: Separation
    alone: float
    sure: bool


def separating_pairs(
    train: ModelInput, spec: CohortSpec, units: Mapping[str, str | None], *, without: Sequence[str] = ()
) -> list[PairSeparation]:
    """Pairs whose comparison or difference ranks the classes better than the limit, and far better than either alone.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    spec : CohortSpec
        ``modelling.separation_limit``.
    units : mapping
        Unit of each feature, or None where it is not known; pairs of two different known units are left out.
    without : sequence of str
        Columns that leak alone already.

    Returns
    -------
    list of PairSeparation
        The strongest first; each class has at least 10 rows where both are known.
    """
    k, limit = len(train.classes), spec.modelling.separation_limit
    chosen = _screened_rows(train.y, k)
    alone = {
        name: 0.5 if (one := separation(x, train.y, n_classes=k)) is None else one.auroc
        for name, x in zip(train.feature_columns, train.X.T, strict=True)
    }
    found = []
    for i, j in _like_pairs(train, units, without):
        a, b = train.feature_columns[i], train.feature_columns[j]
        screen = _screen(train.X[chosen, i] - train.X[chosen, j], train.y[chosen], k)
        if screen <= limit - SCREEN_MARGIN:
            continue
        best = _measured(train.X[:, i] - train.X[:, j], train.y, k, limit)
        if best is None:
            continue
        words, at_best, sure = best
        better = max(alone[a], alone[b])
        if 1 - at_best.auroc <= LEFT_BY_A_LEAK * (1 - better):
            found.append(PairSeparation(a, b, words.format(a=a, b=b), at_best, better, sure))
    return sorted(found, key=lambda pair: -pair.found.auroc)


def _like_pairs(
    train: ModelInput, units: Mapping[str, str | None], without: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Positions of pairs that can be compared: of one unit or of an unknown one, and of ranges that overlap."""
    usable = []
    for place, (name, x) in enumerate(zip(train.feature_columns, train.X.T, strict=True)):
        known = x[~np.isnan(x)]
        if name not in without and known.size and known.min() < known.max():
            usable.append((place, units.get(name), known.min(), known.max()))
    for position, (i, unit, low, high) in enumerate(usable):
        for j, other, other_low, other_high in usable[position + 1 :]:
            if (unit is None or other is None or unit == other) and low <= other_high and other_low <= high:
                yield i, j


def _screened_rows(y: IntArray, k: int) -> IntArray:
    """At most `SCREENED` rows of each class, drawn once: the AUROC does not depend on how many of a class there are."""
    draw = np.random.default_rng(0)
    rows = [np.flatnonzero(y == label) for label in range(k)]
    return np.sort(np.concatenate([own if own.size <= SCREENED else draw.choice(own, SCREENED, False) for own in rows]))


def _screen(difference: FloatArray, y: IntArray, k: int) -> float:
    """Best AUROC of the three measures on some rows."""
    from scipy.stats import rankdata

    known = ~np.isnan(difference)
    difference, y = difference[known], y[known]
    best = 0.5
    for label in range(1, k) if k == 2 else range(k):
        own = y == label
        events = int(own.sum())
        pairs = events * (own.size - events)
        if pairs == 0:
            continue
        for measure in _MEASURES.values():
            area = (rankdata(measure(difference))[own].sum() - events * (events + 1) / 2) / pairs
            best = max(best, area, 1 - area)
    return best


def _measured(difference: FloatArray, y: IntArray, k: int, limit: float) -> tuple[str, Separation, bool] | None:
    """The best measure on all rows, if it lies above the limit, and whether it surely does."""
    best: tuple[str, Separation, bool] | None = None
    for words, measure in _MEASURES.items():
        values = measure(difference)
        one = separation(values, y, n_classes=k)
        if one is None or min(one.events, one.n - one.events) < FEWEST or one.auroc <= limit:
            continue
        if best is None or one.auroc > best[1].auroc:
            best = words, one, surely_above(limit, values, y, one)
    return best
