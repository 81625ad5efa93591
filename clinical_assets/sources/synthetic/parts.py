"""Small parts that the generators share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from clinical_assets.foundation.types import FloatArray


def check_share(name: str, value: float, *, open_interval: bool = False) -> None:
    """Refuse a share outside 0 to 1.

    Raises
    ------
    ValueError
        Naming the parameter.
    """
    if not (0 < value < 1 if open_interval else 0 <= value < 1):
        raise ValueError(f"{name} is {value}; it must lie {'between' if open_interval else 'from'} 0 and below 1")


def check_count(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises
    ------
    ValueError
        Naming the parameter.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def expit(logit: FloatArray) -> FloatArray:
    """Probability of a logit."""
    return 1.0 / (1.0 + np.exp(-logit))


def intercept_for(linear: FloatArray, prevalence: float) -> float:
    """The intercept that makes the mean of ``expit(intercept + linear)`` equal to ``prevalence``."""
    from scipy.optimize import brentq

    reach = float(np.abs(linear).max()) + 40.0
    return float(brentq(lambda a: expit(linear + a).mean() - prevalence, -reach, reach, xtol=1e-9))


def hidden(values: pl.Series, where: npt.NDArray[np.bool_]) -> pl.Series:
    """``values`` with null where ``where`` is true."""
    return values.zip_with(pl.Series(~where), values.clear(len(values)))


def labels(names: Sequence[str], codes: npt.NDArray[np.integer]) -> pl.Series:
    """Text column of ``names[code]``."""
    return pl.Series(list(names), dtype=pl.String).gather(pl.Series(codes.astype(np.uint32)))
