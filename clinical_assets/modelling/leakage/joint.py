"""Models that separate the classes too well, and the few columns to which they owe it.

What belongs here: holding out-of-fold scores of a model against the separation limit and naming culprits by leaving
columns out. What does not: what single columns or comparisons of two say (``values``, ``pairs``), and how a model is
fitted: a scorer is handed in.

A model above the limit is no leak by itself: thirty strong measurements of a tumour separate benign from malignant
honestly, and leaving out any of them changes nothing. A leak hangs on one to three columns: without them the model
falls back to what the others know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.leakage.pairs import LEFT_BY_A_LEAK
from clinical_assets.modelling.leakage.separation import Separation, separation, surely_above
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.splits import outer_folds

Scorer = Callable[[ModelInput], FloatArray]
"""Out-of-fold risks (n,) or (n, k) of rows, each from a model that has not seen it."""

FOLDS = 5
TREE_DEPTH = 3
FEWEST = 10
# A culprit's absence must cost at least this much AUROC, and bring the model below the limit.
FALL = 0.05
MOST_CULPRITS = 3
LOOKED_AT = 8


@dataclass(frozen=True)
class JointSeparation:
    """A model above the limit and the columns to which it owes that.

    Attributes
    ----------
    columns : tuple of str
        Culprits, one to three.
    found : Separation
        Of the model's out-of-fold risk.
    without : float
        AUROC of the same procedure without them.
    alone : float
        AUROC of the best single column of the table.
    sure : bool
        Whether the lower end of the model's 95 % interval lies above the limit, too.
    """

    columns: tuple[str, ...]
    found: Separation
    without: float
    alone: float
    sure: bool


def joint_separation(train: ModelInput, risk: FloatArray, score: Scorer, *, limit: float) -> JointSeparation | None:
    """Whether out-of-fold risks rank the classes better than the limit because of a few columns, and which.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    risk : array of shape (n,) or (n, k)
        Out-of-fold risks of all columns.
    score : callable
        The same procedure for fewer columns; called at most 2 * `LOOKED_AT` + 2 times, and not at all below the limit.
    limit : float
        Largest AUROC that is taken for honest.

    Returns
    -------
    JointSeparation or None
        None below the limit, with fewer than 10 rows in a class, where a single column is nearly as strong, or where
        no three columns explain it.
    """
    found = _separation_of(risk, train)
    if found is None or min(found.events, found.n - found.events) < FEWEST or found.auroc <= limit:
        return None
    sure = surely_above(limit, _of_label(risk, found.label), train.y, found)
    k = len(train.classes)
    singles = [separation(x, train.y, n_classes=k) for x in train.X.T]
    alone = max((one.auroc for one in singles if one is not None), default=0.5)
    if 1 - found.auroc > LEFT_BY_A_LEAK * (1 - alone):
        return None

    def fall(columns: tuple[str, ...]) -> float:
        rest = train.without(columns)
        one = _separation_of(score(rest), rest) if rest.feature_columns else None
        return 0.5 if one is None else one.auroc

    enough = min(limit, found.auroc - FALL)
    ranked = _by_influence(train)
    by_itself = {name: fall((name,)) for name in ranked}
    culprits = tuple(name for name in sorted(by_itself, key=by_itself.__getitem__) if by_itself[name] < enough)
    culprits = culprits[:MOST_CULPRITS]
    if culprits:
        return JointSeparation(
            culprits, found, fall(culprits) if len(culprits) > 1 else by_itself[culprits[0]], alone, sure
        )
    # Copies of one leak stand in for each other: take them out together.
    for size in range(2, MOST_CULPRITS + 1):
        several = tuple(ranked[:size])
        if len(several) == size and (left := fall(several)) < enough:
            return JointSeparation(several, found, left, alone, sure)
    return None


def tree_scores(data: ModelInput) -> FloatArray:
    """Out-of-fold risks of a decision tree of depth 3: what interactions of up to three columns say.

    Raises
    ------
    InsufficientData
        The rows cannot be split into folds with every class.
    """
    from sklearn.tree import DecisionTreeClassifier

    folds = outer_folds(data.y, data.groups, n_splits=FOLDS, seed=0)
    k = len(data.classes)
    scores = np.zeros((data.n, k))
    for fit, test in folds:
        tree = DecisionTreeClassifier(max_depth=TREE_DEPTH, min_samples_leaf=5, random_state=0)
        tree.fit(data.X[fit], data.y[fit])
        scores[np.ix_(test, tree.classes_)] = tree.predict_proba(data.X[test])
    return scores[:, 1] if k == 2 else scores


def tree_separation(train: ModelInput, *, limit: float) -> JointSeparation | None:
    """As `joint_separation`, by a decision tree of depth 3; None where the rows do not suffice for folds."""
    if not train.feature_columns:
        return None
    try:
        risk = tree_scores(train)
    except InsufficientData:
        return None  # training says so itself, with what would help
    return joint_separation(train, risk, tree_scores, limit=limit)


def _by_influence(train: ModelInput) -> list[str]:
    """Columns by how much AUROC a forest of shallow trees loses when one is shuffled, the most first.

    Fitted on one half of the subjects and shuffled in the other.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    first, second = outer_folds(train.y, train.groups, n_splits=2, seed=0)[0]
    X = np.where(np.isnan(train.X), np.nanmedian(np.where(np.isnan(train.X).all(axis=0), 0, train.X), axis=0), train.X)
    grown = ExtraTreesClassifier(60, min_samples_leaf=5, max_features=None, random_state=0, n_jobs=1)
    grown.fit(X[first], train.y[first])
    draw = np.random.default_rng(0)
    held, y = X[second], train.y[second]
    whole = _mean_rank(grown.predict_proba(held), y)
    lost = []
    for column in range(held.shape[1]):
        shuffled = held.copy()
        shuffled[:, column] = draw.permutation(shuffled[:, column])
        lost.append(whole - _mean_rank(grown.predict_proba(shuffled), y))
    order = np.argsort(-np.asarray(lost), kind="stable")
    return [train.feature_columns[place] for place in order[:LOOKED_AT]]


def _mean_rank(p: FloatArray, y: IntArray) -> float:
    areas = [one.auroc for k in range(p.shape[1]) if (one := separation(p[:, k], (y == k).astype(int), n_classes=2))]
    return float(np.mean(areas))


def _separation_of(risk: FloatArray, data: ModelInput) -> Separation | None:
    if risk.ndim == 1:
        return separation(risk, data.y, n_classes=2)
    found = [
        (label, separation(risk[:, label], (data.y == label).astype(np.int64), n_classes=2))
        for label in range(risk.shape[1])
    ]
    known = [Separation(one.auroc, label, one.n, one.events) for label, one in found if one is not None]
    return max(known, key=lambda one: one.auroc, default=None)


def _of_label(risk: FloatArray, label: int) -> FloatArray:
    return risk if risk.ndim == 1 else risk[:, label]
