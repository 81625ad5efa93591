"""Ways of treating a rare class: invented records with categories that exist, and focal loss for boosters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier

from assets_tests.worlds.ward.bundle_facts import made_up_facts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.kinds import KINDS, kind_of
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.search.uncertainty import RiskUncertainty
from clinical_assets.statistics.calibration.logistic import logit
from clinical_assets.statistics.discrimination.focal_loss import focal_loss


def rows(n: int = 500, *, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two measurements, two yes-or-no columns and one of three numbers; the first class is common."""
    random = np.random.default_rng(4)
    X = np.column_stack([
        random.normal(size=(n, 2)), random.random((n, 2)) < (0.5, 0.1), random.integers(0, 3, n)
    ]).astype(float)  # fmt: skip
    latent = X[:, 0] + X[:, 2] + random.normal(size=n)
    y = np.digitize(latent, np.quantile(latent, np.linspace(0.8, 1, classes)[:-1]))
    return X, y.astype(np.int64)


def test_invented_records_have_one_of_the_two_values_of_a_column() -> None:
    X, y = rows()
    drawn, classes = candidates._mixed_sampler()(k_neighbors=5, random_state=1).fit_resample(X, y)
    assert np.bincount(classes).tolist() == [np.bincount(y)[0]] * 2
    invented = drawn[len(X) :]
    assert set(np.unique(invented[:, 2:4])) == {0.0, 1.0}
    assert not np.isin(invented[:, 0], X[:, 0]).any()


@pytest.mark.parametrize("kept", [[0, 1], [2, 3]])
def test_columns_that_are_all_numbers_or_all_categories_are_drawn_too(kept: list[int]) -> None:
    X, y = rows()
    drawn, classes = candidates._mixed_sampler()(k_neighbors=5, random_state=1).fit_resample(X[:, kept], y)
    assert np.ptp(np.bincount(classes)) == 0
    assert (np.unique(drawn).size > 2) == (kept == [0, 1])


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.timed])
def test_every_candidate_is_fitted_with_smotenc(name: str) -> None:
    X, y = rows(200)
    X[::9, 0] = np.nan
    pipeline = candidates.build(name, start(name, len(y)), n_classes=2, imbalance="smotenc", minority=40)
    raw = candidates.fit(pipeline, X, y, imbalance="smotenc").predict_proba(X)[:, 1]
    # Balanced classes raise every risk.
    assert raw.mean() > y.mean() + 0.05


@dataclass(frozen=True)
class Model:
    """A booster fitted by focal loss, with a map that is not the identity."""

    pipeline: Any
    recalibration: Recalibration
    classes: tuple[str, ...]
    name: str = "lightgbm"
    imbalance: str = "focal"
    feature_columns: tuple[str, ...] = ("a", "b", "c", "d", "e")
    floor: float = 1e-6

    @property
    def uncertainty(self) -> RiskUncertainty:
        return RiskUncertainty(None, "It was not fitted by a training.")

    @property
    def parameters(self) -> dict[str, Any]:
        return start("lightgbm", 500)


def fitted(X: np.ndarray, y: np.ndarray, imbalance: str, weights: np.ndarray | None = None) -> Any:
    setting = start("lightgbm", len(y))
    pipeline = candidates.build("lightgbm", setting, n_classes=int(y.max()) + 1, imbalance=imbalance, seed=3)
    return candidates.fit(pipeline, X, y, imbalance=imbalance, weights=weights)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bundle_of_a_booster_fitted_by_focal_loss_scores_and_explains_as_the_pipeline(
    tmp_path: Path, classes: int
) -> None:
    X, y = rows(classes=classes)
    X[::7, 0] = np.nan
    pipeline = fitted(X, y, "focal")
    maps = Recalibration((0.2,) * (classes - 1), (1.3,) * (classes - 1))
    model = Model(pipeline, maps, tuple(f"grade {k}" for k in range(classes)))
    bundle = Bundle.write(tmp_path / "bundle", model, X=X, statement="SELECT 1", facts=made_up_facts(), run={})
    expected = maps.apply(candidates.raw_risk(pipeline.predict_proba(X), floor=1e-6))
    assert bundle.score(X) == pytest.approx(expected, abs=1e-5)
    told = bundle.explain(X[:10])
    summed = told.base + told.contributions.sum(axis=1)
    assert summed == pytest.approx(logit(bundle.score(X[:10])), abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_focal_loss_of_the_training_rows_is_less_than_that_of_the_ordinary_booster(classes: int) -> None:
    X, y = rows(classes=classes)
    losses = {}
    for imbalance in ("none", "focal"):
        raw = fitted(X, y, imbalance).predict_proba(X)
        margins = logit(raw[:, 1]) if classes == 2 else np.log(raw)
        losses[imbalance] = focal_loss(margins, y).mean()
    assert losses["focal"] < losses["none"]


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    X, y = rows(300)
    X = X[:, 2:]  # few values, so that bins do not depend on how many rows there are
    weights = np.where(np.arange(300) % 3 == 0, 2.0, 1.0)
    chosen = np.repeat(np.arange(300), weights.astype(int))
    setting = {"n_estimators": 20, "num_leaves": 4, "min_child_samples": 1, "learning_rate": 0.1}

    def model() -> Any:
        return kind_of("lightgbm").focal(setting | {"subsample_freq": 0}, 2, 1)  # type: ignore[misc]

    weighted = model().fit(X, y, sample_weight=weights).predict_proba(X)
    repeated = model().fit(X[chosen], y[chosen]).predict_proba(X)
    assert weighted == pytest.approx(repeated, abs=1e-6)
    assert np.abs(weighted - model().fit(X, y).predict_proba(X)).max() > 1e-3


def test_focal_loss_is_tried_with_those_that_know_it_alone() -> None:
    offered = ("none", "focal")
    assert candidates.strategies(kind_of("lightgbm"), offered) == ["none", "focal"]
    assert candidates.strategies(kind_of("logistic_ridge"), offered) == ["none"]
    assert candidates.strategies(kind_of("logistic_ridge"), ("focal",)) == ["none"]
    assert isinstance(kind_of("lightgbm").focal(start("lightgbm", 100), 2, 1), LGBMClassifier)  # type: ignore[misc]
