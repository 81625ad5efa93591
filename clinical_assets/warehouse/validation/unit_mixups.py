"""When a value outside its limits would fit after a change of unit, the finding can say so.

What belongs here: which units are mixed up in practice, and their factors. Nothing is ever converted: a value in the
wrong unit is refused or reported, and the data's owner decides.

Factors between mass and substance concentration are molar masses: cholesterol 386.65 g/mol, glucose 180.16 g/mol,
triglycerides 885.7 g/mol (as triolein), creatinine 113.12 g/mol. Described
units are UCUM codes; the ones that a value may have been recorded in are named for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from clinical_assets.cohorts.tables import Column


@dataclass(frozen=True)
class Mixup:
    """A unit that a value may have been recorded in by mistake: described = ``slope`` x recorded + ``intercept``."""

    unit: str
    slope: float
    intercept: float = 0.0

    @property
    def conversion(self) -> str:
        """The conversion in words."""
        offset = f" {'+' if self.intercept > 0 else '-'} {abs(self.intercept):.4g}" if self.intercept else ""
        return f"times {self.slope:.4g}{offset}"


_BY_UNIT: dict[str, tuple[Mixup, ...]] = {
    "m": (Mixup("cm", 0.01), Mixup("mm", 0.001), Mixup("inches", 0.0254)),
    "cm": (Mixup("m", 100.0), Mixup("mm", 0.1), Mixup("inches", 2.54)),
    "mm": (Mixup("cm", 10.0), Mixup("m", 1000.0)),
    "kg": (Mixup("pounds", 0.45359237), Mixup("g", 0.001)),
    "g": (Mixup("kg", 1000.0),),
    "Cel": (Mixup("degrees Fahrenheit", 5 / 9, -160 / 9),),
    "[degF]": (Mixup("degrees Celsius", 1.8, 32.0),),
    "mm[Hg]": (Mixup("kPa", 7.50062), Mixup("cmHg", 10.0)),
    "kPa": (Mixup("mmHg", 0.133322),),
    "%": (Mixup("proportions of 1", 100.0),),
    "1": (Mixup("percent", 0.01),),
}

_SUBSTANCES: tuple[tuple[str, float], ...] = (
    ("chol|hdl|ldl", 38.67),
    ("gluc|glyc(a)?emia", 18.016),
    ("triglyc", 88.57),
    ("creat", 11.312),
)
"""Word in the column's name or description, and mg/dL per mmol/L."""


def candidates(name: str, column: Column) -> tuple[Mixup, ...]:
    """Units that the values of a column may have been recorded in by mistake, the most common first.

    Only numeric columns with a unit have any; concentrations only when name or description says of what.
    """
    if column.type not in ("integer", "number") or column.unit is None:
        return ()
    if column.unit == "1" and column.type == "integer":
        return ()
    if column.unit in ("mg/dL", "mmol/L", "umol/L"):
        text = f"{name} {column.description}".lower()
        factor = next((factor for word, factor in _SUBSTANCES if re.search(word, text)), None)
        if factor is None:
            return ()
        return {
            "mg/dL": (Mixup("mmol/L", factor), Mixup("umol/L", factor / 1000)),
            "mmol/L": (Mixup("mg/dL", 1 / factor), Mixup("umol/L", 0.001)),
            "umol/L": (Mixup("mg/dL", 1000 / factor), Mixup("mmol/L", 1000.0)),
        }[column.unit]
    return _BY_UNIT.get(column.unit, ())


def cure_for(name: str, column: Column, mixup: Mixup) -> str:
    """What to do about a value that would fit if it was recorded in another unit."""
    return (
        f"The value would fit if it was recorded in {mixup.unit}: {name} is described in {column.unit}, "
        f"so convert it at the source ({mixup.conversion})."
    )


def fits(values: pl.Expr, column: Column, mixup: Mixup) -> pl.Expr:
    """True where a value, taken as recorded in ``mixup.unit``, lies within the column's limits after conversion."""
    low, high = column.plausible or column.range or (None, None)
    converted = values * mixup.slope + mixup.intercept
    within = pl.lit(True)
    if low is not None:
        within = within & (converted >= low)
    if high is not None:
        within = within & (converted <= high)
    return within
