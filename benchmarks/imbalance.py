"""Ways of treating a rare class, compared on one cohort's training rows by nested cross-validation.

    python -m benchmarks.imbalance [framingham_chd] [--trials 4]

Prints, for LightGBM and a ridge, AUROC, Brier score, calibration slope and cost per patient of the recalibrated risks
of each way, with intervals, and the paired difference to doing nothing (1,000 resamples of subjects). The holdout is
not looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from assets_tests.worlds.tables.shipped import build_cohort, own_settings
from clinical_assets.cohorts.decisions import Search
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.modelling.search.search import nested
from clinical_assets.modelling.table.inputs import model_input
from clinical_assets.modelling.table.row_losses import action_risk
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.statistics.calibration.calibration import calibration_slope
from clinical_assets.warehouse.features.feature_table import load_feature_table

WAYS = {
    "lightgbm": ("none", "class_weight", "smote", "smotenc", "focal"),
    "logistic_ridge": ("none", "class_weight", "smote", "smotenc"),
}
RESAMPLES = 1000


def measures(event: IntArray, risk: FloatArray, threshold: float) -> FloatArray:
    """AUROC, Brier score, and cost per patient in false alarms."""
    alert = risk >= threshold
    miss = (1 - threshold) / threshold
    cost = np.where(alert & (event == 0), 1.0, 0.0) + np.where(~alert & (event == 1), miss, 0.0)
    return np.array([roc_auc_score(event, risk), ((risk - event) ** 2).mean(), cost.mean()])


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cohort", nargs="?", default="framingham_chd")
    parser.add_argument("--trials", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        built = build_cohort(asked.cohort, own_settings(Path(folder)))
        table = load_feature_table(built.warehouse, built.spec)
    spec, data = built.spec, model_input(table, built.spec)
    share = spec.modelling.holdout_share
    train = data.rows(split_holdout(data.frame, subject=table.subject, share=share, together=data.groups).train)
    event = (train.y >= spec.target.action_from).astype(np.int64)
    threshold = spec.decisions.costs.threshold
    units, unit = np.unique(train.groups, return_inverse=True)
    random = np.random.default_rng(1)
    drawn = [np.concatenate([np.flatnonzero(unit == u) for u in random.integers(0, units.size, units.size)])
             for _ in range(RESAMPLES)] if units.size < train.n else [
        random.integers(0, train.n, train.n) for _ in range(RESAMPLES)
    ]  # fmt: skip
    print(f"{asked.cohort}: {train.n} training rows, {event.sum()} events; action from a risk of {threshold:.2f}")
    for name, ways in WAYS.items():
        plain: FloatArray | None = None
        for way in ways:
            modelling = spec.modelling.model_copy(
                update={"imbalance": (way,), "search": Search(trials=asked.trials), "candidates": (name,)}
            )
            found = nested([name], train, modelling=modelling)[name]
            risk = action_risk(found.risk, action_from=spec.target.action_from)
            at = measures(event, risk, threshold)
            resampled = np.array([measures(event[rows], risk[rows], threshold) for rows in drawn])
            plain = resampled if plain is None else plain
            low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
            apart = np.quantile(resampled - plain, (0.025, 0.5, 0.975), axis=0)
            slope = calibration_slope(event, risk)
            print(f"{name} {way}: slope {slope.value:.2f} ({slope.ci_low:.2f} to {slope.ci_high:.2f})", flush=True)
            for place, label in enumerate(("AUROC", "Brier", "cost")):
                print(
                    f"    {label} {at[place]:.4f} ({low[place]:.4f} to {high[place]:.4f}); against none "
                    f"{apart[1, place]:+.4f} ({apart[0, place]:+.4f} to {apart[2, place]:+.4f})"
                )


if __name__ == "__main__":
    main()
