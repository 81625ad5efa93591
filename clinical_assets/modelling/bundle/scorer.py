"""What computes with a bundle: graph, native booster and explanations, and the files that they are made from.

What belongs here: numbers. What does not: whether the files are the ones that were sealed (``bundle``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.booster import NativeScore, load_booster
from clinical_assets.modelling.bundle.bundle_description import (
    XGBOOST,
    XGBOOST_HAZARD,
    BundleDescription,
    BundleFacts,
    StoredPreparation,
    StoredRecalibration,
    StoredUncertainty,
)
from clinical_assets.modelling.bundle.bundle_files import MODEL, STATEMENT, BundleError
from clinical_assets.modelling.bundle.contributions import Explainer, export
from clinical_assets.modelling.bundle.fitted import Fitted
from clinical_assets.modelling.bundle.graph.onnx_graph import build_graph
from clinical_assets.modelling.search.candidates import raw_risk, without_sampler
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.uncertainty import RiskUncertainty
from clinical_assets.modelling.table.preparation import Preparation
from clinical_assets.statistics.calibration.linear_uncertainty import (
    other_tier_probability,
    risk_interval,
    standard_errors,
)

if TYPE_CHECKING:
    import polars as pl

#: How far apart two ways to one served risk may be: fitted pipeline, ONNX graph, native booster, a risk that was kept.
#: Single precision leaves about 1e-7 of a raw risk, a recalibration slope of up to 10 or so multiplies it.
TOLERANCE = 1e-5
# Rows of each call that the graph scores beside a native booster, evenly spread.
_WITNESSED = 64
# Every call is filled up to whole blocks: kernels take another way for one row and for the rest behind the last full
# vector, and the same patient alone would get another last digit than among others.
_BLOCK_ROWS = 16
#: Number of a group that no group has; the typical row's.
UNSEEN_GROUP = -1.0
#: Of the intervals of risks.
LEVEL = 0.95


@dataclass(frozen=True)
class RiskIntervals:
    """How far the true risk may be from the served one, row by row.

    Attributes
    ----------
    low, high : arrays of shape (n,)
        Bounds of the interval.
    other_tier_prob : array of shape (n,)
        Probability that the true risk lies in another tier.
    """

    low: FloatArray
    high: FloatArray
    other_tier_prob: FloatArray


def session_of(graph: bytes) -> Any:
    """ONNX Runtime's session of a graph, on one thread."""
    # Before the import: afterwards it has written to HOME, and its collector can no longer be switched off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread a call: a single patient needs no more, and batches run several calls side by side.
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, sess_options=options, providers=["CPUExecutionProvider"])


def require_equal(candidate: str, risk: FloatArray, other: FloatArray) -> None:
    """Raise BundleError, which says by how much, where two ways to one risk are further apart than `TOLERANCE`."""
    apart = float(np.abs(risk - other).max(initial=0.0))
    if not apart <= TOLERANCE:
        raise BundleError(
            f"{candidate}: pipeline, ONNX graph or native booster differ by up to {apart:.2g} in risk.",
            cure="Train the cohort again; if it stays, take the candidate out of modelling.candidates and report "
            "it with its parameters.",
        )


class BundleScorer:
    """The computing side of a bundle.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    description : BundleDescription
        Content of its ``bundle.json``.
    """

    def __init__(self, folder: Path, description: BundleDescription) -> None:
        self.folder, self.description = folder, description

    def run(self, X: FloatArray) -> FloatArray:
        """Served risk, (n,) of the positive class or (n, k), of features (n, p)."""
        if self._native is None:
            return self._graph(X)
        risk = self._native(X)
        rows = np.unique(np.linspace(0, len(X) - 1, min(_WITNESSED, len(X)), dtype=np.int64))
        self.require_same(risk[rows], self._graph(X[rows]))
        return risk

    def intervals(self, X: FloatArray, served: FloatArray) -> RiskIntervals | None:
        """Intervals of the risks (n,) served for features (n, p); None where the bundle gives none."""
        stored = self.description.uncertainty
        if stored is None or self._factor is None:
            return None
        columns = self._preparation.apply(X)
        error = standard_errors(np.column_stack([np.ones(len(columns)), columns]), self._factor)
        low, high = risk_interval(served, error, level=stored.level)
        lowers = np.asarray([tier.lower for tier in self.description.tiers])
        return RiskIntervals(low, high, other_tier_probability(served, error, lowers))

    def _graph(self, X: FloatArray) -> FloatArray:
        (risk,) = self._session.run(None, {"features": _whole_blocks(X)})
        return np.asarray(risk)[: len(X)]

    def matrix(self, features: pl.DataFrame | FloatArray) -> FloatArray:
        """Features (n, p) as the model reads them; missing is NaN; features and errors as `Bundle.score`."""
        names = self.description.feature_columns
        if isinstance(features, np.ndarray):
            X = np.asarray(features, dtype=np.float64)
            if X.ndim != 2 or X.shape[1] != len(names):
                raise BundleError(
                    f"the features have shape {X.shape}, the model reads {len(names)} columns.",
                    cure=f"Give them in this order: {', '.join(names)}.",
                )
        else:
            missing = [name for name in names if name not in features.columns]
            if missing:
                raise BundleError(
                    f"the features lack {', '.join(missing)}.", cure="Make them with the bundle's features.sql."
                )
            X = _numbers(features, names)
        infinite = np.isinf(X).any(axis=0)
        if infinite.any():
            raise BundleError(
                f"feature {names[int(np.argmax(infinite))]} holds an infinite value.",
                cure="Look for a division by zero in its SQL; missing is NULL.",
            )
        return X

    @cached_property
    def _session(self) -> Any:
        return session_of((self.folder / MODEL).read_bytes())

    @cached_property
    def _booster(self) -> Any:
        return load_booster(self.description.explanation, self.folder)

    @cached_property
    def _preparation(self) -> Preparation:
        return Preparation.from_json(self.description.preparation.to_json())

    @cached_property
    def _factor(self) -> FloatArray | None:
        stored = self.description.uncertainty
        return None if stored is None or stored.factor is None else square_factor(stored.factor)

    @cached_property
    def _recalibration(self) -> Recalibration:
        stored = self.description.recalibration
        return Recalibration(stored.intercepts, stored.slopes)

    @cached_property
    def _native(self) -> NativeScore | None:
        method = self.description.explanation.method
        if method not in (XGBOOST, XGBOOST_HAZARD):
            return None
        return NativeScore(
            self._booster,
            preparation=self._preparation,
            recalibration=self._recalibration,
            floor=self.description.raw_risk_floor,
            of_hazard=method == XGBOOST_HAZARD,
        )

    @cached_property
    def explainer(self) -> Explainer:
        """What divides a risk among the features."""
        stored = self.description
        return Explainer(
            stored.explanation,
            booster=self._booster,
            preparation=self._preparation,
            recalibration=self._recalibration,
            score=self.run,
            reference=np.asarray(
                [stored.typical_row[name] for name in self.description.feature_columns], dtype=np.float64
            ),
        )

    def require_same(self, risk: FloatArray, other: FloatArray) -> None:
        """See `Bundle.require_same`."""
        require_equal(self.description.candidate, risk, other)

    def require_fitted(self, model: Fitted, X: FloatArray) -> None:
        """Raise BundleError where graph or booster say something else than the fitted pipeline."""
        fitted = model.recalibration.apply(raw_risk(model.pipeline.predict_proba(X), floor=model.floor))
        for risk in (self._graph(X), self.run(X)):
            self.require_same(risk, fitted)


def write_files(folder: Path, model: Fitted, *, X: FloatArray, statement: str, facts: BundleFacts) -> None:
    """Write graph, statement, booster and description of a fitted model; arguments as `Bundle.write`."""
    pipeline = without_sampler(model.pipeline)
    estimator = pipeline[-1]
    preparation = Preparation.of(pipeline, n_features=len(model.feature_columns))
    graph = build_graph(estimator, preparation, model.recalibration, floor=model.floor, n_classes=len(model.classes))
    (folder / MODEL).write_bytes(graph.SerializeToString(deterministic=True))
    (folder / STATEMENT).write_text(statement.rstrip() + "\n", encoding="utf-8")
    with np.errstate(all="ignore"):
        typical = np.array(
            [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in X.T]
        )
    # The middle one of numbers that name groups is a group like any other; what was never seen stands for all.
    for pooled in preparation.pooled:
        typical[pooled.place] = UNSEEN_GROUP
    BundleDescription(
        **{name: getattr(facts, name) for name in facts.model_fields_set},
        candidate=model.name,
        parameters=dict(model.parameters),
        imbalance=model.imbalance,
        feature_columns=model.feature_columns,
        classes=model.classes,
        recalibration=StoredRecalibration.model_validate(model.recalibration.to_json()),
        raw_risk_floor=model.floor,
        preparation=StoredPreparation.model_validate(preparation.to_json()),
        explanation=export(estimator, name=model.name, n_classes=len(model.classes), folder=folder),
        typical_row=dict(zip(model.feature_columns, typical.tolist(), strict=True)),
        uncertainty=_stored(model.uncertainty),
    ).write(folder)


def _stored(found: RiskUncertainty) -> StoredUncertainty:
    if found.factor is None:
        return StoredUncertainty(missing=found.missing)
    return StoredUncertainty(level=LEVEL, factor=triangle(found.factor))


def triangle(factor: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Rows of the lower triangle of a factor (k, k), as a bundle keeps them."""
    return tuple(tuple(row[: place + 1]) for place, row in enumerate(factor.tolist()))


def square_factor(rows: tuple[tuple[float, ...], ...]) -> FloatArray:
    """The factor (k, k) of the rows that `triangle` gave."""
    found = np.zeros((len(rows), len(rows)))
    for place, row in enumerate(rows):
        found[place, : place + 1] = row
    return found


def _whole_blocks(X: FloatArray) -> FloatArray:
    """Features (n, p) with the last row repeated up to a whole number of blocks."""
    added = -len(X) % _BLOCK_ROWS
    return np.ascontiguousarray(np.pad(X, ((0, added), (0, 0)), mode="edge") if added else X, dtype=np.float64)


def _numbers(frame: pl.DataFrame, names: tuple[str, ...]) -> FloatArray:
    import polars as pl

    wrong = [name for name in names if not (frame[name].dtype.is_numeric() or frame[name].dtype == pl.Boolean)]
    if wrong:
        raise BundleError(f"feature {wrong[0]} is no number.", cure="Make the features with the bundle's features.sql.")
    # Column by column, as the frame holds them: rows in one piece take four times as long to make, and the predictor of
    # XGBoost, which gathers the values of a row itself, gains next to nothing by them.
    return frame.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy(order="fortran")
