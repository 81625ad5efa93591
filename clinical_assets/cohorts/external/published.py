"""A published formula as a candidate: coefficients, transformations and baseline risk as a paper prints them.

What belongs here: the form in which a description writes a formula. Computing it is the work of
``clinical_assets.modelling.search.published``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Name, Strict

#: A candidate of this ending is the formula with its risks recalibrated on the cohort.
RECALIBRATED = "_recalibrated"


class Band(Strict):
    """A value of a points table: what counts from a value of the feature on, up to the next band."""

    from_: float = Field(alias="from")
    value: float


class FormulaTerm(Strict):
    """One term of a sum: ``coefficient`` times the transformed feature, or the value of the feature's band.

    ``lowest`` and ``highest`` hold the feature within what the formula was made for. ``only_if`` names features of
    0/1 (or codes) and the value that each must have for the term to count, such as a drug that changes a slope.
    """

    feature: Name
    coefficient: float = 1
    transform: Literal["none", "log", "square", "square_root", "inverse"] = "none"
    lowest: float | None = None
    highest: float | None = None
    bands: tuple[Band, ...] = ()
    only_if: dict[Name, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        if any(low.from_ >= high.from_ for low, high in pairwise(self.bands)):
            raise ValueError(f"the bands of {self.feature} do not rise: write the lowest first, each once")
        if self.bands and self.transform != "none":
            raise ValueError(f"{self.feature} has bands and a transform: a band's value stands for the feature")
        if self.transform in ("log", "square_root", "inverse") and (self.lowest is None or self.lowest <= 0):
            raise ValueError(f"{self.transform} of {self.feature} needs `lowest` above 0, so that it has a value")
        return self


class Equation(Strict):
    """The formula for those for whom every feature of ``when`` has its value; without ``when``, for all others."""

    when: dict[Name, float] = Field(default_factory=dict)
    intercept: float = 0
    baseline_survival: float | None = Field(
        default=None, gt=0, lt=1, description="Of a Cox model: share free of the event at the horizon."
    )
    mean: float = Field(default=0, description="Of a Cox model: the sum at which the baseline holds.")
    terms: tuple[FormulaTerm, ...] = Field(min_length=1)


class Published(Strict):
    """A formula with its source. It is never refitted; medians of the training rows stand for missing inputs.

    ``logistic``: risk = 1 / (1 + exp(-sum)). ``cox``: risk = 1 - baseline_survival ^ exp(sum - mean). ``points``: the
    risk of the band of ``risks`` in which the sum of points lies.
    """

    source: str = Field(min_length=1)
    doi: str | None = None
    population: str = Field(min_length=1, description="In whom it was developed.")
    outcome: str = Field(min_length=1, description="What its risk is the risk of, and by when.")
    form: Literal["logistic", "cox", "points"]
    equations: tuple[Equation, ...] = Field(min_length=1)
    risks: tuple[Band, ...] = Field(default=(), description="Of points: risk from a number of points on.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        *some, last = self.equations
        if last.when or not all(each.when for each in some):
            raise ValueError("the last equation holds for all others and has no `when`; every other has one")
        if self.form == "cox" and any(each.baseline_survival is None for each in self.equations):
            raise ValueError("a Cox model needs `baseline_survival` in every equation")
        if self.form != "cox" and any(each.baseline_survival is not None for each in self.equations):
            raise ValueError(f"`baseline_survival` belongs to form cox, not to {self.form}")
        if (self.form == "points") != bool(self.risks):
            raise ValueError("form points needs `risks`, and no other form has them")
        if any(low.from_ >= high.from_ for low, high in pairwise(self.risks)):
            raise ValueError("`risks` do not rise by points: write the lowest first, each once")
        if not all(0 < band.value < 1 for band in self.risks):
            raise ValueError("a risk of points lies between 0 and 1, both excluded")
        return self

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature that the formula reads, each once."""
        read = (
            name
            for each in self.equations
            for name in (*each.when, *(n for term in each.terms for n in (term.feature, *term.only_if)))
        )
        return tuple(dict.fromkeys(read))


def formula_name(candidate: str) -> str:
    """Name of the formula behind a candidate.

    >>> formula_name("framingham_recalibrated"), formula_name("framingham")
    ('framingham', 'framingham')
    """
    return candidate.removesuffix(RECALIBRATED)
