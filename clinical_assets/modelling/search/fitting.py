"""The final model: one search on all training rows, one refit, one recalibration.

What belongs here: the fitted model that a bundle is made of. What does not: choosing the candidate (``selection``),
judging the model (``evaluation``), writing it to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.decisions import Modelling
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.candidate_type import Parameters
from clinical_assets.modelling.search.published import candidate_type, is_published
from clinical_assets.modelling.search.recalibration import IDENTITY, Recalibration
from clinical_assets.modelling.search.search import Searched, Tuned, fit_setting, tune, tuned_again
from clinical_assets.modelling.search.uncertainty import RiskUncertainty, risk_uncertainty
from clinical_assets.modelling.table.inputs import ModelInput, features_of, finite_or_missing

if TYPE_CHECKING:
    import polars as pl
    from sklearn.pipeline import Pipeline

__all__ = ["FittedModel", "Recalibration", "fit_final", "reference_of"]

_USUAL_ROWS = 0.99
_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class FittedModel:
    """A model that scores.

    Attributes
    ----------
    name : str
        Candidate.
    pipeline : scikit-learn Pipeline
        Fitted steps, without a sampler; takes (n, p) with NaN for missing.
    feature_columns : tuple of str, length p
    classes : tuple of str, length k
    recalibration : Recalibration
        From raw to served risk.
    parameters : dict
        Setting of the last step.
    imbalance : str
        How it was fitted.
    floor : float
        Raw probabilities are kept this far from 0 and 1 before their log-odds are taken.
    reference : dict
        Per feature what training rows looked like: `median`, `mean`, `sd`, `missing_share`, `quantiles`
        (at `shares`); None where a feature had no value. `missing_per_row`: features that all but one in a hundred
        rows lacked at most.
    uncertainty : RiskUncertainty
        Of the served risks.
    """

    name: str
    pipeline: Pipeline
    feature_columns: tuple[str, ...]
    classes: tuple[str, ...]
    recalibration: Recalibration
    parameters: Parameters
    imbalance: str
    floor: float
    reference: dict[str, Any]
    uncertainty: RiskUncertainty

    @property
    def n_parameters(self) -> int:
        """Columns that the last step was fitted on (features, flags of missing values), per class but one.

        Of a published formula nothing but a recalibration is fitted: intercept and slope, or nothing.
        """
        if is_published(self.name):
            return 0 if self.recalibration == IDENTITY else 2
        estimator = self.pipeline[-1]
        # One coefficient for all cuts between ordered classes, where the model has cuts.
        return int(estimator.n_features_in_) * (1 if hasattr(estimator, "cuts_") else len(self.classes) - 1)

    def raw_risk(self, X: FloatArray | pl.DataFrame) -> FloatArray:
        """Risks before recalibration; shapes and errors as `predict_proba`."""
        if isinstance(X, np.ndarray):
            values = finite_or_missing(X, self.feature_columns)
        else:
            values = features_of(X, self.feature_columns)
        return candidates.raw_risk(self.pipeline.predict_proba(values), floor=self.floor)

    def predict_proba(self, X: FloatArray | pl.DataFrame) -> FloatArray:
        """Served risks.

        Parameters
        ----------
        X : array of shape (n, p) or polars.DataFrame
            Features, in the order of `feature_columns` (array) or by name (frame); NaN or null is missing.

        Returns
        -------
        array of shape (n,) or (n, k)
            Probability of the second class for two classes; of every class for more.

        Raises
        ------
        UnusableTable
            A column is missing, no number, or infinite.
        """
        return self.recalibration.apply(self.raw_risk(X))


def fit_final(
    name: str, data: ModelInput, *, modelling: Modelling, found: Searched | None = None
) -> tuple[FittedModel, Tuned]:
    """Search once on all training rows, refit with the best setting, recalibrate on its out-of-fold scores.

    Parameters
    ----------
    name : str
        The selected candidate.
    data : ModelInput
        All training rows, and none of the holdout.
    modelling : Modelling
        Criterion, imbalance strategies and search budget.
    found : Searched, optional
        What this search found earlier, on these rows; see ``kept_search``.

    Returns
    -------
    FittedModel, Tuned
        The model, and the search that led to it.
    """
    tuned = tune(name, data, modelling=modelling) if found is None else tuned_again(found, data, modelling=modelling)
    kind = candidate_type(name, modelling, data.feature_columns)
    pipeline = fit_setting(kind, tuned.parameters, tuned.imbalance, data, seed=modelling.search.seed)
    pipeline = candidates.without_sampler(pipeline)
    model = FittedModel(
        name=name,
        pipeline=pipeline,
        feature_columns=data.feature_columns,
        classes=data.classes,
        recalibration=tuned.recalibration,
        parameters=tuned.parameters,
        imbalance=tuned.imbalance,
        floor=kind.floor,
        reference=reference_of(data.X, data.feature_columns),
        uncertainty=risk_uncertainty(kind, tuned, pipeline, data),
    )
    return model, tuned


def reference_of(X: FloatArray, columns: tuple[str, ...]) -> dict[str, Any]:
    """What each column of X (n, p) looked like, and how many of them its rows lacked, as plain values."""
    features: dict[str, Any] = {}
    for name, column in zip(columns, X.T, strict=True):
        known = column[~np.isnan(column)]
        if known.size == 0:
            features[name] = {"missing_share": 1.0, "median": None, "mean": None, "sd": None, "quantiles": None}
            continue
        features[name] = {
            "missing_share": 1 - known.size / column.size,
            "median": float(np.median(known)),
            "mean": float(known.mean()),
            "sd": float(known.std()),
            "quantiles": [float(value) for value in np.quantile(known, _SHARES)],
        }
    # A number that at least so many rows do not exceed, so a whole one.
    lacked = np.quantile(np.isnan(X).sum(axis=1), _USUAL_ROWS, method="inverted_cdf")
    return {"n": int(X.shape[0]), "shares": list(_SHARES), "features": features, "missing_per_row": int(lacked)}
