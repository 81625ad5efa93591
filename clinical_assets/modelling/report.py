"""From a training's result to what is kept of it: plain results, pictures, mean contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.modelling import plots
from clinical_assets.modelling.bundle import Bundle
from clinical_assets.modelling.inputs import FloatArray
from clinical_assets.modelling.result import TrainingResult, plain
from clinical_assets.modelling.trainings import leak_row

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec

_EXPLAINED_ROWS = 500


@dataclass(frozen=True)
class Report:
    """What a training says, ready to be kept and shown.

    Attributes
    ----------
    results : dict
        Plain values; what ``clinical-assets results --json`` prints.
    pictures : dict
        PNG bytes by name: ``candidates``, ``trials``, ``calibration``, ``decision_curve``, ``cost_curve``,
        ``risk_distribution``, ``contributions``; one that the rows cannot support is left out.
    """

    results: dict[str, Any]
    pictures: dict[str, bytes]


def make_report(
    result: TrainingResult, spec: CohortSpec, bundle: Bundle, *, holdout_features: FloatArray, prov: Mapping[str, Any]
) -> Report:
    """Collect results and draw pictures.

    Parameters
    ----------
    result : TrainingResult
        Of `bundle`'s model.
    holdout_features : array of shape (n, p)
        Features of the holdout, in the order of the bundle; up to 500 of them are explained.
    prov : mapping
        As ``trainings.provenance`` gave it.
    """
    contributions = _mean_contributions(bundle, holdout_features)
    results = {
        **result.to_json(),
        "leakage": [leak_row(leak) for leak in result.leakage],
        "warnings": [plain(warning) for warning in result.warnings],
        "contributions": contributions,
        "bundle_digest": bundle.digest,
        "training_digest": result.digest,
        "provenance": dict(prov),
    }
    return Report(results=results, pictures=_pictures(result, spec, contributions))


def _mean_contributions(bundle: Bundle, features: FloatArray) -> dict[str, float]:
    rows = features[:_EXPLAINED_ROWS]
    if rows.shape[0] == 0:
        return {}
    shares = np.abs(bundle.explain(rows).contributions)
    # With several classes, the mean over classes.
    means = shares.reshape(shares.shape[0], shares.shape[1], -1).mean(axis=(0, 2))
    order = np.argsort(-means, kind="stable")
    return {bundle.feature_columns[i]: float(means[i]) for i in order}


def _pictures(result: TrainingResult, spec: CohortSpec, contributions: Mapping[str, float]) -> dict[str, bytes]:
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
    if result.calibration is not None:
        made["calibration"] = plots.calibration_picture(result.calibration, synthetic=synthetic)
    if result.decision_curve is not None:
        made["decision_curve"] = plots.decision_curve_picture(
            result.decision_curve, threshold=result.threshold.threshold, synthetic=synthetic
        )
    made["cost_curve"] = plots.cost_curve_picture(
        result.threshold.curve, unit=spec.decisions.costs.unit, synthetic=synthetic
    )
    scores = result.holdout_scores
    split = [
        " / ".join(spec.target.classes[: result.action_from]),
        " / ".join(spec.target.classes[result.action_from :]),
    ]
    made["risk_distribution"] = plots.risk_distribution_picture(
        (scores["outcome"].to_numpy() >= result.action_from).astype(int),
        scores["risk"].to_numpy(),
        classes=split,
        thresholds={tier.name: tier.lower for tier in spec.decisions.tiers},
        synthetic=synthetic,
    )
    if contributions:
        made["contributions"] = plots.contributions_picture(contributions, synthetic=synthetic)
    return made
