"""People with risk factors, of whom those who get one cancer within the horizon are sampled more densely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.sources.synthetic.cancer.rates import FIRST_AGE, SEXES, CancerRates, rates_of, yearly_risks
from clinical_assets.sources.synthetic.parts import check_count, check_share, labels

SMOKING = ("never", "former", "current")
SMOKING_SHARES = (0.55, 0.27, 0.18)
HEAVY_DRINKERS = 0.08
BMI_MEAN, BMI_SD = 27.5, 4.5
FACTORS = (
    "current_smoker",
    "former_smoker",
    "bmi_per_5",
    "heavy_drinker",
    "family_history",
    "specific",
    "cigarettes_per_10",
    "smoked_per_10_years",
    "stopped_per_10_years",
)
_HISTORY = FACTORS[-3:]
CIGARETTES = (5, 10, 15, 20, 30, 40)
CIGARETTE_SHARES = (0.12, 0.22, 0.13, 0.33, 0.12, 0.08)
STARTED_MEAN, STARTED_SD = 17.5, 3.5
# What a relative risk of 1 is at, among those who ever smoked.
_CIGARETTES, _YEARS_SMOKED, _YEARS_STOPPED = 20, 30, 10
ENDS = ("alive", "cancer", "death")
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class _People:
    age: IntArray
    sex: IntArray
    smoking: IntArray
    bmi: FloatArray
    heavy: IntArray
    family: IntArray
    specific: IntArray
    cigarettes: IntArray
    smoked: IntArray
    stopped: IntArray

    def factors(self) -> dict[str, FloatArray]:
        """What each relative risk is raised to, as (n,) each."""
        ever = (self.smoking > 0).astype(float)
        return {
            "current_smoker": (self.smoking == 2).astype(float),
            "former_smoker": (self.smoking == 1).astype(float),
            "bmi_per_5": (self.bmi - BMI_MEAN) / 5,
            "heavy_drinker": self.heavy.astype(float),
            "family_history": self.family.astype(float),
            "specific": self.specific.astype(float),
            "cigarettes_per_10": ever * (self.cigarettes - _CIGARETTES) / 10,
            "smoked_per_10_years": ever * (self.smoked - _YEARS_SMOKED) / 10,
            "stopped_per_10_years": (self.smoking == 1) * (self.stopped - _YEARS_STOPPED) / 10,
        }


def first_cancer(
    seed: int,
    *,
    incidence: str = "lung",
    share: float | Mapping[str, float] = 1.0,
    sexes: Sequence[str] = SEXES,
    factors: Mapping[str, Any] | None = None,
    ages: Sequence[int] = (30, 79),
    years: int = 10,
    rows: int = 3000,
    cases: int = 600,
    people: int = 200_000,
    family_share: float = 0.06,
    specific_share: float = 0.05,
    smoking_shares: Sequence[float] = SMOKING_SHARES,
    extras: Mapping[str, Any] | None = None,
) -> dict[str, pl.DataFrame]:
    """First cancer of one site within a horizon: published incidence times relative risk, with death competing.

    Model: the hazard of the cancer at age a and sex s is I(a, s) x share x RR / mean(RR | s), where RR is the product
    of the relative risks of a person's factors, so that the mean hazard of the people is the published incidence;
    death comes at the published mortality whatever the factors. Factors are independent of each other and of age, by
    the shares of this module, which are assumptions. People of one seed, ``ages``, ``sexes`` and ``people`` are the
    same for every site, but for the family history and the specific factor, whose shares differ.

    Sampling: ``cases`` people with the cancer and ``rows - cases`` others are drawn (systematic sampling);
    ``stands_for`` is the inverse of the chance to be drawn, so that weighted shares are those of the people. Of a
    rare cancer more people than ``people`` are stood for, and the least weight is 1. Nobody is lost to follow-up.

    Parameters
    ----------
    seed : int
        Seed of numpy's default generator.
    incidence : str
        Site of the table of published incidence.
    share : float or mapping
        Part of that incidence that is meant, for both sexes or by sex; 1 for the site itself.
    sexes : sequence of str
        ``female``, ``male`` or both.
    factors : mapping
        By factor (`FACTORS`) a mapping with ``relative_risk``: a number, or a mapping by sex. Other keys, such as
        ``interval`` and ``source``, are for readers. Never smokers, no heavy drinking, no family history and a body
        mass index of 27.5 kg/m2 have a relative risk of 1.
    ages : two int
        Youngest and oldest age at the start, from 20.
    years : int
        Horizon in years.
    rows, cases, people : int
        Records wanted, those with the cancer among them, and people to draw from.
    family_share, specific_share : float
        Share of people with a family history of this cancer, and with the site's specific factor.
    smoking_shares : three float
        Shares of `SMOKING` among the people.
    extras : mapping
        More factors, by the name of their column: ``values`` (integers), ``shares`` of the people who have each, and
        ``relative_risks`` of each. Independent of all else. Other keys are for readers.

    Returns
    -------
    dict
        Table ``people``: person_id, age (whole years), sex, smoking, bmi (kg/m2), heavy_drinker, family_history,
        specific_factor (0/1), the extras, cigarettes_per_day, years_smoked and years_since_stopped (0 for never
        smokers) where ``factors`` has one of these, follow_up_days, ended_with (`ENDS`), stands_for. Table ``truth``:
        person_id, and ``risk``, the true chance of the cancer within the horizon.

    Raises
    ------
    ValueError
        When a value is impossible, a sex has no published incidence, or so many cases are asked for that somebody
        would have to be drawn for certain.
    """
    for name, value in (("rows", rows), ("cases", cases), ("people", people), ("years", years)):
        check_count(name, value)
    for name, part in (("family_share", family_share), ("specific_share", specific_share)):
        check_share(name, part)
    if cases >= rows or rows - cases > people:
        raise ValueError("rows must be more than cases, and the others no more than people")
    rates = _rates(incidence, share, sexes)
    random = np.random.default_rng(seed)
    drawn = _draw(
        random,
        people,
        sexes=sexes,
        ages=ages,
        family_share=family_share,
        specific_share=specific_share,
        smoking_shares=smoking_shares,
    )
    more, log_more = _extras(np.random.default_rng([seed, 1]), people, extras or {})
    if set(_HISTORY) & set(factors or {}):
        more |= {"cigarettes_per_day": drawn.cigarettes, "years_smoked": drawn.smoked}
        more["years_since_stopped"] = drawn.stopped
    relative = _relative(drawn, factors or {}, log_more)
    cancer, death = yearly_risks(drawn.age, drawn.sex, relative, rates=rates, years=years)
    risk, dies = cancer.sum(axis=1), death.sum(axis=1)
    dense, thin = cases / risk.sum(), (rows - cases) / (1 - risk).sum()
    if dense * risk.max() > 1:
        raise ValueError(
            f"{cases} cases are too many of {people:,} people: raise people to {int(people * dense * risk.max()) + 1:,}"
        )
    # Drawn apart from each other: they stand for different people with the same factors.
    ill, well = _systematic(random, dense * risk), _systematic(random, thin * (1 - risk))
    least = min(1 / dense, 1 / thin, 1.0)
    weight = np.concatenate((np.full(len(ill), 1 / dense), np.full(len(well), 1 / thin))) / least
    died = random.random(len(well)) < dies[well] / (1 - risk[well])
    ended = np.concatenate((np.ones(len(ill), dtype=int), np.where(died, 2, 0)))
    place = np.concatenate((ill, well))
    time = np.full(len(place), float(years))
    for code, chances in ((1, cancer), (2, death)):
        time[ended == code] = _when(random, chances[place[ended == code]])
    order = random.permutation(len(place))
    return _tables(drawn, more, place[order], ended[order], time[order], weight[order], risk)


def _rates(incidence: str, share: float | Mapping[str, float], sexes: Sequence[str]) -> CancerRates:
    if not sexes or set(sexes) - set(SEXES):
        raise ValueError(f"sexes are {list(sexes)}; they must be of {', '.join(SEXES)}")
    part = [float(share.get(sex, 0.0) if isinstance(share, Mapping) else share) for sex in SEXES]
    rates = rates_of(incidence)
    for sex in sexes:
        number = SEXES.index(sex)
        if part[number] <= 0 or np.isnan(rates.incidence[number]).any():
            raise ValueError(f"{incidence} has no incidence for sex {sex}")
    return CancerRates(rates.incidence * np.array(part)[:, None], rates.mortality)


def _draw(
    random: np.random.Generator,
    people: int,
    *,
    sexes: Sequence[str],
    ages: Sequence[int],
    family_share: float,
    specific_share: float,
    smoking_shares: Sequence[float],
) -> _People:
    youngest, oldest = ages
    if not FIRST_AGE <= youngest < oldest <= 100:
        raise ValueError(f"ages are {list(ages)}; they must rise, from {FIRST_AGE} to 100")
    numbers = np.array([SEXES.index(sex) for sex in sexes])
    age, sex = random.integers(youngest, oldest + 1, people), numbers[random.integers(0, len(numbers), people)]
    smoking = random.choice(len(SMOKING), size=people, p=tuple(smoking_shares))
    history = np.random.default_rng(random.bit_generator.seed_seq.spawn(1)[0])  # type: ignore[attr-defined]
    started = np.round(history.normal(STARTED_MEAN, STARTED_SD, people)).clip(10, 30).astype(int)
    since = np.where(smoking > 0, np.maximum(age - started, 1), 0)
    smoked = np.where(smoking == 1, np.maximum(np.round(since * history.uniform(0.2, 0.95, people)), 1), since)
    return _People(
        age=age,
        sex=sex,
        smoking=smoking,
        bmi=np.round(random.normal(BMI_MEAN, BMI_SD, people).clip(15, 60), 1),
        heavy=(random.random(people) < HEAVY_DRINKERS).astype(int),
        family=(random.random(people) < family_share).astype(int),
        specific=(random.random(people) < specific_share).astype(int),
        cigarettes=np.where(smoking > 0, history.choice(CIGARETTES, size=people, p=CIGARETTE_SHARES), 0),
        smoked=smoked.astype(int),
        stopped=np.where(smoking == 1, since - smoked, 0).astype(int),
    )


def _extras(
    random: np.random.Generator, people: int, extras: Mapping[str, Any]
) -> tuple[dict[str, IntArray], FloatArray]:
    """Values of each extra factor (people,), and the sum of the logarithms of their relative risks."""
    drawn, log_relative = dict[str, IntArray](), np.zeros(people)
    for name, said in extras.items():
        values, shares, risks = (np.array(said[key], float) for key in ("values", "shares", "relative_risks"))
        if not len(values) == len(shares) == len(risks) or (risks <= 0).any() or abs(shares.sum() - 1) > 1e-6:
            raise ValueError(f"{name} needs as many values, shares that sum to 1, and relative risks above 0")
        place = random.choice(len(values), size=people, p=shares / shares.sum())
        drawn[name] = values[place].astype(int)
        log_relative += np.log(risks)[place]
    return drawn, log_relative


def _relative(drawn: _People, factors: Mapping[str, Any], log_more: FloatArray) -> FloatArray:
    """Hazard of each person over the mean of their sex."""
    if unknown := sorted(set(factors) - set(FACTORS)):
        raise ValueError(f"there is no factor {unknown[0]!r}; there are {', '.join(FACTORS)}")
    log_relative = log_more.copy()
    for name, values in drawn.factors().items():
        said = factors.get(name, {"relative_risk": 1.0})["relative_risk"]
        by_sex = np.array([float(said.get(sex, 1.0) if isinstance(said, Mapping) else said) for sex in SEXES])
        if (by_sex <= 0).any():
            raise ValueError(f"the relative risk of {name} is {said}; it must be above 0")
        log_relative += np.log(by_sex)[drawn.sex] * values
    relative = np.exp(log_relative)
    for number in np.unique(drawn.sex):
        same = drawn.sex == number
        relative[same] /= relative[same].mean()
    return relative


def _systematic(random: np.random.Generator, chances: FloatArray) -> IntArray:
    """Places drawn with the given chances (n,), at most 1 each; their number is the chances' sum, give or take one."""
    steps = np.floor(chances.cumsum() - random.random())
    return np.flatnonzero(np.diff(steps, prepend=-1.0) > 0)


def _when(random: np.random.Generator, chances: FloatArray) -> FloatArray:
    """Time in years of an event that comes, given its chances by year (n, years)."""
    reached = random.random(len(chances)) * chances.sum(axis=1)
    year = (chances.cumsum(axis=1) <= reached[:, None]).sum(axis=1).clip(0, chances.shape[1] - 1)
    return np.asarray(year + random.random(len(chances)))


def _tables(
    drawn: _People,
    more: Mapping[str, IntArray],
    place: IntArray,
    ended: IntArray,
    time: FloatArray,
    weight: FloatArray,
    risk: FloatArray,
) -> dict[str, pl.DataFrame]:
    number = np.arange(1, len(place) + 1, dtype=np.int64)
    people = pl.DataFrame(
        {
            "person_id": number,
            "age": drawn.age[place],
            "sex": labels(SEXES, drawn.sex[place]),
            "smoking": labels(SMOKING, drawn.smoking[place]),
            "bmi": drawn.bmi[place],
            "heavy_drinker": drawn.heavy[place],
            "family_history": drawn.family[place],
            "specific_factor": drawn.specific[place],
            **{name: values[place] for name, values in more.items()},
            # Within the horizon to the day: an event in its last hours counts for its last day.
            "follow_up_days": np.floor(time * _DAYS_PER_YEAR).clip(1, None).astype(np.int64),
            "ended_with": labels(ENDS, ended),
            "stands_for": np.round(weight, 6),
        }
    )
    return {"people": people, "truth": pl.DataFrame({"person_id": number, "risk": risk[place]})}
