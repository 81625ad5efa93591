"""The models that may compete: how each is built, what is tuned, and how simple it is.

Every candidate is a scikit-learn pipeline of ready-made steps that takes a float array (n, p) with NaN for missing, so
that the converters of ONNX know each step:

- linear, naive Bayes, MLP and forest: medians for missing values; beside them (not for naive Bayes, whose normal
  densities explode on rare flags) a 0/1 flag for each column that had missing values; columns that never vary are
  dropped; all but the forest are standardised.
- LightGBM and XGBoost read missing values as they are.
- With SMOTE the sampler stands behind imputation and scaling, for every candidate, because it cannot measure distances
  to missing values. It acts on the rows that a model learns from, never on those it is judged on.

Every model runs in one thread and is seeded: the same rows in the same order give the same model to the byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.modelling.inputs import FloatArray, IntArray

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Parameters = dict[str, int | float]

# Simplest first: how few parameters a reader has to believe, and whether contributions are exact.
SIMPLICITY = ("logistic_ridge", "logistic_elastic_net", "naive_bayes", "lightgbm", "xgboost", "random_forest", "mlp")
# Slowest first: started in this order, the last job to end is a short one.
COSTLIEST = ("random_forest", "mlp", "xgboost", "lightgbm", "logistic_elastic_net", "naive_bayes", "logistic_ridge")
SAMPLERS = ("smote", "borderline_smote")
SAMPLER_STEP = "sampler"
FOREST_TREES = 60
SMOTE_NEIGHBOURS = 5
# A finite stand-in for "missing" that float32 can hold and no measurement reaches.
_MARK = 1e30
# Raw risks are kept this far from 0 and 1 before their log-odds are taken. Naive Bayes and small networks claim more
# certainty than they have; float32 scores could not carry it either.
_FLOORS = {"naive_bayes": 1e-4, "mlp": 1e-4, "random_forest": 1 / (2 * FOREST_TREES)}
_FLOOR = 1e-6


def floor_of(name: str) -> float:
    """Smallest distance of a raw risk of candidate `name` from 0 and from 1.

    A forest cannot say less than "not one tree"; half a tree is its floor.
    """
    return _FLOORS.get(name, _FLOOR)


def build(
    name: str,
    parameters: Parameters,
    *,
    n_classes: int,
    imbalance: str = "none",
    seed: int = 0,
    minority: int | None = None,
) -> Pipeline:
    """An unfitted pipeline.

    Parameters
    ----------
    name : str
        One of `SIMPLICITY`.
    parameters : dict
        Of the last step, as `space` proposes them.
    imbalance : "none", "class_weight", "smote" or "borderline_smote"
        Class weights are sample weights and do not show in the pipeline; see `fit`.
    minority : int, optional
        Rows of the smallest class to be fitted on; SMOTE needs more of them than neighbours.

    Raises
    ------
    InsufficientData
        SMOTE with fewer than 2 rows in a class.
    ClinicalAssetsError
        The name is not known.
    """
    steps = _preparation(name, sampled=imbalance in SAMPLERS)
    if imbalance in SAMPLERS:
        from imblearn.pipeline import Pipeline as SamplingPipeline

        steps.append((SAMPLER_STEP, _sampler(imbalance, minority=minority, seed=seed)))
        return SamplingPipeline([*steps, ("model", _model(name, parameters, n_classes, seed))])
    from sklearn.pipeline import Pipeline

    return Pipeline([*steps, ("model", _model(name, parameters, n_classes, seed))])


def fit(pipeline: Pipeline, X: FloatArray, y: IntArray, *, imbalance: str) -> Pipeline:
    """Fit a pipeline, with balanced sample weights where the imbalance strategy is ``class_weight``."""
    extra = {"model__sample_weight": balanced_weights(y)} if imbalance == "class_weight" else {}
    return pipeline.fit(X, y, **extra)


def balanced_weights(y: IntArray) -> FloatArray:
    """Weights (n,) that give every class the same total, n / (k * size of the class)."""
    counts = np.bincount(y)
    return np.asarray((y.size / (np.count_nonzero(counts) * counts[y])), dtype=np.float64)


def without_sampler(pipeline: Pipeline) -> Pipeline:
    """The fitted steps that score: a sampler acts while fitting only."""
    from sklearn.pipeline import Pipeline

    return Pipeline([(label, step) for label, step in pipeline.steps if label != SAMPLER_STEP])


def raw_risk(scores: Any, *, name: str) -> FloatArray:
    """What `predict_proba` gave, (n, k), as risks kept from 0 and 1: (n,) of class 1 for two classes, else (n, k)."""
    floor = floor_of(name)
    p = np.clip(np.asarray(scores, dtype=np.float64), floor, 1 - floor)
    if p.shape[1] == 2:
        return np.ascontiguousarray(p[:, 1])
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _preparation(name: str, *, sampled: bool) -> list[tuple[str, Any]]:
    boosted = name in ("lightgbm", "xgboost")
    if boosted and not sampled:
        return []
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import Binarizer, StandardScaler

    impute: Any = SimpleImputer(strategy="median", keep_empty_features=True)
    if name != "naive_bayes":
        # SimpleImputer's own indicator has no converter to ONNX; these two steps have, and flag the same.
        mark = SimpleImputer(strategy="constant", fill_value=_MARK, keep_empty_features=True)
        flags = Pipeline([("mark", mark), ("flag", Binarizer(threshold=_MARK / 10))])
        impute = FeatureUnion([("value", impute), ("missing", flags)])
    steps = [("impute", impute), ("vary", VarianceThreshold())]
    if name != "random_forest" or sampled:
        steps.append(("scale", StandardScaler()))
    return steps


def _sampler(imbalance: str, *, minority: int | None, seed: int) -> Any:
    from imblearn.over_sampling import SMOTE, BorderlineSMOTE

    if minority is not None and minority < 2:
        raise InsufficientData(
            f"SMOTE needs at least 2 rows of the smallest class to draw between, and there is {minority}.",
            cure="Take smote and borderline_smote out of modelling.imbalance, or widen the cohort.",
        )
    neighbours = SMOTE_NEIGHBOURS if minority is None else min(SMOTE_NEIGHBOURS, minority - 1)
    kind = SMOTE if imbalance == "smote" else BorderlineSMOTE
    return kind(k_neighbors=neighbours, random_state=seed)


def _model(name: str, parameters: Parameters, n_classes: int, seed: int) -> Any:
    settings: dict[str, Any]
    match name:
        case "logistic_ridge":
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression(**parameters, solver="lbfgs", max_iter=1000, random_state=seed)
        case "logistic_elastic_net":
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression(**parameters, solver="saga", max_iter=2000, tol=1e-3, random_state=seed)
        case "naive_bayes":
            from sklearn.naive_bayes import GaussianNB

            return GaussianNB(**parameters)
        case "lightgbm":
            from lightgbm import LGBMClassifier

            objective = "binary" if n_classes == 2 else "multiclass"
            settings = {"objective": objective, "max_bin": 63, "subsample_freq": 1, "random_state": seed, "n_jobs": 1}
            exact = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
            return LGBMClassifier(**(parameters | settings | exact))
        case "xgboost":
            from xgboost import XGBClassifier

            objective = "binary:logistic" if n_classes == 2 else "multi:softprob"
            settings = {"objective": objective, "max_bin": 64, "tree_method": "hist", "random_state": seed}
            return XGBClassifier(**(parameters | settings), n_jobs=1, verbosity=0)
        case "random_forest":
            from sklearn.ensemble import RandomForestClassifier

            return RandomForestClassifier(FOREST_TREES, **parameters, n_jobs=1, random_state=seed)
        case "mlp":
            from sklearn.neural_network import MLPClassifier

            width, rest = int(parameters["hidden_units"]), {k: v for k, v in parameters.items() if k != "hidden_units"}
            return MLPClassifier((width,), **rest, solver="lbfgs", max_iter=200, random_state=seed)
    raise ClinicalAssetsError(f"there is no candidate {name!r}.", cure=f"Choose among {', '.join(SIMPLICITY)}.")
