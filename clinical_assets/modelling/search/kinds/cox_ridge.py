"""Cox's proportional hazards with a ridge penalty: the risk by the horizon of an outcome that is a time."""

from __future__ import annotations

from typing import Any

from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import HAZARD_START, hazard_penalty


def _model(parameters: Parameters, _: int, __: int) -> Any:
    # Candidates are listed where definitions load, without numpy; so is all that needs it.
    from clinical_assets.modelling.survival.estimators import ridge_hazards

    return ridge_hazards()(**parameters)


CANDIDATE = CandidateType(
    name="cox_ridge",
    simplicity=12,
    cost=12,
    model=_model,
    space=hazard_penalty,
    start=lambda _: dict(HAZARD_START),
    explanation="linear_hazard",
    timed=True,
)
