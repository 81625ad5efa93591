"""What the model is: every term that a risk is made of, as plain values that a reader can compute with.

TRIPOD+AI item 22 asks for the whole model. A linear model is given by its terms alone; for other kinds the settings,
the preparation of missing values and the recalibration stand here, and the bundle has the trees.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import (
    BundleDescription,
    LinearExplanation,
    LinearHazardExplanation,
)
from clinical_assets.modelling.bundle.contributions import Explanation
from clinical_assets.modelling.search.recalibration import IDENTITY, Recalibration
from clinical_assets.modelling.table.preparation import Preparation

#: Scale of the terms of a model of times to events.
LOG_HAZARD: Final = "log_hazard"
# A rank correlation below this is called no direction.
_CLEAR = 0.3


def model_terms(bundle: Bundle) -> dict[str, Any]:
    """Terms, preparation and recalibration of a bundle's model.

    Returns
    -------
    dict
        ``kind``, ``settings``, ``imbalance``, ``recalibration``; ``preparation``: one entry per feature with
        ``feature``, ``imputed`` (the median that stands for a missing value, or null) and ``flagged``; ``terms`` (empty
        unless linear): ``feature``, ``is_flag`` (the term of "was missing"), ``mean``, ``sd``, ``coefficient`` (change
        of the served log-odds per unit), ``per_sd`` and ``odds_ratio_per_sd``; ``intercept``: served log-odds where
        every column is 0, null unless linear. Where the model is linear in the log cumulative hazard at the horizon,
        ``scale`` is ``log_hazard``: coefficients, ratios (of hazards) and intercept are of it, before recalibration.
    """
    stored = bundle.description
    preparation = Preparation.from_json(stored.preparation.to_json())
    names = bundle.feature_columns
    terms, intercept = _linear(stored, preparation, names)
    medians = None if preparation.medians is None else preparation.medians.tolist()
    flags = preparation.kept >= preparation.n_features
    flagged = set(preparation.sources[flags].tolist())
    used = set(preparation.sources.tolist())
    return {
        "kind": stored.candidate,
        "settings": dict(stored.parameters),
        "imbalance": stored.imbalance,
        "recalibration": stored.recalibration.to_json(),
        "preparation": [
            {
                "feature": name,
                "imputed": None if medians is None else medians[place],
                "flagged": place in flagged,
                "used": place in used,
            }
            for place, name in enumerate(names)
        ],
        "terms": terms,
        "intercept": intercept,
        **({"scale": LOG_HAZARD} if isinstance(stored.explanation, LinearHazardExplanation) else {}),
    }


def directions(explained: Explanation, features: FloatArray, names: tuple[str, ...]) -> dict[str, float | None]:
    """Per feature the rank correlation of its value with its contribution, -1 to 1: does a higher value raise the risk?

    Parameters
    ----------
    explained : Explanation
        Of `features`; with several classes the contributions to the most severe one count.
    features : array of shape (n, p)
        NaN is missing and left out.
    names : tuple of str, length p
        The features' names.

    Returns
    -------
    dict
        None where the value or its contribution never changes.
    """
    shares = explained.contributions if explained.contributions.ndim == 2 else explained.contributions[:, :, -1]
    return {name: _rank_correlation(features[:, place], shares[:, place]) for place, name in enumerate(names)}


def direction_in_words(value: float | None) -> str:
    """A rank correlation for a reader.

    >>> direction_in_words(0.9), direction_in_words(-0.8), direction_in_words(0.1), direction_in_words(None)
    ('higher value, higher risk', 'higher value, lower risk', 'no single direction', 'no single direction')
    """
    if value is None or abs(value) < _CLEAR:
        return "no single direction"
    return "higher value, higher risk" if value > 0 else "higher value, lower risk"


def _linear(
    stored: BundleDescription, preparation: Preparation, names: tuple[str, ...]
) -> tuple[list[dict[str, Any]], float | None]:
    explanation = stored.explanation
    if isinstance(explanation, LinearHazardExplanation):
        recalibration = IDENTITY  # it acts on log-odds, which come after the hazard
    elif isinstance(explanation, LinearExplanation):
        recalibration = Recalibration(stored.recalibration.intercepts, stored.recalibration.slopes)
    else:
        return [], None
    per_sd = recalibration.slope * np.asarray(explanation.coefficients, dtype=np.float64)
    per_unit = per_sd / preparation.spread
    at_means = recalibration.intercept + recalibration.slope * explanation.intercept
    intercept = float(at_means - (per_unit * preparation.centre).sum())
    terms = [
        {
            "feature": names[source],
            "is_flag": bool(kept >= preparation.n_features),
            "mean": float(preparation.centre[place]),
            "sd": float(preparation.spread[place]),
            "coefficient": float(per_unit[place]),
            "per_sd": float(per_sd[place]),
            "odds_ratio_per_sd": float(np.exp(per_sd[place])),
        }
        for place, (kept, source) in enumerate(
            zip(preparation.kept.tolist(), preparation.sources.tolist(), strict=True)
        )
    ]
    return terms, intercept


def _rank_correlation(values: FloatArray, shares: FloatArray) -> float | None:
    from scipy.stats import rankdata

    known = ~np.isnan(values)
    if np.unique(values[known]).size < 2 or np.ptp(shares[known]) < 1e-12:
        return None
    return float(np.corrcoef(rankdata(values[known]), rankdata(shares[known]))[0, 1])
