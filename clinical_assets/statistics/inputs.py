"""What every function of this room accepts, and how it refuses the rest.

What belongs here: the checks of outcome, score, probability, weight and label arrays.
What does not: anything that computes a statistic.

Weights are frequency weights throughout: weight 2 means that the record was seen twice, and every point
value and interval equals what the repeated rows give. For sampling or inverse-probability weights the
point values hold too, but the analytic intervals do not; use a bootstrap with ``groups=np.arange(n)``,
which resamples records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.errors import ClinicalAssetsError, InsufficientData

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Seed = int | np.random.Generator
ScoreRange = Literal["real", "open"]


class InvalidArray(ClinicalAssetsError, ValueError):
    """An array or number that a statistic cannot take: wrong shape, NaN, infinite or out of range."""


@dataclass(frozen=True)
class BinarySample:
    """Checked outcome, score and weights of the same length; ``n`` and ``events`` are sums of weights."""

    y: FloatArray
    score: FloatArray
    weights: FloatArray

    @property
    def n(self) -> float:
        return float(self.weights.sum())

    @property
    def events(self) -> float:
        return float(self.weights @ self.y)

    @property
    def non_events(self) -> float:
        return self.n - self.events


def as_vector(values: ArrayLike, *, name: str, allow_nan: bool = False) -> FloatArray:
    """A one-dimensional float array of at least one element without infinities.

    Raises InvalidArray for other shapes, text, infinities and (unless allowed) NaN.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArray(
            f"{name} is not numeric: {error}",
            cure=f"Pass {name} as numbers, missing values as NaN or removed.",
        ) from error
    if array.ndim != 1:
        raise InvalidArray(
            f"{name} has shape {array.shape}, expected one dimension", cure=f"Pass {name} as a flat array."
        )
    if array.size == 0:
        raise InsufficientData(f"{name} is empty", cure="Pass at least one record.")
    bad = np.isinf(array) if allow_nan else ~np.isfinite(array)
    if bad.any():
        refuse_rows(bad, name=name, what="infinite" if allow_nan else "NaN or infinite")
    return array


def refuse_rows(bad: NDArray[np.bool_], *, name: str, what: str, cure: str | None = None) -> None:
    """Raise InvalidArray that counts the offending elements and names the first."""
    first = int(np.argmax(bad.ravel()))
    raise InvalidArray(
        f"{name}: {int(bad.sum())} of {bad.size} elements are {what}, the first at position {first}",
        cure=cure or f"Remove or repair these elements of {name} before calling.",
    )


def as_weights(weights: ArrayLike | None, *, n: int) -> FloatArray:
    """Frequency weights of shape (n,), ones when None. Raises InvalidArray if one is negative."""
    if weights is None:
        return np.ones(n)
    array = as_vector(weights, name="weights")
    if array.size != n:
        raise InvalidArray(f"weights has {array.size} elements, expected {n}", cure="Pass one weight per record.")
    if (array < 0).any():
        refuse_rows(array < 0, name="weights", what="negative")
    if array.sum() <= 0:
        raise InsufficientData("every weight is zero", cure="Pass at least one positive weight.")
    return array


def as_outcome(y: ArrayLike, *, name: str = "y") -> FloatArray:
    """A binary outcome of shape (n,) as 0.0 and 1.0. Raises InvalidArray for any other value."""
    array = as_vector(y, name=name)
    odd = (array != 0) & (array != 1)
    if odd.any():
        refuse_rows(odd, name=name, what="neither 0 nor 1", cure="Code the event as 1 and its absence as 0.")
    return array


def as_probability(p: ArrayLike, *, name: str = "p") -> FloatArray:
    """Probabilities of shape (n,) strictly between 0 and 1. Raises InvalidArray outside."""
    array = as_vector(p, name=name)
    outside = (array <= 0) | (array >= 1)
    if outside.any():
        refuse_rows(
            outside,
            name=name,
            what="not strictly between 0 and 1",
            cure="A risk of 0 or 1 has no log-odds: recalibrate the model, or clip the scores knowingly.",
        )
    return array


def binary_sample(
    y: ArrayLike,
    score: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    score_range: ScoreRange = "open",
    min_per_class: float = 1,
    name: str = "p",
) -> BinarySample:
    """Check outcome, score and weights together.

    Parameters
    ----------
    y, score, weights : arrays of shape (n,)
    score_range : "open" for probabilities in (0, 1), "real" for any finite score.
    min_per_class : smallest sum of weights of events and of non-events.

    Raises
    ------
    InvalidArray
        Shapes differ, or a value is NaN, infinite or out of range.
    InsufficientData
        A class is missing or smaller than `min_per_class`.
    """
    outcome = as_outcome(y)
    values = as_probability(score, name=name) if score_range == "open" else as_vector(score, name=name)
    if values.size != outcome.size:
        raise InvalidArray(
            f"{name} has {values.size} elements but y has {outcome.size}",
            cure="Pass one score per outcome, in the same order.",
        )
    sample = BinarySample(outcome, values, as_weights(weights, n=outcome.size))
    for label, count in (("event", sample.events), ("non-event", sample.non_events)):
        if count < min_per_class:
            raise InsufficientData(
                f"{count:g} {label}s among {sample.n:g} records, at least {min_per_class:g} needed",
                cure="Widen the cohort, lengthen the outcome horizon, or report the result as insufficient.",
            )
    return sample


def as_labels(values: ArrayLike, *, n_classes: int, name: str = "y") -> IntArray:
    """Class labels of shape (n,) as integers 0 .. n_classes-1. Raises InvalidArray otherwise."""
    array = as_vector(values, name=name)
    odd = (array != np.floor(array)) | (array < 0) | (array >= n_classes)
    if odd.any():
        refuse_rows(odd, name=name, what=f"not a class from 0 to {n_classes - 1}")
    return array.astype(np.int64)


def as_codes(values: ArrayLike, *, n: int, name: str) -> tuple[IntArray, int]:
    """Group labels of shape (n,), of any type, as codes 0 .. k-1 in order of their sorted labels; and k."""
    array: NDArray[Any] = np.asarray(values)
    if array.shape != (n,):
        raise InvalidArray(f"{name} has shape {array.shape}, expected ({n},)", cure="Pass one label per record.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        refuse_rows(np.isnan(array), name=name, what="missing", cure="Give every record a label.")
    labels, codes = np.unique(array, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), int(labels.size)


def check_fraction(value: float, *, name: str) -> float:
    """A number strictly between 0 and 1: a level, share, threshold. Raises InvalidArray otherwise."""
    if not 0 < value < 1:
        raise InvalidArray(f"{name} is {value}, expected a number strictly between 0 and 1")
    return float(value)


def generator(seed: Seed) -> np.random.Generator:
    """The generator itself, or a new one from an integer seed."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
