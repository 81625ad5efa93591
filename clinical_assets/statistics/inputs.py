"""What every function of this room accepts, and how it refuses the rest.

What belongs here: the checks of outcome, score, probability, weight and label arrays.
What does not: anything that computes a statistic.

Weights are frequency weights throughout: weight 2 means that the record was seen twice, and every point
value and interval equals what the repeated rows give. For sampling or inverse-probability weights the
point values hold too, but the analytic intervals do not; use a bootstrap with ``groups=np.arange(n)``,
which resamples records, and show the effective size (`uncertainty.effective_size`) beside n. Weights that
are not all whole numbers cannot be counts: what is asked of the number of events then counts records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray

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
        """Number of records: the sum of weights."""
        return float(self.weights.sum())

    @property
    def events(self) -> float:
        """Weight of the records with y = 1."""
        return float(self.weights @ self.y)

    @property
    def non_events(self) -> float:
        """Weight of the records with y = 0."""
        return self.n - self.events

    @property
    def counts(self) -> tuple[float, float]:
        """Events and non-events that were seen: sums of whole weights; of others, records that have one above 0.

        Two records do not become many because each stands for forty people, nor a hundred few because each stands for
        a hundredth of one.
        """
        if (self.weights == np.floor(self.weights)).all():
            return self.events, self.non_events
        seen = self.weights > 0
        return float(np.count_nonzero(seen & (self.y == 1))), float(np.count_nonzero(seen & (self.y == 0)))


def as_vector(values: ArrayLike, *, name: str, allow_nan: bool = False) -> FloatArray:
    """A one-dimensional float array of at least one element without infinities.

    Raises InvalidArray for other shapes, text, infinities and (unless allowed) NaN.

    Examples
    --------
    >>> as_vector([1, 2], name="x").tolist()
    [1.0, 2.0]
    >>> as_vector([1, float("nan")], name="x")
    Traceback (most recent call last):
        ...
    InvalidArray: x: 1 of 2 elements are NaN or infinite, the first at position 1
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
    """Raise InvalidArray that counts the offending elements and names the first.

    Examples
    --------
    >>> refuse_rows(np.array([False, True]), name="age", what="negative")
    Traceback (most recent call last):
        ...
    InvalidArray: age: 1 of 2 elements are negative, the first at position 1
    """
    first = int(np.argmax(bad.ravel()))
    raise InvalidArray(
        f"{name}: {int(bad.sum())} of {bad.size} elements are {what}, the first at position {first}",
        cure=cure or f"Remove or repair these elements of {name} before calling.",
    )


def as_weights(weights: ArrayLike | None, *, n: int) -> FloatArray:
    """Frequency weights of shape (n,), ones when None. Raises InvalidArray if one is negative.

    Examples
    --------
    >>> as_weights(None, n=3).tolist()
    [1.0, 1.0, 1.0]
    >>> as_weights([1, 2, 0], n=3).tolist()
    [1.0, 2.0, 0.0]
    """
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
    """A binary outcome of shape (n,) as 0.0 and 1.0. Raises InvalidArray for any other value.

    Examples
    --------
    >>> as_outcome([True, False]).tolist()
    [1.0, 0.0]
    >>> as_outcome([1, 2])
    Traceback (most recent call last):
        ...
    InvalidArray: y: 1 of 2 elements are neither 0 nor 1, the first at position 1
    """
    array = as_vector(y, name=name)
    odd = (array != 0) & (array != 1)
    if odd.any():
        refuse_rows(odd, name=name, what="neither 0 nor 1", cure="Code the event as 1 and its absence as 0.")
    return array


def as_probability(p: ArrayLike, *, name: str = "p") -> FloatArray:
    """Probabilities of shape (n,) strictly between 0 and 1. Raises InvalidArray outside.

    Examples
    --------
    >>> as_probability([0.1, 0.9]).tolist()
    [0.1, 0.9]
    >>> as_probability([0.1, 1])
    Traceback (most recent call last):
        ...
    InvalidArray: p: 1 of 2 elements are not strictly between 0 and 1, the first at position 1
    """
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
    y : array of shape (n,), 0 or 1
        Outcomes; 1 is the event.
    score : array of shape (n,)
        Predicted risks or scores.
    weights : array of shape (n,), optional
        Frequency weights, ones by default.
    score_range : "open" or "real"
        Whether scores are probabilities in (0, 1) or any finite numbers.
    min_per_class : float
        Smallest number of events and of non-events, as in `BinarySample.counts`.
    name : str
        What messages call the score.

    Raises
    ------
    InvalidArray
        Shapes differ, or a value is NaN, infinite or out of range.
    InsufficientData
        A class is missing or smaller than `min_per_class`.

    Examples
    --------
    >>> sample = binary_sample([0, 1, 1], [0.2, 0.7, 0.9], weights=[3, 1, 1])
    >>> sample.n, sample.events, sample.non_events
    (5.0, 2.0, 3.0)
    >>> binary_sample([1, 1], [0.7, 0.9])
    Traceback (most recent call last):
        ...
    InsufficientData: 0 non-events among 2 records, at least 1 needed
    """
    outcome = as_outcome(y)
    values = as_probability(score, name=name) if score_range == "open" else as_vector(score, name=name)
    if values.size != outcome.size:
        raise InvalidArray(
            f"{name} has {values.size} elements but y has {outcome.size}",
            cure="Pass one score per outcome, in the same order.",
        )
    sample = BinarySample(outcome, values, as_weights(weights, n=outcome.size))
    for label, count in zip(("event", "non-event"), sample.counts, strict=True):
        if count < min_per_class:
            raise InsufficientData(
                f"{count:g} {label}s among {sum(sample.counts):g} records, at least {min_per_class:g} needed",
                cure="Widen the cohort, lengthen the outcome horizon, or report the result as insufficient.",
            )
    return sample


def as_labels(values: ArrayLike, *, n_classes: int, name: str = "y") -> IntArray:
    """Class labels of shape (n,) as integers 0 .. n_classes-1. Raises InvalidArray otherwise.

    Examples
    --------
    >>> as_labels([0, 2, 1], n_classes=3).tolist()
    [0, 2, 1]
    >>> as_labels([0, 3], n_classes=3)
    Traceback (most recent call last):
        ...
    InvalidArray: y: 1 of 2 elements are not a class from 0 to 2, the first at position 1
    """
    array = as_vector(values, name=name)
    odd = (array != np.floor(array)) | (array < 0) | (array >= n_classes)
    if odd.any():
        refuse_rows(odd, name=name, what=f"not a class from 0 to {n_classes - 1}")
    return array.astype(np.int64)


def as_codes(values: ArrayLike, *, n: int, name: str) -> tuple[IntArray, int]:
    """Group labels of shape (n,), of any type, as codes 0 .. k-1 in order of their sorted labels; and k.

    Examples
    --------
    >>> codes, n_groups = as_codes(["north", "east", "north"], n=3, name="site")
    >>> codes.tolist(), n_groups
    ([1, 0, 1], 2)
    """
    array: NDArray[Any] = np.asarray(values)
    if array.shape != (n,):
        raise InvalidArray(f"{name} has shape {array.shape}, expected ({n},)", cure="Pass one label per record.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        refuse_rows(np.isnan(array), name=name, what="missing", cure="Give every record a label.")
    labels, codes = np.unique(array, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), int(labels.size)


def check_fraction(value: float, *, name: str) -> float:
    """A number strictly between 0 and 1: a level, share, threshold. Raises InvalidArray otherwise.

    Examples
    --------
    >>> check_fraction(0.95, name="level")
    0.95
    >>> check_fraction(95, name="level")
    Traceback (most recent call last):
        ...
    InvalidArray: level is 95, expected a number strictly between 0 and 1
    """
    if not 0 < value < 1:
        raise InvalidArray(f"{name} is {value}, expected a number strictly between 0 and 1")
    return float(value)


def generator(seed: Seed) -> np.random.Generator:
    """The generator itself, or a new one from an integer seed.

    Examples
    --------
    >>> bool(generator(7).integers(100) == generator(7).integers(100))
    True
    >>> rng = np.random.default_rng(7)
    >>> generator(rng) is rng
    True
    """
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
