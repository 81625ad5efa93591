"""Reasons of a score: contributions in clinical words that add up to the served log-odds.

What belongs here: choosing and wording contributions. What does not: computing them (``modelling.bundle``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from clinical_assets.serving.scoring.labels import FeatureLabel

if TYPE_CHECKING:
    from clinical_assets.modelling.bundle.contributions import Explanation

#: Contributions that an answer names; the others are added up in ``rest``.
NAMED = 5
Direction = Literal["raises", "lowers", "leaves"]


@dataclass(frozen=True)
class ScoreReason:
    """The share of one feature in the served log-odds.

    Attributes
    ----------
    feature, label, unit : str
        Name, what it is called, UCUM unit.
    value : float or None
        None where it is missing.
    contribution : float
        In log-odds.
    direction : "raises", "lowers" or "leaves"
        What it does to the risk.
    """

    feature: str
    label: str
    unit: str | None
    value: float | None
    contribution: float
    direction: Direction


@dataclass(frozen=True)
class Reasons:
    """base + sum of the reasons + rest = log_odds.

    Attributes
    ----------
    of_class : str
        Class whose log-odds are explained.
    base : float
        Log-odds before any feature is looked at.
    rest : float
        Contributions of the features that are not named.
    log_odds : float
        As served.
    """

    of_class: str
    base: float
    rest: float
    log_odds: float
    named: tuple[ScoreReason, ...]  # the largest first

    def largest(self, at_most: int) -> Reasons:
        """The same with so many reasons named, the others added to the rest."""
        more = math.fsum(each.contribution for each in self.named[at_most:])
        return replace(self, rest=self.rest + more, named=self.named[:at_most])


def reasons_of(
    explanation: Explanation,
    row: int,
    *,
    features: Mapping[str, float | None],
    labels: Mapping[str, FeatureLabel],
    classes: tuple[str, ...],
    chosen: int,
) -> Reasons:
    """Reasons of one row, every feature named.

    Parameters
    ----------
    explanation : Explanation
        Of several rows.
    row : int
        Which of them.
    features : mapping
        Values in the order of the model's features; None is missing.
    labels : mapping
        Of every feature.
    classes : tuple of str
        Of the model.
    chosen : int
        Number of the class that is explained where there are more than two; of two, it is always the second.
    """
    several = explanation.contributions.ndim == 3
    shares = explanation.contributions[row, :, chosen] if several else explanation.contributions[row]
    base = float(np.asarray(explanation.base)[chosen]) if several else float(np.asarray(explanation.base))
    log_odds = float(explanation.log_odds[row, chosen] if several else explanation.log_odds[row])
    names = list(features)
    order = sorted(range(len(names)), key=lambda place: (-abs(shares[place]), place))
    named = tuple(
        ScoreReason(
            feature=names[place],
            label=labels[names[place]].text,
            unit=labels[names[place]].unit,
            value=features[names[place]],
            contribution=float(shares[place]),
            direction=_direction(float(shares[place])),
        )
        for place in order
    )
    # What rounding leaves between the sum and the served log-odds belongs to no feature.
    rest = log_odds - base - math.fsum(each.contribution for each in named)
    return Reasons(classes[chosen] if several else classes[1], base, rest, log_odds, named)


def _direction(share: float) -> Direction:
    if share == 0:
        return "leaves"
    return "raises" if share > 0 else "lowers"
