"""What training reads: one table of numbers, outcomes and subjects, in an order that does not depend on the store.

What belongs here: the shape of the table that this room expects, its checks, and the arrays that models take.
What does not: reading it from a warehouse; splitting it (``splits``); looking for leaks (``leakage``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.decisions import SAMPLERS
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, EVENT_CODE, FOLLOW_UP_DAYS, RECORD_WEIGHT
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.table.follow_up import RowFollowUp, carriers
from clinical_assets.modelling.table.together import units_of_rows

if TYPE_CHECKING:
    import polars as pl


OUTCOME = "outcome"


class TrainingTable(Protocol):
    """One row per prediction unit, as the warehouse's feature table offers it.

    ``frame`` has the key columns, the subject column, the feature columns (numbers, null is missing), ``outcome``
    (0, 1, ...), ``case_weight`` where the description has a column of that role, and the protected attributes, each in
    the column that ``protected_column`` names, ``kept_together`` where one has role group, ``follow_up_days`` and
    ``event_code`` where the outcome is a time to an event; ``censored`` then holds the units without an outcome, whose
    follow-up ended before the horizon. ``digest`` names all.
    """

    @property
    def frame(self) -> pl.DataFrame:
        """The rows."""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name one prediction unit."""

    @property
    def subject(self) -> str:
        """The column that names the subject of a unit."""

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Columns of features, in their order in the model."""

    @property
    def protected(self) -> tuple[str, ...]:
        """Protected attributes, by their names in the description."""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the content."""

    @property
    def censored(self) -> pl.DataFrame | None:
        """Units censored before the horizon, in the columns of the rows; None where there is no follow-up."""

    def protected_column(self, attribute: str) -> str:
        """The column that holds a protected attribute."""


class UnusableTable(ClinicalAssetsError):
    """A feature table that breaks its promises: columns missing, keys repeated, values that no model can take."""


@dataclass(frozen=True)
class ModelInput:
    """The rows of a table as arrays, in the order of their keys.

    Attributes
    ----------
    frame : polars.DataFrame
        The rows themselves, sorted by key.
    X : array of shape (n, p)
        Features; NaN is missing, nothing is infinite.
    y : array of shape (n,)
        Class numbers 0 .. k-1.
    groups : array of shape (n,)
        Number of each row's subject; rows of one subject share it, and of subjects that are kept together.
    feature_columns : tuple of str, length p
    classes : tuple of str, length k
    weights : array of shape (n,) or None
        Case weights, above 0, over their mean among all rows of the table; None where all rows count alike.
    follow_up : RowFollowUp or None
        Times and events behind the classes, and the rows that were censored before the horizon.
    """

    frame: pl.DataFrame
    X: FloatArray
    y: IntArray
    groups: IntArray
    feature_columns: tuple[str, ...]
    classes: tuple[str, ...]
    weights: FloatArray | None = None
    follow_up: RowFollowUp | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.size)

    @property
    def repeated(self) -> bool:
        """True when a subject has several rows, so that rows are not independent."""
        return int(np.unique(self.groups).size) < self.n

    @property
    def clusters(self) -> IntArray | None:
        """Subjects to resample as a whole, or None when every row is a subject of its own."""
        return self.groups if self.repeated else None

    def rows(self, chosen: NDArray[np.bool_]) -> ModelInput:
        """The rows where ``chosen`` (n,) is true."""
        return ModelInput(
            self.frame.filter(chosen),
            self.X[chosen],
            self.y[chosen],
            self.groups[chosen],
            self.feature_columns,
            self.classes,
            None if self.weights is None else self.weights[chosen],
            None if self.follow_up is None else self.follow_up.rows(chosen),
        )

    @property
    def censored_X(self) -> FloatArray:  # noqa: N802
        """Features (m, p) of the censored that the rows carry; none where the outcome is no time to an event."""
        return self.X[:0] if self.follow_up is None else self.follow_up.censored_X

    def grouped(self, groups: IntArray) -> ModelInput:
        """The same rows in larger groups (n,): what was one group stays together."""
        follow_up = None if self.follow_up is None else self.follow_up.grouped(self.groups, groups)
        return replace(self, groups=groups, follow_up=follow_up)

    def without(self, columns: Collection[str]) -> ModelInput:
        """The same rows without some features."""
        kept = [place for place, name in enumerate(self.feature_columns) if name not in columns]
        names = tuple(self.feature_columns[place] for place in kept)
        follow_up = None if self.follow_up is None else self.follow_up.columns(kept)
        return replace(self, X=np.ascontiguousarray(self.X[:, kept]), feature_columns=names, follow_up=follow_up)

    def refuse_missing_classes(self, *, where: str) -> None:
        """Raise InsufficientData that names the classes without a row."""
        present = np.bincount(self.y, minlength=len(self.classes))
        absent = [label for label, count in zip(self.classes, present, strict=True) if count == 0]
        if absent:
            raise InsufficientData(
                f"class {', '.join(repr(label) for label in absent)} does not occur among the {self.n} {where} rows.",
                cure="Widen the cohort, lengthen the outcome's horizon, or merge the class with its neighbour.",
            )


def model_input(table: TrainingTable, spec: CohortSpec) -> ModelInput:
    """Check a feature table and turn it into arrays whose order depends on the keys alone.

    Raises
    ------
    UnusableTable
        Columns are missing, a key repeats, a feature is no number or infinite, an outcome is no class number, a row has
        no case weight although the description has such a column.
    InsufficientData
        There are no rows, or a class has none.
    """
    frame = table.frame
    weighted = (CASE_WEIGHT,) if spec.weight is not None else ()
    wanted = (*table.key, table.subject, *table.feature_columns, OUTCOME, *weighted)
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        raise UnusableTable(f"the feature table lacks {', '.join(absent)}.", cure="Materialize `features` again.")
    if frame.height == 0:
        raise InsufficientData(
            f"cohort {spec.name} has no row with a known outcome.",
            cure="Look at the exclusions that `features` reports, or widen the cohort.",
        )
    if frame.select(table.key).is_duplicated().any():
        raise UnusableTable(
            f"the key {', '.join(table.key)} repeats in the feature table.",
            cure="One row per prediction unit is needed.",
        )
    frame = frame.sort(table.key)
    groups = units_of_rows(frame, subject=table.subject)
    follow_up = None
    if spec.time_to_event is not None and table.censored is not None:
        groups, follow_up = _follow_up(frame, table.censored.sort(table.key), table, spec)
    data = ModelInput(
        frame=frame,
        X=features_of(frame, table.feature_columns),
        y=_outcomes(frame, len(spec.target.classes)),
        groups=groups,
        follow_up=follow_up,
        feature_columns=tuple(table.feature_columns),
        classes=spec.target.classes,
        weights=_weights(frame, spec) if {CASE_WEIGHT} <= set(frame.columns) - set(table.feature_columns) else None,
    )
    data.refuse_missing_classes(where="usable")
    return data


def _follow_up(
    frame: pl.DataFrame, censored: pl.DataFrame, table: TrainingTable, spec: CohortSpec
) -> tuple[IntArray, RowFollowUp]:
    """Groups of the rows, numbered together with those of the censored, and the follow-up of both."""
    import polars as pl

    assert spec.time_to_event is not None
    together = pl.concat([frame, censored], how="diagonal_relaxed")
    numbers = units_of_rows(together, subject=table.subject)
    groups, theirs = numbers[: frame.height], numbers[frame.height :]
    split_by = spec.modelling.split_by
    alike = None if split_by is None else together[table.protected_column(split_by)].rank("dense").fill_null(0)
    return groups, RowFollowUp(
        days=frame[FOLLOW_UP_DAYS].to_numpy(),
        event=frame[EVENT_CODE].to_numpy(),
        horizon=float(spec.time_to_event.horizon_days),
        case_weights=frame[RECORD_WEIGHT].to_numpy() if RECORD_WEIGHT in frame.columns else None,
        censored_frame=censored,
        censored_X=features_of(censored, table.feature_columns),
        censored_groups=theirs,
        carrier=carriers(
            groups,
            theirs,
            alike=None if alike is None else (alike.to_numpy()[: frame.height], alike.to_numpy()[frame.height :]),
            seed=spec.modelling.search.seed,
        ),
    )


def features_of(frame: pl.DataFrame, columns: tuple[str, ...]) -> FloatArray:
    """The feature columns as a C-ordered array (n, p), null as NaN.

    Raises
    ------
    UnusableTable
        A column is missing, is no number, or holds an infinite value; the message names it.
    """
    import polars as pl

    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise UnusableTable(
            f"the features {', '.join(absent)} are missing.", cure="Score the columns that the model was fitted on."
        )
    for name in columns:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
            raise UnusableTable(
                f"feature {name!r} is {kind}, not a number.", cure="Turn it into numbers in the feature model."
            )
    values = frame.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    return finite_or_missing(np.ascontiguousarray(values, dtype=np.float64), columns)


def finite_or_missing(values: Any, columns: tuple[str, ...]) -> FloatArray:
    """An array (n, p) of floats in which nothing is infinite; NaN is missing.

    Raises UnusableTable for another shape or an infinite value, and names the column.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise UnusableTable(
            f"features have shape {array.shape}, expected (n, {len(columns)}).",
            cure=f"Pass these columns in this order: {', '.join(columns)}.",
        )
    infinite = np.isinf(array)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        count = int(infinite[:, column].sum())
        raise UnusableTable(
            f"feature {columns[column]!r} is infinite in {count} of {array.shape[0]} rows, first at position {row}.",
            cure="A division by zero is the usual reason: make it missing (NULLIF) in the feature model.",
        )
    return array


def _weights(frame: pl.DataFrame, spec: CohortSpec) -> FloatArray | None:
    """Case weights over their mean; None where all are equal, so that they change nothing."""
    weights = frame[CASE_WEIGHT].cast(float).fill_null(float("nan")).to_numpy()
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        maker = spec.weight or f"the outcome model {spec.outcome}"
        raise UnusableTable(
            f"{int(bad.sum())} of {frame.height} rows have no case weight above 0 in {maker}.",
            cure=f"Deliver {maker} with the outcomes of later records, or take the role weight from it."
            if spec.weight
            else "Nobody is followed as long as that: set an earlier horizon.",
        )
    if np.ptp(weights) == 0:
        return None
    drawn = [strategy for strategy in spec.modelling.imbalance if strategy in SAMPLERS]
    if drawn:
        raise UnusableTable(
            f"modelling.imbalance offers {drawn[0]}, whose invented records have no case weight, and units count "
            "unequally.",
            cure="Use none or class_weight.",
        )
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def _outcomes(frame: pl.DataFrame, n_classes: int) -> IntArray:
    column = frame[OUTCOME]
    if column.null_count():
        raise UnusableTable(
            f"{column.null_count()} of {frame.height} rows have no outcome.",
            cure="Leave out the units that `model.outcomes` excludes before training.",
        )
    values = column.to_numpy().astype(np.float64)
    odd = (values != np.floor(values)) | (values < 0) | (values >= n_classes)
    if odd.any():
        raise UnusableTable(
            f"{int(odd.sum())} of {frame.height} outcomes are no class from 0 to {n_classes - 1}: {values[odd][0]:g}.",
            cure="Let the outcome model and `target.classes` agree.",
        )
    return values.astype(np.int64)
