"""Feature tables and descriptions for the tests of this room; all records are made up or scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets_tests.worlds.descriptions import minimal
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.table.inputs import ModelInput, model_input


@dataclass(frozen=True)
class Table:
    """What training reads, without a warehouse."""

    frame: pl.DataFrame
    key: tuple[str, ...]
    subject: str
    feature_columns: tuple[str, ...]
    protected: tuple[str, ...] = ()
    digest: str = "sha256:test"
    censored: pl.DataFrame | None = None

    def protected_column(self, attribute: str) -> str:
        return f"{attribute}_group" if attribute in self.feature_columns else attribute


def make_spec(
    *,
    candidates: tuple[str, ...] = ("logistic_ridge",),
    classes: tuple[str, ...] = ("no", "yes"),
    trials: int = 2,
    inner: int = 2,
    outer: int = 3,
    seed: int = 11,
    columns: dict[str, Any] | None = None,
    **modelling: Any,
) -> CohortSpec:
    """A right description with a tiny search; `columns` are added to the subject table."""
    content = minimal()
    content["target"]["classes"] = list(classes)
    content["target"]["action_from"] = modelling.pop("action_from", 1)
    for part in ("costs", "limits"):
        if part in modelling:
            content["decisions"].setdefault(part, {}).update(modelling.pop(part))
    if "prediction" in modelling:
        content["prediction"] |= modelling.pop("prediction")
    content["tables"]["subjects"]["columns"] |= columns or {}
    content["modelling"] = {
        "candidates": list(candidates),
        "search": {"trials": trials, "inner_folds": inner, "outer_folds": outer, "seed": seed},
        **modelling,
    }
    return CohortSpec.model_validate(content)


def make_table(
    X: np.ndarray,
    y: np.ndarray,
    *,
    names: tuple[str, ...] | None = None,
    subjects: np.ndarray | None = None,
    sex: np.ndarray | None = None,
    extra: dict[str, Any] | None = None,
) -> Table:
    """Rows with keys p00000, p00001, ... ; with `subjects`, the key is a row number and subjects repeat."""
    n, p = X.shape
    names = names or tuple(f"x{j}" for j in range(p))
    numbers = np.arange(n)
    frame = pl.DataFrame({"patient_id": [f"p{i:05d}" for i in (numbers if subjects is None else subjects)]})
    key: tuple[str, ...] = ("patient_id",)
    if subjects is not None:
        frame = frame.with_columns(visit=pl.Series(numbers))
        key = ("patient_id", "visit")
    frame = frame.with_columns(
        **{name: pl.Series(X[:, j]).fill_nan(None) for j, name in enumerate(names)},
        outcome=pl.Series(y.astype(np.int64)),
        sex=pl.Series(np.where(numbers % 2, "m", "f") if sex is None else sex),
        **(extra or {}),
    )
    return Table(frame, key, "patient_id", names, ("sex",))


def made_up(n: int = 300, p: int = 5, *, seed: int = 0, missing: float = 0.05, strength: float = 1.0) -> Table:
    """A logistic outcome of about 35 % on normal features, some values missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    beta = strength * np.array([(-1) ** j / (1 + j) for j in range(p)])
    y = (rng.random(n) < 1 / (1 + np.exp(0.8 - X @ beta))).astype(np.int64)
    X[rng.random(X.shape) < missing] = np.nan
    return make_table(X, y)


def as_input(table: Table, spec: CohortSpec | None = None) -> ModelInput:
    """The table's rows as arrays."""
    return model_input(table, spec or make_spec())
