"""Made-up times to events with a known risk by the horizon, some censored before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from assets_tests.worlds.descriptions import minimal
from assets_tests.worlds.tables.training import Table
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.search.kinds import KINDS
from clinical_assets.modelling.survival.targets import TARGET
from clinical_assets.modelling.table.inputs import ModelInput, model_input

HORIZON = 100
#: Candidates that learn from classes; the others learn from times.
BY_CLASS = tuple(name for name, kind in KINDS.items() if not kind.timed)
FEATURES = ("x0", "x1", "x2", "x3")


def survival_spec(*, competing: bool = False, **modelling: Any) -> CohortSpec:
    """A description whose outcome is a time to an event within `HORIZON` days."""
    codes = {"event_values": ["event"], "competing": ["other"]} if competing else {}
    return CohortSpec.model_validate(
        {
            **minimal(),
            "outcome": {"time": "followed", "event": "status", "horizon_days": HORIZON, **codes},
            "modelling": {
                "candidates": ["logistic_ridge"],
                "search": {"trials": 2, "inner_folds": 2, "outer_folds": 3, "seed": 11},
                **modelling,
            },
        }
    )


def made_up_times(
    n: int, *, seed: int, competing: bool = False, strength: float = 1.0, missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 4), whole days (n,) and codes (n,); a third has the event by the horizon, a fifth is lost."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(FEATURES)))
    hazard = np.exp(strength * (0.8 * X[:, 0] - 0.5 * X[:, 1]))
    times = [rng.exponential(420.0, n), rng.exponential(200.0 / hazard)]
    if competing:
        times.append(rng.exponential(300.0 * np.exp(-0.4 * X[:, 2])))
    X[rng.random(X.shape) < missing] = np.nan
    code = np.argmin(times, axis=0)
    return X, np.ceil(np.min(times, axis=0)), code


def survival_table(n: int, *, seed: int, competing: bool = False, strength: float = 1.0, missing: float = 0.0) -> Table:
    """What training reads of `made_up_times`; weights for the censored are those of the outcome model."""
    X, days, code = made_up_times(n, seed=seed, competing=competing, strength=strength, missing=missing)
    frame = pl.DataFrame({"patient_id": [f"p{i:05d}" for i in range(n)]}).with_columns(
        **{name: pl.Series(X[:, j]).fill_nan(None) for j, name in enumerate(FEATURES)},
        outcome=pl.Series((code == 1) & (days <= HORIZON)).cast(pl.Int64),
        case_weight=pl.Series(weights_for_censored(days, code)),
        follow_up_days=pl.Series(days),
        event_code=pl.Series(code),
        sex=pl.Series(np.where(np.arange(n) % 2, "m", "f")),
    )
    lost = (frame["event_code"] == 0) & (frame["follow_up_days"] < HORIZON)
    censored = frame.filter(lost).with_columns(
        outcome=pl.lit(None, dtype=pl.Int64), case_weight=pl.lit(None, dtype=pl.Float64)
    )
    return Table(frame.filter(~lost), ("patient_id",), "patient_id", FEATURES, ("sex",), censored=censored)


def weights_for_censored(days: np.ndarray, code: np.ndarray) -> np.ndarray:
    """1 / G just before the end of follow-up or the horizon, by Kaplan-Meier of the censoring."""
    times = np.unique(days[code == 0])
    # Events of a day come before its censored.
    exposed = np.array([((days > t) | ((days == t) & (code == 0))).sum() for t in times])
    left = np.cumprod(1 - np.array([((days == t) & (code == 0)).sum() for t in times]) / exposed)
    before = np.searchsorted(times, np.minimum(days, HORIZON), side="left")
    return 1 / np.concatenate([[1.0], left])[before]


def followed_up(n: int, *, seed: int, **how: Any) -> ModelInput:
    """The rows of `survival_table` as arrays."""
    return model_input(survival_table(n, seed=seed, **how), survival_spec(competing=how.get("competing", False)))


def target_for(name: str, y: np.ndarray) -> Any:
    """Classes (n,), or for a candidate that learns from times the same as times: an event, or none by the horizon."""
    if not KINDS[name].timed:
        return y
    target = np.empty(y.size, dtype=TARGET)
    target["time"] = np.where(y == 1, 0.01 * (1 + np.arange(y.size) % 97), 1.0)
    target["event"] = y
    return target
