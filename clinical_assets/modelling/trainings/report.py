"""From a training's result to what is kept of it: plain results, pictures, mean contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.description.class_performance import class_performance
from clinical_assets.modelling.description.model_terms import directions, model_terms
from clinical_assets.modelling.description.performance import age_bands
from clinical_assets.modelling.description.risk_certainty import risk_certainty
from clinical_assets.modelling.description.table_one import table_one
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.evaluation.result import TrainingResult
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.modelling.trainings import plots
from clinical_assets.modelling.trainings.scored import Scored, performance_views, scored_pictures
from clinical_assets.warehouse.features.feature_table import FeatureTable

_EXPLAINED_ROWS = 500


@dataclass(frozen=True)
class TrainingReport:
    """What a training says, ready to be kept and shown.

    Attributes
    ----------
    results : TrainingResults
        What ``clinical-assets results --json`` prints.
    pictures : dict
        PNG bytes by name: ``candidates``, ``trials``, ``calibration``, ``group_calibration``, ``class_calibration``,
        ``roc``, ``precision_recall``, ``decision_curve``, ``cost_curve``, ``risk_distribution``, ``contributions``; one
        that the rows cannot support is left out.
    """

    results: TrainingResults
    pictures: dict[str, bytes]


def make_report(
    result: TrainingResult,
    spec: CohortSpec,
    bundle: Bundle,
    *,
    table: FeatureTable,
    flow: Mapping[str, Any],
    prov: Mapping[str, Any],
    labels_of_features: Mapping[str, str] | None = None,
) -> TrainingReport:
    """Collect results and draw pictures.

    Parameters
    ----------
    result : TrainingResult
        Of `bundle`'s model.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The trained bundle, as sealed.
    table : FeatureTable
        The rows that `result` was made from; up to 500 of the holdout are explained.
    flow : mapping
        As ``description.participants.participant_flow`` gave it.
    prov : mapping
        As ``trainings.provenance`` gave it.
    labels_of_features : mapping, optional
        What each feature is, in words.
    """
    key = list(table.key)
    held = table.frame.join(result.holdout_scores.select(*key, "risk"), on=key, maintain_order="right")
    train = table.frame.join(result.out_of_fold.select(key), on=key, how="semi")
    explained = contributions_of(bundle, features_of(held, table.feature_columns))
    labels = {name: held[table.protected_column(name)].to_list() for name in table.protected}
    bands = age_bands(held, train=train, feature_columns=table.feature_columns)
    scored = Scored.of(held, spec, feature_columns=table.feature_columns, labels=labels, bands=bands)
    classes = {}
    if not spec.target.binary:
        y, served = held["outcome"].to_numpy(), bundle.score(held)
        found = class_performance(
            y, served, bundle.decide(served), spec, groups=scored.clusters, weights=scored.weights
        )
        classes = {"class_performance": found}
    results = TrainingResults.model_validate(
        {
            **result.to_json(),
            **explained,
            **performance_views(scored, spec),
            "model_terms": model_terms(bundle),
            "risk_certainty": risk_certainty(bundle, features_of(held, table.feature_columns)),
            "participants": dict(flow),
            "table_one": table_one(table, spec, train=train, holdout=held),
            "bundle_digest": bundle.digest,
            "training_digest": result.digest,
            "provenance": dict(prov),
            **({"feature_labels": dict(labels_of_features)} if labels_of_features else {}),
            **classes,
        }
    )
    pictures = _pictures(result, spec, explained) | scored_pictures(
        scored, spec, metrics=results.metrics, calibration=result.calibration
    )
    if not spec.target.binary:
        pictures["class_calibration"] = plots.class_calibration_picture(
            y, served, classes=spec.target.classes, weights=scored.weights, synthetic=spec.synthetic
        )
    return TrainingReport(results=results, pictures=pictures)


def contributions_of(bundle: Bundle, features: FloatArray) -> dict[str, dict[str, Any]]:
    """``contributions`` (mean absolute, largest first) and ``directions`` of each feature, on up to 500 rows."""
    rows = features[:_EXPLAINED_ROWS]
    if rows.shape[0] == 0:
        return {"contributions": {}, "directions": {}}
    explained = bundle.explain(rows)
    shares = np.abs(explained.contributions)
    # With several classes, the mean over classes.
    means = shares.reshape(shares.shape[0], shares.shape[1], -1).mean(axis=(0, 2))
    order = np.argsort(-means, kind="stable")
    return {
        "contributions": {bundle.feature_columns[i]: float(means[i]) for i in order},
        "directions": directions(explained, rows, bundle.feature_columns),
    }


def _pictures(result: TrainingResult, spec: CohortSpec, explained: Mapping[str, Any]) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    synthetic = result.synthetic
    shown = [(c.name, c.metrics["auroc"]) for c in result.candidates if "auroc" in c.metrics]
    if shown:
        made["candidates"] = plots.candidates_picture(
            [name for name, _ in shown],
            [estimate.value for _, estimate in shown],
            [estimate.ci_low for _, estimate in shown],
            [estimate.ci_high for _, estimate in shown],
            selected=result.selected,
            label="AUROC, nested cross-validation, 95 % interval",
            synthetic=synthetic,
        )
    made["trials"] = plots.trials_picture(result.trials, score="inner_score", synthetic=synthetic)
    if result.decision_curve is not None:
        made["decision_curve"] = plots.decision_curve_picture(
            result.decision_curve, threshold=result.threshold.threshold, synthetic=synthetic
        )
    made["cost_curve"] = plots.cost_curve_picture(
        result.threshold.curve, unit=spec.decisions.costs.unit, synthetic=synthetic
    )
    if explained["contributions"]:
        made["contributions"] = plots.contributions_picture(
            explained["contributions"], explained["directions"], synthetic=synthetic
        )
    return made
