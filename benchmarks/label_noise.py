"""Wrong labels in training: what they cost on right ones, what is estimated, and what counting doubted ones less gives.

    python -m benchmarks.label_noise [--repeats 12]

Two sets of rows: measurements of breast tumours (scikit-learn's copy of the Wisconsin data, classes that hardly
overlap) and the generator `disease_severity` ("severe or profound", classes that overlap much; SYNTHETIC). Of the
training labels 0, 5, 10 and 20 % are turned round; models are a ridge and LightGBM at their first setting, recalibrated
inside; AUROC and Brier score are of rows with right labels. Means and 2.5 and 97.5 percentiles over repeats.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from assets_tests.worlds.tables.training import make_spec
from benchmarks.rare_diseases import summary, table
from clinical_assets.cohorts.decisions import LabelNoise
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.search.search import fit_setting, tune
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.statistics.calibration.label_noise import label_noise

SHARES = (0.0, 0.05, 0.1, 0.2)
WEIGHTS = (None, 0.5, 0.1)


def rows(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and right labels."""
    if name == "breast tumours":
        X, y = load_breast_cancer(return_X_y=True)
        return np.asarray(X), 1 - np.asarray(y)
    X, grade, _ = table(seed, 1200)
    return X[:, :-1], (grade >= 3).astype(np.int64)


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=12)
    found, estimates = [], []
    for repeat in range(parser.parse_args().repeats):
        for data in ("breast tumours", "disease severity"):
            X, y = rows(data, 300 + repeat)
            random = np.random.default_rng(repeat)
            held = random.random(len(y)) < 0.4
            order = random.permutation(np.flatnonzero(~held))
            for share in SHARES:
                told = y.copy()
                turned = order[: round(share * order.size)]
                told[turned] = 1 - told[turned]
                names = tuple(f"f{place}" for place in range(X.shape[1]))
                seen = ModelInput(
                    pl.DataFrame({"row": np.flatnonzero(~held)}), X[~held], told[~held], np.arange((~held).sum()),
                    names, ("no", "yes"),
                )  # fmt: skip
                for name in ("logistic_ridge", "lightgbm"):
                    for weight in WEIGHTS:
                        modelling = make_spec(candidates=(name,), inner=5).modelling.model_copy(
                            update={"label_noise": LabelNoise(doubted_weight=weight)}
                        )
                        kind = candidate_type(name, modelling, names)
                        tuned = tune(name, seen, modelling=modelling, fixed=start(kind, seen.n))
                        fitted = fit_setting(kind, start(kind, seen.n), "none", seen, seed=1)
                        raw = candidates.raw_risk(fitted.predict_proba(X[held]), floor=kind.floor)
                        risk = tuned.recalibration.apply(raw)
                        brier = ((risk - y[held]) ** 2).mean()
                        way = "all alike" if weight is None else f"doubted count {weight}"
                        found.append((data, name, share, way, roc_auc_score(y[held], risk), brier))
                        if weight is None and name == "logistic_ridge":
                            try:
                                e = label_noise(seen.y, tuned.recalibration.apply(tuned.raw))
                            except InsufficientData:
                                continue
                            estimates.append((data, share, e.value, e.ci_low <= share <= e.ci_high))
    pl.Config.set_tbl_rows(100)
    frame = pl.DataFrame(found, schema=["data", "model", "share", "way", "auroc", "brier"], orient="row")
    for value in ("auroc", "brier"):
        print(value, summary(frame, ["data", "model", "share", "way"], value))
    told = pl.DataFrame(estimates, schema=["data", "share", "estimate", "inside"], orient="row")
    print(summary(told, ["data", "share"], "estimate"))
    print(told.group_by(["data", "share"], maintain_order=True).agg(pl.col("inside").mean(), pl.len()))


if __name__ == "__main__":
    main()
