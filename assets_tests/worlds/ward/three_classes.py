"""A bundle of three classes on the ward's features and statement; how its classes came about is of no consequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets_tests.worlds.ward.bundle_facts import made_up_facts
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.search.candidates import build, fit
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.search.uncertainty import RiskUncertainty
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.warehouse.store.warehouse import Warehouse

Costs = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ThreeClasses:
    """A fitted model of three classes on the ward's features; how it came about is of no consequence here."""

    pipeline: Any
    feature_columns: tuple[str, ...]
    name: str = "logistic_ridge"
    classes: tuple[str, ...] = ("none", "mild", "severe")
    imbalance: str = "none"
    floor: float = 1e-6

    @property
    def recalibration(self) -> Recalibration:
        return Recalibration((0.0, 0.0), (1.0, 1.0))

    @property
    def uncertainty(self) -> RiskUncertainty:
        return RiskUncertainty(None, "No interval is known for the risks of more than two classes.")

    @property
    def parameters(self) -> dict[str, Any]:
        return start(self.name, 400)


def three_class_bundle(like: Bundle, warehouse: Warehouse, folder: Path, *, costs: Costs | None = None) -> Bundle:
    """Three ranges of the first feature as classes, learned from the rows that were kept for another bundle."""
    names = like.feature_columns
    features = warehouse.query(f"SELECT * FROM {relation_of(like.digest)}")
    X = features.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    y = np.digitize(np.nan_to_num(X[:, 0]), np.nanquantile(X[:, 0], [0.5, 0.9]))
    pipeline = build("logistic_ridge", start("logistic_ridge", y.size), n_classes=3, seed=3)
    fit(pipeline, X, y, imbalance="none")
    given = {} if costs is None else {"class_costs": costs}
    facts = made_up_facts(COHORT, **given)
    return Bundle.write(folder, ThreeClasses(pipeline, names), X=X, statement=like.statement, facts=facts)
