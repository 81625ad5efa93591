"""Boosted trees by LightGBM; missing values are read as they are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search.candidate_type import CandidateType, Parameters
from clinical_assets.modelling.search.limits import BOOSTING_START, LARGE, boosting, largest_leaf

if TYPE_CHECKING:
    import optuna

_LEAST_CURVATURE = 1e-3


def _model(parameters: Parameters, n_classes: int, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**_settings(parameters, n_classes, seed))


def _focal(parameters: Parameters, n_classes: int, seed: int) -> Any:
    return _focal_classifier()(**_settings(parameters, n_classes, seed))


def _settings(parameters: Parameters, n_classes: int, seed: int) -> dict[str, Any]:
    objective = "binary" if n_classes == 2 else "multiclass"
    settings: dict[str, Any] = {"objective": objective, "max_bin": 63, "subsample_freq": 1}
    settings |= {"random_state": seed, "n_jobs": 1}
    exact = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    return parameters | settings | exact


@cache
def _focal_classifier() -> type[Any]:
    import lightgbm

    ordinary: Any = lightgbm.LGBMClassifier

    class LGBMClassifier(ordinary):  # type: ignore[misc]
        """Fitted by focal loss; what it says of itself and how it scores is the ordinary classifier's.

        LightGBM takes scores of a loss that it does not know for no probabilities, and writes no name for it: the
        fitted trees get the ordinary objective's, so that booster text, graph and pipeline take one way to a risk.
        """

        def fit(self, X: FloatArray, y: IntArray, sample_weight: FloatArray | None = None) -> Any:
            self._objective = _focal_objective
            super().fit(X, y, sample_weight=sample_weight)
            k = self.n_classes_
            named = f"objective={f'multiclass num_class:{k}' if k > 2 else 'binary sigmoid:1'}"
            text: str = self.booster_.model_to_string()
            head, names, rest = text.partition("\nfeature_names=")
            if not names or "\nobjective=" in head:
                raise ClinicalAssetsError(
                    "LightGBM names the objective of trees fitted by focal loss otherwise than expected.",
                    cure="Take focal out of modelling.imbalance, and report the version of lightgbm.",
                )
            self._Booster: Any = lightgbm.Booster(model_str=f"{head}\n{named}{names}{rest}")
            self._objective = self.objective
            return self

    return LGBMClassifier


def _focal_objective(y: IntArray, margins: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Gradient and a positive curvature of the focal loss of each row, times its weight."""
    # Candidates are listed where definitions load, without numpy; so is all that needs it.
    import numpy as np

    from clinical_assets.statistics.discrimination.focal_loss import focal_derivatives

    first, second = focal_derivatives(margins, y)
    # Not convex where the true class is unlikely: there a step needs some curvature all the same.
    second = np.maximum(second, _LEAST_CURVATURE)
    if weights is None:
        return first, second
    each = weights if first.ndim == 1 else weights[:, None]
    return first * each, second * each


def _space(trial: optuna.Trial, n_rows: int) -> Parameters:
    return boosting(trial, n_rows) | {
        "num_leaves": trial.suggest_int("num_leaves", 2, 10 if n_rows < LARGE else 48, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, largest_leaf(n_rows), log=True),
    }


def _start(n_rows: int) -> Parameters:
    return BOOSTING_START | {"num_leaves": 5, "min_child_samples": min(20, largest_leaf(n_rows))}


CANDIDATE = CandidateType(
    name="lightgbm",
    simplicity=40,
    cost=40,
    model=_model,
    space=_space,
    start=_start,
    focal=_focal,
    reads_missing=True,
    single=True,
    explanation="lightgbm",
    libraries=("lightgbm",),
)
