"""Bundles, stores and processes for the tests that track trainings."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets_tests.worlds.ward.bundle_facts import made_up_facts
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.search import candidates
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.search.spaces import start
from clinical_assets.modelling.search.uncertainty import RiskUncertainty
from clinical_assets.modelling.tracking import mlflow_runs, mlflow_store, registry
from clinical_assets.modelling.tracking.mlflow_runs import TrackedRun
from clinical_assets.modelling.tracking.mlflow_values import Candidate
from clinical_assets.statistics.uncertainty.intervals import Estimate

FACTS = {"data_digest": "sha256:data", "spec_digest": "sha256:spec", "synthetic": True}


@dataclass(frozen=True)
class Fitted:
    """A fitted candidate as a bundle wants it."""

    pipeline: Any
    name: str = "logistic_ridge"
    feature_columns: tuple[str, ...] = ("age", "dose")
    classes: tuple[str, ...] = ("no", "yes")
    imbalance: str = "none"
    floor: float = 1e-6

    @property
    def recalibration(self) -> Recalibration:
        return Recalibration((0.1,), (0.9,))

    @property
    def uncertainty(self) -> RiskUncertainty:
        return RiskUncertainty(None, "None is known of a made-up model.")

    @property
    def parameters(self) -> dict[str, Any]:
        return start(self.name, 80)


AUROC = Estimate(value=0.71, ci_low=0.66, ci_high=0.76, n=200, events=50, method="made up")
ROWS = np.random.default_rng(5).normal(size=(80, 2))


def small_bundle(folder: Path, cohort: str, *, note: str = "") -> Bundle:
    """A bundle that scores; another `note` gives another digest."""
    model = Fitted(
        candidates.build(
            "logistic_ridge", start("logistic_ridge", 80), n_classes=2, imbalance="none", seed=1, minority=30
        )
    )
    candidates.fit(model.pipeline, ROWS, (ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.8).astype(np.int64), imbalance="none")
    facts = made_up_facts(cohort, provenance={"code_version": note})
    return Bundle.write(folder, model, X=ROWS, statement="SELECT 1", facts=facts, run={"run_id": "only this once"})


def train_in_another_process(settings: Settings, cohort: str, shared: str, bundle: Path) -> str:
    """What one of several processes does at once.

    Its own training from the first use of the store to the registry, and steps of one Dagster run that all processes
    have in common.
    """
    try:
        for number in range(3):
            common = mlflow_runs.open_run(settings, cohort=shared, dagster_run_id="common-1", synthetic=True)
            common.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": 0.7})])
            run = mlflow_runs.open_run(settings, cohort=cohort, dagster_run_id=f"{cohort}-{number}", synthetic=True)
            run.record_candidates([Candidate(name, {"C": 0.1}, {"auroc": 0.6}) for name in ("ridge", "bayes")])
            registry.register(Bundle.load(bundle), run=run, **FACTS)
            run.close("FINISHED")
    except (ClinicalAssetsError, sqlite3.Error) as error:
        return str(error)
    return common.run_id


def tracked_run(settings: Settings, cohort: str, dagster_run_id: str = "0a1b2c3d-1") -> TrackedRun:
    """A run of synthetic records."""
    return mlflow_runs.open_run(settings, cohort=cohort, dagster_run_id=dagster_run_id, synthetic=True)


def all_runs(settings: Settings, cohort: str) -> list[Any]:
    """Every run of a cohort, nested ones too."""
    store = mlflow_store.client(settings)
    return list(store.search_runs([mlflow_store.experiment_id(settings, cohort)]))


def files_of(settings: Settings, cohort: str) -> list[Path]:
    """Stored files of a cohort's runs and models."""
    folder = mlflow_store.artifact_root(settings) / cohort
    return [path for path in folder.rglob("*") if path.is_file()]
