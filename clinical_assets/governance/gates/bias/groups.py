"""Which groups there are, and which are compared: values of each protected attribute, and of every two together.

Which groups there are is said by the description (every category of it) and by all rows, training rows included: a
group without a row on the holdout is not compared, but it is not forgotten either.

An attribute that is a quantity with a unit and many values (age) is cut at its quartiles; a number without a unit is a
code. A missing value is a group of its own,
"unknown": people of whom it was not recorded are served by the model, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import GROUP_PREFIX
from clinical_assets.modelling.evaluation.subgroups import UNKNOWN

if TYPE_CHECKING:
    import polars as pl


# A number with more values than this is cut at its quartiles.
_MOST_VALUES = 12
_LONGEST_LABEL = 60


@dataclass(frozen=True)
class Group:
    """One group of people.

    Attributes
    ----------
    label : str
        Such as ``sex=f`` or ``sex=f, region=north``.
    members : array of bool, shape (n,)
    attributes : int
        1, or 2 for an intersection.
    """

    label: str
    members: NDArray[np.bool_]
    attributes: int


def labels_of(rows: pl.DataFrame, spec: CohortSpec, *, everyone: pl.DataFrame) -> dict[str, NDArray[np.str_]]:
    """Group of each row by attribute; quartiles are those of `everyone`, training rows included."""
    return {
        name: _labels(rows[f"{GROUP_PREFIX}{name}"], everyone[f"{GROUP_PREFIX}{name}"], _is_number(spec, name))
        for name in spec.protected
    }


def known_groups(spec: CohortSpec, everyone: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Labels of all groups of each protected attribute: described categories, and what any row holds."""
    found = labels_of(everyone, spec, everyone=everyone)
    return {
        name: tuple(
            sorted(
                {str(label) for label in found[name]}
                | {code[:_LONGEST_LABEL] for code in spec.subjects.columns[name].categories or ()}
            )
        )
        for name in spec.protected
    }


def groups_of(labels: dict[str, NDArray[np.str_]]) -> Iterator[Group]:
    """Every group of one attribute, then every pairwise intersection that has a member and is not a whole group."""
    single: dict[str, list[Group]] = {}
    for name, values in labels.items():
        found = [Group(f"{name}={value}", values == value, 1) for value in np.unique(values)]
        # An attribute with one value sets nobody apart.
        single[name] = found if len(found) > 1 else []
        yield from single[name]
    for first, second in itertools.combinations(single, 2):
        for one, two in itertools.product(single[first], single[second]):
            both = one.members & two.members
            if both.any() and (both != one.members).any() and (both != two.members).any():
                yield Group(f"{one.label}, {two.label}", both, 2)


def _is_number(spec: CohortSpec, name: str) -> bool:
    column = spec.subjects.columns[name]
    quantity = column.type == "number" or column.unit not in (None, "1")
    return quantity and column.type in ("integer", "number") and column.categories is None


def _labels(values: pl.Series, everyone: pl.Series, number: bool) -> NDArray[np.str_]:
    import polars as pl

    if number and everyone.n_unique() > _MOST_VALUES:
        known = everyone.cast(pl.Float64).drop_nulls().to_numpy()
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        names = [f"below {edges[0]:g}"]
        names += [f"{low:g} to below {high:g}" for low, high in itertools.pairwise(edges)]
        names += [f"{edges[-1]:g} and above"]
        cut = np.asarray(names)[np.searchsorted(edges, np.nan_to_num(numbers), side="right")]
        return np.where(np.isnan(numbers), UNKNOWN, cut).astype(str)
    texts = values.cast(pl.String).fill_null(UNKNOWN).str.head(_LONGEST_LABEL)
    return texts.to_numpy().astype(str)
