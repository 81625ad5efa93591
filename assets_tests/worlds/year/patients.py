"""Patients drawn from a truth that is known, and what becomes of them. All of them are made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Truth:
    """Who comes, what they have, and what becomes of them; the defaults are the ward that the model was trained on.

    Attributes
    ----------
    age_years, age_spread : float
        Mean and standard deviation of age.
    shift : float
        Added to everybody's log-odds: another prevalence for the same patients.
    steepness : float
        Multiplies what patients differ by in log-odds: below 1, risks spread too far.
    a, b : float
        Log-odds per unit of the markers: changed, the markers mean something else.
    men : float
        Added to the log-odds of men, and taken from those of women.
    pressure : float or None
        What a broken sensor says of everybody.
    """

    age_years: float = 65.0
    age_spread: float = 10.0
    shift: float = 0.0
    steepness: float = 1.0
    a: float = 1.0
    b: float = -0.8
    men: float = 0.0
    pressure: float | None = None


@dataclass(frozen=True)
class Arrived:
    """Patients as columns: what a file of records holds, and what becomes known later."""

    records: dict[str, list[Any]]
    died: np.ndarray
    risk: np.ndarray

    def rows(self, *, later: bool = False) -> list[dict[str, Any]]:
        """Records, with their outcome if it is known."""
        columns = {**self.records, "died": self.words()} if later else self.records
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def outcomes(self, **more: list[Any]) -> list[dict[str, Any]]:
        """Rows of an outcome file."""
        columns = {"patient_id": self.records["patient_id"], "died": self.words(), **more}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def words(self) -> list[str]:
        return ["yes" if each else "no" for each in self.died]


def patients(count: int, *, truth: Truth | None = None, seed: int, prefix: str = "W") -> Arrived:
    """Draw patients from a truth."""
    told, rng = truth or Truth(), np.random.default_rng(seed)
    age = np.clip(np.rint(rng.normal(told.age_years, told.age_spread, count)), 20, 100)
    a, b = rng.normal(size=count), rng.normal(size=count)
    pressure = rng.normal(130, 15, count)
    male = rng.random(count) < 0.5
    differs = 0.04 * (age - 65) + told.a * a + told.b * b - 0.02 * (pressure - 130)
    odds = -1.0 + told.shift + told.steepness * differs + np.where(male, told.men, -told.men)
    risk = 1 / (1 + np.exp(-odds))
    died = rng.random(count) < risk
    shown = pressure if told.pressure is None else np.full(count, told.pressure)
    records: dict[str, list[Any]] = {
        "patient_id": [f"{prefix}{number:05d}" for number in range(count)],
        "age_years": age.astype(int).tolist(),
        "sex": np.where(male, "m", "f").tolist(),
        "marker_a": a.round(4).tolist(),
        "marker_b": b.round(4).tolist(),
        "pressure_mmhg": shown.round(1).tolist(),
    }
    return Arrived(records, died, risk)
