"""Which rows a model may learn from: the locked holdout, and the folds inside the rest.

The holdout is decided by a hash of the subject's identifier and nothing else. It therefore never splits a subject, does
not depend on the order or number of rows, and new subjects never move old ones across.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.types import IntArray

if TYPE_CHECKING:
    import polars as pl

# Part of what is hashed: an experiment that assigns by hash of the same identifier must not follow the holdout.
SALT = "clinical_assets holdout"
_HASHES = 2**64

Fold = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Split:
    """Masks of shape (n,): rows to train on, and rows that are looked at once, at the end."""

    train: NDArray[np.bool_]
    holdout: NDArray[np.bool_]


def split_holdout(
    frame: pl.DataFrame, *, subject: str, share: float, salt: str = SALT, together: IntArray | None = None
) -> Split:
    """Lock away about `share` of the subjects.

    Parameters
    ----------
    frame : polars.DataFrame
        n rows with the column `subject`, an integer or a text without nulls.
    subject : str
        Column that names the subject: all its rows go to one side.
    share : float in (0, 1)
        Expected share of subjects in the holdout.
    salt : str
        Another salt gives another, independent split.
    together : array of shape (n,), optional
        Group of each row, no smaller than a subject: all subjects of a group go where the one with the smallest
        identifier goes, as if they were one.

    Returns
    -------
    Split
        A subject is held out when the first 64 bits of SHA-256(salt | identifier) are below share * 2^64. The share
        is kept on average; among few subjects it scatters.

    Raises
    ------
    ClinicalAssetsError
        The share is no share, or a subject is null.
    """
    import duckdb
    import polars as pl

    if not 0 < share < 1:
        raise ClinicalAssetsError(
            f"holdout share is {share}, expected a number between 0 and 1.",
            cure="Use .2 to .3; fewer rows decide nothing.",
        )
    identifiers = frame[subject].cast(pl.String)
    if identifiers.null_count():
        raise ClinicalAssetsError(
            f"{identifiers.null_count()} rows have no {subject}.", cure="Every row must name the subject it belongs to."
        )
    if together is not None:
        named = pl.DataFrame({"identifier": identifiers, "together": together})
        identifiers = named.select(pl.col("identifier").min().over("together"))["identifier"]
    subjects = pl.DataFrame({"identifier": identifiers.unique()}).to_arrow()
    with duckdb.connect() as connection:
        connection.register("subjects", subjects)
        held = connection.execute(
            "SELECT identifier FROM subjects "
            "WHERE CAST('0x' || left(sha256($salt || '|' || identifier), 16) AS UBIGINT) < CAST($limit AS UBIGINT)",
            {"salt": salt, "limit": str(int(share * _HASHES))},
        ).pl()
    holdout = identifiers.is_in(held["identifier"].implode()).to_numpy()
    return Split(train=~holdout, holdout=holdout)


def outer_folds(y: IntArray, groups: IntArray, *, n_splits: int, seed: int, what: str = "outer") -> list[Fold]:
    """Stratified folds that keep all rows of a subject together.

    Parameters
    ----------
    y : array of shape (n,)
        Class numbers.
    groups : array of shape (n,)
        Subject of each row.
    n_splits : int
        Number of folds, at least 2.
    seed : int
        Everything random follows from it.
    what : str
        Names the folds in messages; the inner folds are made by this function too.

    Returns
    -------
    list of (train, test)
        Positions of rows. scikit-learn's StratifiedGroupKFold when a subject has several rows, else StratifiedKFold.

    Raises
    ------
    InsufficientData
        A class is smaller than the number of folds, a training part lacks a class, or a test part has only one.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    _refuse_small_classes(y, groups, n_splits=n_splits, what=what)
    repeated = np.unique(groups).size < groups.size
    splitter = (StratifiedGroupKFold if repeated else StratifiedKFold)(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # scikit-learn warns when a class is smaller than the folds; that is an error above.
        warnings.simplefilter("ignore", UserWarning)
        folds = [(train.astype(np.int64), test.astype(np.int64)) for train, test in splitter.split(y, y, groups)]
    classes = np.unique(y)
    for number, (train, test) in enumerate(folds, start=1):
        lacking = np.setdiff1d(classes, y[train])
        if lacking.size:
            raise InsufficientData(
                f"{what} fold {number} of {n_splits}: class {int(lacking[0])} has no row to train on; few subjects "
                "hold all of them.",
                cure=f"Lower modelling.search.{what}_folds, or widen the cohort.",
            )
        if np.unique(y[test]).size < 2:
            raise InsufficientData(
                f"{what} fold {number} of {n_splits}: its {test.size} evaluation rows all have class {int(y[test][0])}."
                if test.size
                else f"{what} fold {number} of {n_splits} has no evaluation row.",
                cure=f"Lower modelling.search.{what}_folds, or widen the cohort.",
            )
    return folds


def _refuse_small_classes(y: IntArray, groups: IntArray, *, n_splits: int, what: str) -> None:
    for label in np.unique(y):
        subjects = int(np.unique(groups[y == label]).size)
        if subjects < n_splits:
            raise InsufficientData(
                f"class {int(label)} has {subjects} subject{'s' if subjects != 1 else ''} among the {y.size} rows to "
                f"be split into {n_splits} {what} folds.",
                cure=f"Lower modelling.search.{what}_folds to at most {max(subjects, 2)}, or widen the cohort.",
            )
    if np.unique(y).size < 2:
        raise InsufficientData(
            f"all {y.size} rows have class {int(y[0])}: there is nothing to tell apart.",
            cure="Widen the cohort or lengthen the outcome's horizon.",
        )
