"""Published incidence and mortality by sex and age, and the absolute risk that follows from them."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_assets.foundation.types import FloatArray, IntArray

SEXES = ("female", "male")
FIRST_AGE = 20
"""Age at which the first column of the tables begins; each has five years, the last is open."""
_BAND = 5
_FOLDER = Path(__file__).parent
#: No site stands in both.
_INCIDENCE = ("incidence.csv", "incidence_scotland.csv")
_POPULATION = "population"


@dataclass(frozen=True)
class CancerRates:
    """Events per person-year.

    Attributes
    ----------
    incidence, mortality : ndarray of shape (2, 14)
        Rows as `SEXES`, columns by age from 20-24 to 85 and above. Not a number where a sex cannot have the cancer.
    """

    incidence: FloatArray
    mortality: FloatArray


def rates_of(site: str) -> CancerRates:
    """CancerRates of one of the published sites.

    Raises
    ------
    ValueError
        When the table has no such site.
    """
    tables = [_table(name) for name in _INCIDENCE]
    table = next((each for each in tables if any(known == site for known, _ in each)), None)
    if table is None or site == _POPULATION:
        known = sorted({name for each in tables for name, _ in each} - {_POPULATION})
        raise ValueError(f"there is no published incidence of {site!r}; there is of {', '.join(known)}")
    nobody = np.full(len(table[_POPULATION, "female"]), np.nan)
    incidence = np.stack([table.get((site, sex), nobody) / table[_POPULATION, sex] for sex in SEXES])
    mortality = _table("mortality.csv")
    return CancerRates(incidence, np.stack([mortality["", sex] for sex in SEXES]))


def yearly_risks(
    age: IntArray, sex: IntArray, relative: FloatArray, *, rates: CancerRates, years: int
) -> tuple[FloatArray, FloatArray]:
    """Chance of the first cancer, and of death before it, in each year to come.

    Hazards are constant within a year of age: the cancer's is the incidence times ``relative``, that of death the
    mortality. In a year that begins free of both with chance S, the cancer comes first with chance
    S a / (a + b) (1 - exp(-a - b)); the sum over years is the Aalen-Johansen risk (Gail et al. 1989,
    doi 10.1093/jnci/81.24.1879).

    Parameters
    ----------
    age : int array of shape (n,)
        Whole years, from 20.
    sex : int array of shape (n,)
        Place in `SEXES`.
    relative : float array of shape (n,)
        Hazard of the cancer, relative to the published incidence; 0 and above.
    rates : CancerRates
        Events per person-year.
    years : int
        Length of the horizon.

    Returns
    -------
    tuple of ndarray of shape (n, years)
        Chances of the cancer and of death in each year.
    """
    cancer, death = np.empty((len(age), years)), np.empty((len(age), years))
    free = np.ones(len(age))
    last = rates.incidence.shape[1] - 1
    for year in range(years):
        band = np.minimum((age + year - FIRST_AGE) // _BAND, last)
        hazards = rates.incidence[sex, band] * relative, rates.mortality[sex, band]
        both = hazards[0] + hazards[1]
        leaves = free * -np.expm1(-both)
        cancer[:, year], death[:, year] = leaves * hazards[0] / both, leaves * hazards[1] / both
        free = free * np.exp(-both)
    return cancer, death


@functools.cache
def _table(name: str) -> dict[tuple[str, str], FloatArray]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row.pop("site", ""), row.pop("sex")): np.array([float(cell or 0) for cell in row.values()]) for row in rows
    }
