"""A risk table of any size with a known model: for benchmarks, and for tests that must find the truth again."""

from __future__ import annotations

import numpy as np
import polars as pl

from clinical_assets.foundation.types import FloatArray
from clinical_assets.sources.synthetic.parts import check_count, check_share, expit, hidden, intercept_for, labels

KINDS = ("number", "count", "flag", "grade")
SITES = ("north", "south", "island")
SITE_SHARES = (0.5, 0.3, 0.2)
GRADES = ("none", "mild", "severe")
GRADE_SHARES = (0.5, 0.3, 0.2)


def coefficient(place: int) -> float:
    """True log odds ratio per standard deviation of the feature at ``place`` (from 0): (-1)^j 0.8 / sqrt(1 + j)."""
    return (-1.0) ** place * 0.8 / float(np.sqrt(1 + place))


def tabular_risk(
    seed: int,
    *,
    rows: int = 10_000,
    features: int = 12,
    prevalence: float = 0.2,
    missing_share: float = 0.05,
    site_shift: float = 0.0,
) -> dict[str, pl.DataFrame]:
    """One table of independent features of four kinds, three sites, and a logistic outcome.

    Model: logit P(outcome = 1) = a + sum_j beta_j z_j + site_shift [site = island], with
    beta_j = (-1)^j 0.8 / sqrt(1 + j) for j = 0, 1, ... (0.800, -0.566, 0.462, -0.400, ...) and z_j the feature in
    standard deviations from its mean. ``a`` is chosen so that the mean probability is ``prevalence``. Feature j is,
    in turn,

    - ``x<j>_number``: normal, mean 0, SD 1; z = x.
    - ``x<j>_count``: Poisson of mean 4; z = (x - 4) / 2.
    - ``x<j>_flag``: true with probability 0.3; z = (x - 0.3) / sqrt(0.21).
    - ``x<j>_grade``: none, mild, severe (0, 1, 2) with shares 0.5, 0.3, 0.2; z = (x - 0.7) / sqrt(0.61).

    ``missing_share`` of every feature is missing completely at random, after the outcome was drawn. ``site`` is
    north, south, island with shares 0.5, 0.3, 0.2 and, unless ``site_shift`` is given, without effect.

    Parameters
    ----------
    seed : int
        Seed of numpy's default generator.
    rows, features : int
        Size; both at least 1.
    prevalence : float
        Mean probability of the outcome, between 0 and 1.
    missing_share : float
        From 0 to below 1.
    site_shift : float
        Change of the log odds on the island.

    Returns
    -------
    dict
        Table ``records``: ``record_id`` (from 1), ``site``, the features, ``outcome`` (0 or 1).
    """
    check_count("rows", rows)
    check_count("features", features)
    check_share("prevalence", prevalence, open_interval=True)
    check_share("missing_share", missing_share)
    random = np.random.default_rng(seed)
    site = random.choice(len(SITES), size=rows, p=SITE_SHARES)
    linear = site_shift * (site == SITES.index("island"))
    columns: dict[str, pl.Series] = {
        "record_id": pl.Series(np.arange(1, rows + 1, dtype=np.int64)),
        "site": labels(SITES, site),
    }
    width = len(str(features - 1))
    for place in range(features):
        kind = KINDS[place % len(KINDS)]
        values, z = _feature(random, kind, rows)
        linear = linear + coefficient(place) * z
        if missing_share:
            values = hidden(values, random.random(rows) < missing_share)
        columns[f"x{place:0{width}d}_{kind}"] = values
    probability = expit(linear + intercept_for(linear, prevalence))
    columns["outcome"] = pl.Series((random.random(rows) < probability).astype(np.int64))
    return {"records": pl.DataFrame(columns)}


def _feature(random: np.random.Generator, kind: str, rows: int) -> tuple[pl.Series, FloatArray]:
    """A feature as it is stored, and in standard deviations from its mean."""
    match kind:
        case "number":
            normal = random.standard_normal(rows)
            return pl.Series(normal), normal
        case "count":
            count = random.poisson(4.0, rows)
            return pl.Series(count), np.asarray((count - 4.0) / 2.0, dtype=np.float64)
        case "flag":
            flag = random.random(rows) < 0.3
            return pl.Series(flag), np.asarray((flag - 0.3) / np.sqrt(0.21), dtype=np.float64)
        case _:
            grade = random.choice(len(GRADES), size=rows, p=GRADE_SHARES)
            return labels(GRADES, grade), np.asarray((grade - 0.7) / np.sqrt(0.61), dtype=np.float64)
