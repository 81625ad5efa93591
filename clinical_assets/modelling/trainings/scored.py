"""Rows that a model has not seen, with its risks: the tables and pictures that a report makes of them.

A training and its later recalibration describe their set-apart rows through here alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.description.performance import band_order, calibration_by_age, rates_by_threshold
from clinical_assets.modelling.description.training_results import Metrics, StoredEstimate
from clinical_assets.modelling.evaluation.subgroups import UNKNOWN
from clinical_assets.modelling.table.together import repeated_units
from clinical_assets.modelling.trainings import plots
from clinical_assets.modelling.trainings.reference import case_weights
from clinical_assets.statistics.calibration.smooth_calibration import CalibrationPlot

if TYPE_CHECKING:
    import polars as pl

_SEX = ("sex", "gender", "sex_at_birth")


@dataclass(frozen=True)
class Scored:
    """Set-apart rows.

    Attributes
    ----------
    event : array of shape (n,), 0 or 1
    risk : array of shape (n,)
        Served, of class ``action_from`` or a more severe one.
    clusters : array of shape (n,) or None
        Subjects, where they have several rows.
    labels : mapping
        Protected attribute to the n codes of its groups; None is unknown.
    bands : polars.Series or None
        Age bands.
    weights : array of shape (n,) or None
        Case weights over their mean, where there are any.
    """

    event: IntArray
    risk: FloatArray
    clusters: IntArray | None
    labels: Mapping[str, Sequence[str | None]]
    bands: pl.Series | None
    weights: FloatArray | None = None

    @classmethod
    def of(
        cls,
        rows: pl.DataFrame,
        spec: CohortSpec,
        *,
        feature_columns: Collection[str],
        labels: Mapping[str, Sequence[str | None]],
        bands: pl.Series | None,
    ) -> Scored:
        """Of rows with the columns subject, ``outcome`` (class number), ``risk`` and, if used, ``case_weight``."""
        return cls(
            event=(rows["outcome"].to_numpy() >= spec.target.action_from).astype(np.int64),
            risk=rows["risk"].to_numpy(),
            clusters=repeated_units(rows, subject=spec.subject_of(spec.subject_table)),
            labels=labels,
            bands=bands,
            weights=case_weights(rows, feature_columns),
        )


def performance_views(scored: Scored, spec: CohortSpec) -> dict[str, Any]:
    """``rates`` at several thresholds and ``age_groups``, for the results of a training."""
    drawn: dict[str, Any] = {"groups": scored.clusters, "weights": scored.weights}
    by_age = [] if scored.bands is None else calibration_by_age(scored.event, scored.risk, scored.bands, spec, **drawn)
    return {
        "rates": rates_by_threshold(scored.event, scored.risk, spec, **drawn),
        "age_groups": by_age,
    }


def scored_pictures(
    scored: Scored, spec: CohortSpec, *, metrics: Metrics, calibration: CalibrationPlot | None
) -> dict[str, bytes]:
    """Calibration as a whole and by group, ROC, precision and recall, and the spread of risks; PNG bytes by name."""
    made: dict[str, bytes] = {}
    synthetic, event, risk, weights = spec.synthetic, scored.event, scored.risk, scored.weights
    if calibration is not None:
        made["calibration"] = plots.calibration_picture(calibration, risk, weights=weights, synthetic=synthetic)
    if event.size and event.min() != event.max():
        threshold = spec.decisions.costs.threshold
        made["roc"] = plots.roc_picture(
            event,
            risk,
            threshold=threshold,
            auroc=_with_interval(metrics.get("auroc")),
            weights=weights,
            synthetic=synthetic,
        )
        made["precision_recall"] = plots.precision_recall_picture(
            event,
            risk,
            threshold=threshold,
            auprc=_with_interval(metrics.get("auprc")),
            weights=weights,
            synthetic=synthetic,
        )
        attributes = _shown_groups(scored, spec)
        if attributes:
            made["group_calibration"] = plots.group_calibration_picture(
                event, risk, attributes, weights=weights, synthetic=synthetic
            )
    if event.size:
        first, classes = spec.target.action_from, spec.target.classes
        made["risk_distribution"] = plots.risk_distribution_picture(
            event,
            risk,
            classes=[" / ".join(classes[:first]), " / ".join(classes[first:])],
            tiers={tier.name: tier.lower for tier in spec.decisions.tiers},
            weights=weights,
            synthetic=synthetic,
        )
    return made


def _shown_groups(scored: Scored, spec: CohortSpec) -> dict[str, dict[str, np.ndarray]]:
    """Age and sex, each with its groups' rows; the first other protected attribute where sex is not described."""
    shown: dict[str, dict[str, np.ndarray]] = {}
    if scored.bands is not None:
        bands = scored.bands.to_numpy()
        shown["Age"] = {band: bands == band for band in sorted(set(bands.tolist()), key=band_order)}
    name = next((each for each in scored.labels if each in _SEX), next(iter(scored.labels), None))
    if name is not None:
        codes = np.array([UNKNOWN if code is None else code for code in scored.labels[name]], dtype=object)
        shown[name.replace("_", " ").capitalize()] = {
            spec.group_label(name, code): codes == code for code in sorted(set(codes.tolist()))
        }
    return shown


def _with_interval(estimate: StoredEstimate | None) -> str:
    if estimate is None:
        return "not estimated"
    ends = [estimate.ci_low, estimate.ci_high]
    low, high = ("unbounded" if end is None else f"{end:.2f}" for end in ends)
    return f"{estimate.value:.2f} ({low} to {high})"
