"""How many records of equal weight say as much as these weighted ones? Kish's effective sample size.

What belongs here: what unequal sampling weights cost in precision.
What does not: intervals under such weights, which come from resampling records with their weights (`bootstrap`).

Source: Kish 1965, Survey Sampling, Wiley, section 8.2; Kish 1992, J Off Stat 8:183-200.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.types import FloatArray
from clinical_assets.statistics.inputs import as_vector, as_weights


def effective_sample_size(weights: ArrayLike) -> float:
    """Effective number of records, (sum w)^2 / sum w^2, of sampling weights.

    A weighted mean of records whose weights have nothing to do with their values varies as much as a plain mean of
    this many. Where the weights follow the values, the loss is another, and only resampling tells it: show this number
    beside n, and take intervals from `bootstrap` with groups.

    Parameters
    ----------
    weights : array of shape (n,)
        Sampling weights, 0 or above; their scale has no meaning. Not for frequency weights, whose records are as many
        as the sum says.

    Returns
    -------
    float
        From 1 to the number of records with a weight above 0, which is reached when all of them weigh the same.

    Raises
    ------
    InsufficientData
        There are no weights, or all are 0.
    InvalidArray
        A weight is negative, NaN or infinite.

    Examples
    --------
    >>> effective_sample_size([2, 2, 2, 2])
    4.0
    >>> round(effective_sample_size([1, 1, 1, 5]), 2)  # (8 * 8) / (1 + 1 + 1 + 25)
    2.29
    >>> effective_sample_size([1, 1, 0])
    2.0
    """
    array = as_vector(weights, name="weights")
    # Relative to the largest, or squares of very large or small weights leave the range of floats.
    share = as_weights(array, n=array.size) / array.max()
    return float(share.sum() ** 2 / (share @ share))


def effective_weights(weights: ArrayLike) -> FloatArray:
    """The same weights (n,), scaled to add up to the effective number of records.

    For intervals of proportions, which take the sum of weights for the number of records. Parameters, errors and source
    as in `effective_sample_size`.

    Examples
    --------
    >>> effective_weights([2, 2]).tolist()
    [1.0, 1.0]
    >>> round(float(effective_weights([1, 1, 1, 5]).sum()), 2)
    2.29
    """
    array = as_vector(weights, name="weights")
    return np.asarray(array / array.sum() * effective_sample_size(array), dtype=np.float64)


def design_effect(weights: ArrayLike) -> float:
    """Factor by which unequal weights widen the variance of a mean, n / effective n = 1 + CV(w)^2; 1 is none.

    n counts records with a weight above 0. Parameters, errors and source as in `effective_sample_size`.

    Examples
    --------
    >>> design_effect([3, 3, 3])
    1.0
    >>> round(design_effect([1, 1, 1, 5]), 2)  # four records that are worth 2.29
    1.75
    """
    array = as_vector(weights, name="weights")
    return float(np.count_nonzero(array)) / effective_sample_size(array)
