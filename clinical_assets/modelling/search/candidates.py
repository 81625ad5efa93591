"""Building, fitting and scoring a candidate by its name; the candidates themselves are the modules of ``kinds``.

Every candidate is a scikit-learn pipeline of ready-made steps that takes a float array (n, p) with NaN for missing, so
that the converters of ONNX know each step:

- A feature that names a group is replaced by the group's mean outcome, first of all (`pooled`).
- Counts of words in notes become TF-IDF (`words`), and share one scale where columns are standardised.
- Medians stand for missing values, beside them a 0/1 flag for each column that had any (`flags_missing`); columns that
  never vary are dropped; the rest is standardised (`scaled`).
- A candidate that reads missing values as they are (`reads_missing`) gets the rows untouched.
- Trees read columns in single precision (`single`), as their graphs do; this step stands right before the model.
- Focal loss is tried with boosters that know it alone; what it gives is no probability before it is recalibrated.
- With SMOTE the sampler stands behind imputation and scaling, for every candidate, because it cannot measure distances
  to missing values. It acts on the rows that a model learns from, never on those it is judged on.

Every model runs in one thread and is seeded: the same rows in the same order give the same model to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.decisions import SAMPLERS
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search.candidate_type import AnyCandidate, CandidateType, Parameters
from clinical_assets.modelling.search.kinds import KINDS, kind_of
from clinical_assets.modelling.table.pooling import POOL_STEP, pooling_step
from clinical_assets.modelling.table.preparation import in_single_precision
from clinical_assets.modelling.table.word_weights import WORD_STEP, shared_scale, word_step

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Simplest first; of candidates that tie the first wins.
SIMPLICITY = tuple(KINDS)
# Slowest first: started in this order, the last job to end is a short one.
COSTLIEST = tuple(sorted(KINDS, key=lambda name: -KINDS[name].cost))
SAMPLER_STEP, SINGLE_STEP = "sampler", "single"
SMOTE_NEIGHBOURS = 5
# A finite stand-in for "missing" that float32 can hold and no measurement reaches.
_MARK = 1e30


def floor_of(candidate: AnyCandidate) -> float:
    """Smallest distance of a raw risk of a candidate from 0 and from 1."""
    return kind_of(candidate).floor


def simplicity(name: str) -> int:
    """Place of a candidate among all, the simplest first: published formulas, of which nothing is fitted."""
    return SIMPLICITY.index(name) if name in KINDS else -1


def costliness(name: str) -> int:
    """Place of a candidate among all, the slowest first; a published formula costs nothing."""
    return COSTLIEST.index(name) if name in KINDS else len(COSTLIEST)


def build(
    candidate: AnyCandidate,
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
    candidate : str or CandidateType
        One of `SIMPLICITY`, or what it declares.
    parameters : dict
        Of the last step, as `space` proposes them.
    n_classes : int
        Number of classes of the outcome, at least 2.
    imbalance : "none", "class_weight", "smote", "borderline_smote", "smotenc" or "focal"
        Class weights are sample weights and do not show in the pipeline; see `fit`. Focal loss is the candidate's own.
    seed : int
        Everything random follows from it.
    minority : int, optional
        Rows of the smallest class to be fitted on; SMOTE needs more of them than neighbours.

    Raises
    ------
    InsufficientData
        SMOTE with fewer than 2 rows in a class.
    ClinicalAssetsError
        The name is not known.
    """
    kind = kind_of(candidate)
    steps = [(POOL_STEP, pooling_step(kind.pooled, seed))] if kind.pooled else []
    steps += [(WORD_STEP, word_step(kind.words))] if kind.words else []
    steps += _preparation(kind, sampled=imbalance in SAMPLERS)
    if imbalance in SAMPLERS:
        from imblearn.pipeline import Pipeline as SamplingPipeline

        steps.append((SAMPLER_STEP, _sampler(imbalance, minority=minority, seed=seed)))
        return SamplingPipeline([*steps, *_single(kind), ("model", kind.model(parameters, n_classes, seed))])
    from sklearn.pipeline import Pipeline

    made = kind.model if imbalance != "focal" or kind.focal is None else kind.focal
    return Pipeline([*steps, *_single(kind), ("model", made(parameters, n_classes, seed))])


def strategies(kind: CandidateType, offered: Sequence[str]) -> list[str]:
    """Ways of treating a rare class that a candidate is tried with: all that are offered and that it knows."""
    if kind.given or kind.timed:
        return ["none"]
    return [each for each in offered if each != "focal" or kind.focal is not None] or ["none"]


def _single(kind: CandidateType) -> list[tuple[str, Any]]:
    from sklearn.preprocessing import FunctionTransformer

    return [(SINGLE_STEP, FunctionTransformer(in_single_precision))] if kind.single else []


def fit(
    pipeline: Pipeline, X: FloatArray, y: IntArray, *, imbalance: str, weights: FloatArray | None = None
) -> Pipeline:
    """Fit a pipeline; the last step alone gets the `fitting_weights`, imputing and scaling take rows as they are."""
    each = fitting_weights(y, imbalance=imbalance, weights=weights)
    return pipeline.fit(X, y, **({} if each is None else {"model__sample_weight": each}))


def fitting_weights(y: IntArray, *, imbalance: str, weights: FloatArray | None = None) -> FloatArray | None:
    """What each row counts in a fit (n,): its case weight over the mean, classes balanced for ``class_weight``.

    None where all count alike. SMOTE has no rows to weigh and is refused together with case weights by the description.
    """
    if weights is not None:
        weights = weights / weights.mean()
    return balanced_weights(y, weights) if imbalance == "class_weight" else weights


def balanced_weights(y: IntArray, weights: FloatArray | None = None) -> FloatArray:
    """Weights (n,) that give every class the same total, n / (k * size of the class); a size is a sum of `weights`."""
    counts = np.bincount(y, weights=weights)
    balanced = y.size / (np.count_nonzero(counts) * counts[y])
    return np.asarray(balanced if weights is None else balanced * weights, dtype=np.float64)


def without_sampler(pipeline: Pipeline) -> Pipeline:
    """The fitted steps that score: a sampler acts while fitting only."""
    from sklearn.pipeline import Pipeline

    return Pipeline([(label, step) for label, step in pipeline.steps if label != SAMPLER_STEP])


def raw_risk(scores: Any, *, floor: float) -> FloatArray:
    """What `predict_proba` gave, (n, k), as risks kept from 0 and 1: (n,) of class 1 for two classes, else (n, k)."""
    p = clipped_risk(scores, floor=floor)
    if p.shape[1] == 2:
        return np.ascontiguousarray(p[:, 1])
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def clipped_risk(p: Any, *, floor: float) -> FloatArray:
    """Probabilities in double precision, kept `floor` away from 0 and 1."""
    return np.clip(np.asarray(p, dtype=np.float64), floor, 1 - floor)


def _preparation(kind: CandidateType, *, sampled: bool) -> list[tuple[str, Any]]:
    if kind.reads_missing and not sampled:
        return []
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import Binarizer, StandardScaler

    impute: Any = SimpleImputer(strategy="median", keep_empty_features=True)
    if kind.flags_missing:
        # SimpleImputer's own indicator has no converter to ONNX; these two steps have, and flag the same.
        mark = SimpleImputer(strategy="constant", fill_value=_MARK, keep_empty_features=True)
        flags = Pipeline([("mark", mark), ("flag", Binarizer(threshold=_MARK / 10))])
        impute = FeatureUnion([("value", impute), ("missing", flags)])
    steps = [("impute", impute)]
    if kind.words and (kind.scaled or sampled):
        places = tuple(place for block in kind.words for place in block.places)
        return [*steps, ("scale", shared_scale(places, kind.n_features))]
    if not kind.given:
        steps.append(("vary", VarianceThreshold()))
    if kind.scaled or sampled:
        steps.append(("scale", StandardScaler()))
    return steps


def _sampler(imbalance: str, *, minority: int | None, seed: int) -> Any:
    if minority is not None and minority < 2:
        raise InsufficientData(
            f"SMOTE needs at least 2 rows of the smallest class to draw between, and there is {minority}.",
            cure=f"Take {', '.join(SAMPLERS)} out of modelling.imbalance, or widen the cohort.",
        )
    neighbours = SMOTE_NEIGHBOURS if minority is None else min(SMOTE_NEIGHBOURS, minority - 1)
    if imbalance == "smotenc":
        return _mixed_sampler()(k_neighbors=neighbours, random_state=seed)
    from imblearn.over_sampling import SMOTE, BorderlineSMOTE

    sampler = SMOTE if imbalance == "smote" else BorderlineSMOTE
    return sampler(k_neighbors=neighbours, random_state=seed)


@cache
def _mixed_sampler() -> type[Any]:
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    class MixedSmote(SMOTE):  # type: ignore[misc]
        """SMOTENC, which takes columns of two values for categories: an invented record has one of them."""

        def __init__(self, k_neighbors: int, random_state: int) -> None:
            super().__init__(k_neighbors=k_neighbors, random_state=random_state)

        def fit_resample(self, X: FloatArray, y: IntArray) -> tuple[FloatArray, IntArray]:
            ordered = np.sort(X, axis=0)
            binary = np.count_nonzero(np.diff(ordered, axis=0), axis=0) <= 1
            shared = {"k_neighbors": self.k_neighbors, "random_state": self.random_state}
            if binary.all():
                sampler = SMOTEN(**shared)
            else:
                sampler = SMOTENC(np.flatnonzero(binary).tolist(), **shared) if binary.any() else SMOTE(**shared)
            drawn, classes = sampler.fit_resample(X, y)
            return np.asarray(drawn, dtype=np.float64), np.asarray(classes)

    return MixedSmote
