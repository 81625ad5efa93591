"""What the description says about where a feature comes from, and when that is known.

What belongs here: suspicions that rest on roles, names, dates and keys. What does not: the outcome's distribution over
a column's values (``separation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.leakage.leak import Leak, LeakAction, LeakKind
from clinical_assets.modelling.table.inputs import ModelInput

if TYPE_CHECKING:
    import polars as pl


FeatureSources = Mapping[str, Sequence[tuple[str, str]]]

_LATE = "Leave it out of the feature model, or give the right role or date if it is known in time."
_NAMES = "Give it the role `identifier` and leave it out of the feature model."
MANY = 50


def origins(features: Sequence[str], spec: CohortSpec, lineage: FeatureSources | None) -> FeatureSources:
    """What each feature is made of: as told, or by name where nothing was told."""
    if lineage is not None:
        return {name: tuple(lineage.get(name, ())) for name in features}
    described = [(table, column) for table, content in spec.tables.items() for column in content.columns]
    return {
        name: tuple(
            (table, column) for table, column in described if name == column or name.startswith(f"{column}_is_")
        )
        for name in features
    }


def units_of(made_of: FeatureSources, spec: CohortSpec) -> dict[str, str | None]:
    """Unit of each feature: that of the columns it is made of, where they agree; None where it is not known."""
    units: dict[str, str | None] = {}
    for name, sources in made_of.items():
        known = {
            column.unit
            for table, source in sources
            if table in spec.tables and (column := spec.tables[table].columns.get(source)) is not None and column.unit
        }
        units[name] = known.pop() if len(known) == 1 else None
    return units


def names_of_the_outcome(spec: CohortSpec) -> tuple[str, ...]:
    """Names of the target, and of columns that record it."""
    names = [name for table in spec.tables.values() for name in table.with_role("target")]
    if spec.target.name != "outcome":
        names.append(spec.target.name)
    return tuple(dict.fromkeys(names))


def named_after(feature: str, outcomes: Sequence[str]) -> str | None:
    """The outcome whose whole name stands in the feature's name, word by word."""
    return next((name for name in outcomes if f"_{name}_" in f"_{feature}_"), None)


def source_leaks(
    train: ModelInput, spec: CohortSpec, made_of: FeatureSources, raw_frame: pl.DataFrame | None
) -> Iterator[Leak]:
    """Leaks that the description gives away."""
    keys = {*spec.key, spec.subject}
    for name, x in zip(train.feature_columns, train.X.T, strict=True):
        sources = made_of[name]
        yield from _by_role(name, sources, spec)
        if name in keys:
            yield _leak(name, "identifier", "it is the key of a record or subject.", None, _NAMES)
        else:
            yield from _running_number(name, x, train, spec)
        yield from _by_day(name, x, sources, spec)
        if raw_frame is not None:
            yield from _by_date(name, sources, spec, raw_frame)


def _by_role(name: str, sources: Sequence[tuple[str, str]], spec: CohortSpec) -> Iterator[Leak]:
    roles = {
        (table, column): spec.tables[table].columns[column].role
        for table, column in sources
        if table in spec.tables and column in spec.tables[table].columns
    }
    for (table, column), role in roles.items():
        late = [one for one in ("target", "outcome") if one in role]
        if late:
            text = f"it is made of {table}.{column}, which has role {late[0]}: that is known with or after the outcome."
            yield _leak(name, "known_too_late", text, None, _LATE)
    # An identifier that only sorts or groups the rows of other columns stands beside them; alone it is the value.
    if roles and all("identifier" in role for role in roles.values()):
        shown = ", ".join(f"{table}.{column}" for table, column in roles)
        yield _leak(name, "identifier", f"it is made of {shown}, which identifies a person.", None, _NAMES)


def _running_number(name: str, x: FloatArray, train: ModelInput, spec: CohortSpec) -> Iterator[Leak]:
    """A column of distinct whole numbers that counts records, or rises with the key."""
    whole = not np.isnan(x).any() and bool((x == np.floor(x)).all())
    if not whole or x.size < MANY or np.unique(x).size < x.size:
        return
    for key in spec.key:
        if "feature" in spec.subjects.columns[key].role:
            continue  # it says when or which, such as the day of a visit, and is meant to be used
        column = train.frame[key] if key in train.frame.columns else None
        if column is not None and column.dtype.is_numeric():
            order = x[np.argsort(column.to_numpy(), kind="stable")]
            if (np.diff(order) > 0).all() or (np.diff(order) < 0).all():
                text = f"it rises and falls with the key {key}, row by row, among {x.size} training rows."
                yield _leak(name, "identifier", text, 1.0, _NAMES)
                return
    if np.ptp(x) < 2 * x.size:
        text = f"its {x.size} values are distinct whole numbers without large gaps, like a running number."
        yield _leak(name, "identifier", text, None, _NAMES, action="warn")


def _by_day(name: str, x: FloatArray, sources: Sequence[tuple[str, str]], spec: CohortSpec) -> Iterator[Leak]:
    """Day numbers counted from the index date, and durations, that reach beyond the moment of prediction."""
    if spec.index_column is None or spec.counts_days:
        return
    landmark = spec.prediction.landmark_days
    in_days = [
        column
        for table, column in sources
        if (described := spec.tables[table].columns.get(column)) is not None
        and described.type in ("integer", "number")
        and (described.unit == "d" or column.endswith(("_day", "_days")))
    ]
    later = int((x > landmark).sum())
    if name not in in_days or not later:
        return
    if name.endswith("_day"):
        text = f"it is a day number, and {later} training rows lie after day {landmark}, when the prediction is made."
        yield _leak(name, "after_prediction", text, float(later), _LATE)
    else:
        text = (
            f"it is a number of days, and {later} training rows exceed day {landmark}, when the prediction is made; "
            "that is harmless only if it counts time before."
        )
        yield _leak(name, "after_prediction", text, float(later), _LATE, action="warn")


def _by_date(
    name: str, sources: Sequence[tuple[str, str]], spec: CohortSpec, raw_frame: pl.DataFrame
) -> Iterator[Leak]:
    """Features made of a date, or day number, of the subject table that lies after the moment of prediction."""
    index = spec.index_column
    if index is None:
        return
    import polars as pl

    days = spec.prediction.landmark_days
    for table, column in sources:
        described = spec.tables[table].columns.get(column) if table in spec.tables else None
        if table != spec.subject_table or described is None:
            continue
        if spec.counts_days:
            # A duration is no moment: only what is named a day lies on the clock of the index.
            is_moment, kind = described.type == "integer" and column.endswith("_day"), "a day number"
            late = pl.col(column) > pl.col(index) + days
        else:
            is_moment, kind = described.type in ("date", "datetime"), "a date"
            late = pl.col(column).cast(pl.Datetime) >= pl.col(index).cast(pl.Datetime) + pl.duration(days=days + 1)
        if not is_moment or column == index or not {column, index} <= set(raw_frame.columns):
            continue
        later = raw_frame.select(late.sum()).item()
        if later:
            text = (
                f"it is made of {table}.{column}, {kind} that lies after the prediction (day {days}) for {later} of "
                f"{raw_frame.height} records."
            )
            yield _leak(name, "after_prediction", text, float(later), _LATE)


def _leak(
    column: str, kind: LeakKind, evidence: str, value: float | None, cure: str, *, action: LeakAction = "refuse"
) -> Leak:
    return Leak(column, kind, evidence, value, action, cure)
