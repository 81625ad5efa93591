"""How certain the risks of a fitted model are, where that can be had cheaply and was seen to be true in simulation.

What belongs here: for which models an interval is given, and its covariance from the training rows. What does not: the
formula (``statistics.calibration.linear_uncertainty``), and the interval of a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.cohorts.decisions import SAMPLERS
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.candidate_type import CandidateType
from clinical_assets.modelling.search.search import Tuned
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.statistics.calibration.linear_uncertainty import coefficient_factor

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

#: Fewer subjects of the rarer class per column than this, and the interval was seen to be too wide to be called 95 %.
MIN_PER_COLUMN = 5
#: Columns of which the bundle keeps a covariance: 200 are half a megabyte.
MAX_COLUMNS = 200


@dataclass(frozen=True)
class RiskUncertainty:
    """What is known of the uncertainty of a model's risks.

    Attributes
    ----------
    factor : array of shape (k, k), or None
        Lower triangular; of the covariance of intercept and coefficients of the served log-odds.
    missing : str
        Why there is none, as a sentence; empty where there is one.
    """

    factor: FloatArray | None
    missing: str = ""


def risk_uncertainty(kind: CandidateType, tuned: Tuned, pipeline: Pipeline, data: ModelInput) -> RiskUncertainty:
    """The uncertainty of a final model.

    Parameters
    ----------
    kind : CandidateType
        What the candidate declares.
    tuned : Tuned
        The search that led to it, with the risks of rows that its folds had not seen.
    pipeline : scikit-learn Pipeline
        Fitted on all of the data, without a sampler.
    data : ModelInput
        Training rows.
    """
    if len(data.classes) != 2:
        return RiskUncertainty(None, "No interval is known for the risks of more than two classes.")
    if kind.given:
        return RiskUncertainty(None, "A published formula says its risks, not how certain they are.")
    if kind.explanation != "linear":
        return RiskUncertainty(
            None,
            f"No cheap interval of a {tuned.candidate.replace('_', ' ')} covers the true risk as often as it says: "
            "none is given (benchmarks/risk_uncertainty.py).",
        )
    if tuned.imbalance in SAMPLERS:
        return RiskUncertainty(None, "The model learned from rows that were made up to balance the classes.")
    if kind.doubted_weight != 1:
        return RiskUncertainty(None, "The model learned from rows of which some counted less, their labels in doubt.")
    preparation = Preparation.of(pipeline, n_features=data.X.shape[1])
    columns = preparation.apply(data.X)
    rarer = min(int(np.unique(data.groups[data.y == label]).size) for label in (0, 1))
    if columns.shape[1] > MAX_COLUMNS:
        return RiskUncertainty(None, f"The model reads {columns.shape[1]} columns; intervals go up to {MAX_COLUMNS}.")
    if rarer < MIN_PER_COLUMN * columns.shape[1]:
        return RiskUncertainty(
            None,
            f"The rarer outcome has {rarer} subjects for {columns.shape[1]} columns; an interval takes at least "
            f"{MIN_PER_COLUMN} per column.",
        )
    raw = candidates.raw_risk(pipeline.predict_proba(data.X), floor=kind.floor)
    factor = coefficient_factor(
        np.column_stack([np.ones(data.n), columns]),
        data.y,
        tuned.recalibration.apply(raw),
        unseen=tuned.recalibration.apply(tuned.raw),
        weights=data.weights,
        groups=data.clusters,
    )
    return RiskUncertainty(factor)
