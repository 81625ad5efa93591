"""Synthetic references and batches for the tests of this room."""

from __future__ import annotations

import numpy as np
import polars as pl

FEATURES = ("age_years", "crp_mg_l", "lactate_mmol_l", "smoker", "visits", "ward")


def records(n: int, *, seed: int, shift: float = 0.0, missing: float = 0.0, wards: str = "abc") -> pl.DataFrame:
    """Records (synthetic): ``shift`` moves age by so many SD, ``missing`` adds to the missing share of crp."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60 + 12 * shift, 12, n)
    crp = np.exp(rng.normal(1, 1, n))
    frame = pl.DataFrame(
        {
            "age_years": age,
            "crp_mg_l": np.where(rng.random(n) < 0.05 + missing, np.nan, crp),
            "lactate_mmol_l": 0.5 * (age - 60) / 12 + rng.normal(2, 0.8, n),
            "smoker": rng.random(n) < 0.2,
            "visits": rng.poisson(1.0, n).clip(max=4),
            "ward": rng.choice(list(wards), n),
            "risk": 1 / (1 + np.exp(3 - age / 40 - rng.normal(0, 0.3, n))),
        }
    )
    return frame.with_columns(pl.col("crp_mg_l").fill_nan(None))
