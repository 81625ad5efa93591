"""Were there enough patients to develop this model? The statement that a card prints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.statistics.sample_size import (
    development_sample_size,
    max_cox_snell_r2,
    r2_from_auroc,
    r2_from_nagelkerke,
)

ASSUMED_NAGELKERKE = 0.15
#: People with each outcome that the validation of an existing model asks for at least.
VALIDATED_WITH = 100


@dataclass(frozen=True)
class SampleSize:
    """What Riley's criteria ask for, and what there was.

    Attributes
    ----------
    n, events : int
        People in the training rows, and those with an event; rows of one person are not independent.
    n_parameters : int
        Columns that were fitted: features with their flags of missing values.
    r2_cox_snell : float
        Explained variation that the criteria assume.
    r2_source : str
        Where it comes from.
    required : int
        People needed; the largest of the three criteria.
    is_met : bool
    events_per_parameter : float
        People with the rarer outcome per parameter, as they were.
    statement : str
        One sentence for people.
    """

    n: int
    events: int
    n_parameters: int
    r2_cox_snell: float
    r2_source: str
    required: int
    is_met: bool
    events_per_parameter: float
    statement: str


def people_of(subjects: ArrayLike, event: ArrayLike) -> tuple[int, int]:
    """How many people stand behind rows, and how many of them have an event in any row.

    Parameters
    ----------
    subjects : array of shape (n,)
        Whose row it is.
    event : array of bool, shape (n,)
        Whether the row's outcome is an event.
    """
    _, person = np.unique(np.asarray(subjects), return_inverse=True)
    by_person = np.bincount(person.reshape(-1), weights=np.asarray(event, dtype=np.float64))
    return int(by_person.size), int((by_person > 0).sum())


def state_sample_size(*, n: int, events: int, n_parameters: int, auroc: float | None) -> SampleSize:
    """Compare the training people with the criteria of Riley et al. for a binary outcome.

    Parameters
    ----------
    n, events : int
        People in the training rows, and those of them with an event.
    n_parameters : int
        Columns that were fitted; 0 for a published formula, which is validated: 100 of each outcome are asked for.
    auroc : float or None
        Nested estimate; where it is None or not above .5 a Nagelkerke R2 of .15 is assumed, as the authors advise.

    Raises
    ------
    InsufficientData
        A class is missing.

    Source: Riley et al. 2019, doi 10.1002/sim.7992; R2 from AUROC: Riley et al. 2021, doi 10.1002/sim.8806; validation
    of a model: Collins et al. 2016, doi 10.1002/sim.6787.
    """
    if not 0 < events < n:
        raise InsufficientData(
            f"{events} of {n} people have an event: both outcomes are needed.", cure="Widen the cohort or the horizon."
        )
    if n_parameters == 0:
        return _external(n=n, events=events)
    prevalence = events / n
    if auroc is not None and 0.5 < auroc < 1:
        r2, source = r2_from_auroc(auroc, prevalence=prevalence), f"nested AUROC {auroc:.3f}"
    else:
        r2, source = r2_from_nagelkerke(ASSUMED_NAGELKERKE, prevalence=prevalence), "assumed Nagelkerke R2 of .15"
    # An AUROC within a hair of .5 or 1 implies an R2 outside what the criteria are defined for.
    r2 = min(max(r2, 1e-4), 0.999 * min(0.9, max_cox_snell_r2(prevalence)))
    needed = development_sample_size(n_parameters=n_parameters, prevalence=prevalence, r2_cox_snell=r2)
    rarer = min(events, n - events)
    met = needed.is_met_by(n)
    statement = (
        f"{n} people in the training rows, {events} with an event, for {n_parameters} fitted parameters "
        f"({rarer / n_parameters:.1f} of the rarer outcome per parameter); the criteria of Riley et al. ask for "
        f"{needed.required} at this prevalence and explained variation ({source}): "
        f"{'met' if met else 'NOT met, the sample is small'}."
    )
    return SampleSize(n, events, n_parameters, r2, source, needed.required, met, rarer / n_parameters, statement)


def _external(*, n: int, events: int) -> SampleSize:
    """What the validation of a published formula asks for: `VALIDATED_WITH` people with each outcome."""
    rarer = min(events, n - events)
    required, met = math.ceil(VALIDATED_WITH * n / rarer), rarer >= VALIDATED_WITH
    statement = (
        f"{n} people in the training rows, {events} with an event; nothing was fitted to them. To validate a published "
        f"formula {VALIDATED_WITH} of each outcome are asked for (Collins et al.), about {required} people at this "
        f"prevalence: {'met' if met else 'NOT met, the sample is small'}."
    )
    return SampleSize(n, events, 0, 0.0, "nothing was fitted", required, met, float(rarer), statement)
