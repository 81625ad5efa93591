"""Several hundred features of which ten matter: does a candidate that leaves features out need help?

    python -m benchmarks.many_features [--repeats 4]

SYNTHETIC rows: standard normal features, the outcome follows ten of them (coefficient 0.5 each). Nested AUROC and
calibration slope of the ridge and the elastic net, beside a logistic model that is told which ten matter.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from assets_tests.worlds.tables.training import make_spec
from benchmarks.rare_diseases import summary
from clinical_assets.modelling.search.search import nested
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.statistics.calibration.calibration import calibration_slope

ROWS, MATTER, WIDTHS = 800, 10, (10, 300)
NAMES = ("logistic_ridge", "logistic_elastic_net")


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=4)
    found = []
    for repeat in range(parser.parse_args().repeats):
        random = np.random.default_rng(repeat)
        whole = random.normal(size=(ROWS, max(WIDTHS)))
        y = (random.random(ROWS) < expit(0.5 * whole[:, :MATTER].sum(axis=1) - 1)).astype(np.int64)
        told = cross_val_predict(
            LogisticRegression(C=np.inf), whole[:, :MATTER], y, cv=5, method="predict_proba"
        )[:, 1]  # fmt: skip
        found.append((max(WIDTHS), "told which ten", roc_auc_score(y, told), calibration_slope(y, told).value))
        for width in WIDTHS:
            names = tuple(f"f{place}" for place in range(width))
            frame = pl.DataFrame({"row": np.arange(ROWS)})
            data = ModelInput(frame, whole[:, :width].copy(), y, np.arange(ROWS), names, ("no", "yes"))
            modelling = make_spec(candidates=NAMES, trials=8, inner=3, outer=5).modelling
            for name, estimate in nested(NAMES, data, modelling=modelling).items():
                slope = calibration_slope(y, estimate.risk).value
                found.append((width, name, roc_auc_score(y, estimate.risk), slope))
    frame = pl.DataFrame(found, schema=["features", "model", "auroc", "slope"], orient="row")
    for value in ("auroc", "slope"):
        print(value, summary(frame, ["features", "model"], value))


if __name__ == "__main__":
    main()
