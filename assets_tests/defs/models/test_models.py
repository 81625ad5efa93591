"""One run goes from the source to a risk model with its card, the same every time, and refuses leaks in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

from clinical_assets.cohorts.registry import SHIPPED
from clinical_assets.definitions import load
from clinical_assets.defs.resources import Platform
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.record_scoring import RecordScorer
from clinical_assets.modelling.trainings.trainings import latest, latest_pointer

COHORT = "heart_disease"


def _quick(folder: Path, **changes: Any) -> Path:
    """The shipped heart disease cohort with a small search, so that a test takes seconds."""
    value = yaml.safe_load((SHIPPED / f"{COHORT}.yaml").read_text(encoding="utf-8"))
    value["modelling"] = {
        "candidates": ["logistic_ridge", "lightgbm"],
        "search": {"trials": 2, "inner_folds": 2, "outer_folds": 3},
        "split_by": "hospital",
    }
    value.update(changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{COHORT}.yaml").write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return folder


def _run(platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return (
        load()
        .resolve_job_def("train_cohort")
        .execute_in_process(
            partition_key=COHORT, instance=instance, resources={"platform": platform}, raise_on_error=False
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose tracking store is its own."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINICAL_ASSETS_DATA", str(folder / "data"))
        patch.delenv("CLINICAL_ASSETS_CATALOGUE", raising=False)
        yield folder


@pytest.fixture(scope="module")
def instance(place: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(place)) as made:
        yield made


@pytest.fixture(scope="module")
def platform(place: Path) -> Platform:
    return Platform(data=str(place / "data"), catalogue=str(_quick(place / "catalogue")))


@pytest.fixture(scope="module")
def trained(platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return _run(platform, instance)


@pytest.fixture(scope="module")
def settings(place: Path, trained: dg.ExecuteInProcessResult) -> Settings:
    assert trained.success
    return Settings.from_environment()


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    event = result.asset_materializations_for_node("model_card" if asset == "model_card" else "risk_modelling")
    return {k: v.value for e in event if e.asset_key == dg.AssetKey(asset) for k, v in e.metadata.items()}


def test_results_hold_every_number_with_its_interval(settings: Settings) -> None:
    found = latest(settings, COHORT).results
    assert (found.n, found.events, found.synthetic) == (920, 509, False)
    assert found.selected in {row.name for row in found.candidates}
    for name in ("auroc", "brier", "calibration_slope", "calibration_intercept", "ici", "net_benefit"):
        estimate = found.metrics[name]
        assert estimate.ci_low <= estimate.value <= estimate.ci_high
    assert {row.policy for row in found.business_table} >= {"treat all", "treat none"}
    assert found.bundle_digest == latest(settings, COHORT).bundle().digest


def test_every_materialisation_shows_pictures_tables_and_whether_records_are_real(trained) -> None:
    for asset, picture in [
        ("candidate_models", "every setting tried"),
        ("risk_model", "calibration"),
        ("decision_threshold", "cost by threshold"),
        ("model_card", "card"),
    ]:
        shown = _metadata(trained, asset)
        assert "data:image/png;base64," in shown[picture]
        assert shown["records are"] == "real records"


def test_the_card_is_a_file_with_its_pictures_beside_it_and_admits_what_is_missing(settings: Settings) -> None:
    report = latest(settings, COHORT).report
    card = (report / "model_card.md").read_text(encoding="utf-8")
    for heading in ("Performance on the holdout", "Decision", "Subgroups", "Limits of the data", "must still write"):
        assert heading in card
    assert "SYNTHETIC" not in card
    drawn = [line.split("(")[-1].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert len(drawn) >= 5
    assert all((report / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    assert json.loads((report / "model_card.json").read_text())["results"]["n"] == 920


def test_the_bundle_scores_the_validated_records_as_the_training_did(settings: Settings, platform: Platform) -> None:
    cohort = platform.cohort(COHORT)
    records = {table: cohort.warehouse.query(f"SELECT * FROM validated.{table}") for table in cohort.spec.tables}
    with RecordScorer(cohort.spec, latest(settings, COHORT).bundle()) as scorer:
        scored = scorer.score(records).frame.select("patient_id", "risk")
    kept = cohort.warehouse.query("SELECT patient_id, risk FROM model.holdout_scores")
    assert scored.height == 920
    both = kept.join(scored, on="patient_id", suffix="_again")
    assert both.height == kept.height
    assert both["risk"].to_list() == both["risk_again"].to_list()


def test_every_setting_tried_is_kept_in_the_warehouse(settings: Settings, platform: Platform) -> None:
    trials = platform.cohort(COHORT).warehouse.query("SELECT candidate, count(*) AS n FROM model.trials GROUP BY ALL")
    # Three outer folds of two settings each for both candidates, and the final search of the winner.
    assert sorted(trials["n"]) == [6, 8]


def test_training_again_gives_the_same_bundle(trained, settings: Settings, platform, instance) -> None:
    before = latest(settings, COHORT)
    again = _run(platform, instance)
    assert again.success
    after = latest(settings, COHORT)
    assert after.results.bundle_digest == before.results.bundle_digest
    assert after.results.training_digest == before.results.training_digest
    assert after.folder == before.folder


def _dropout(folder: Path) -> Path:
    """A trial whose file holds the day of dropping out beside the outcome, described by someone in a hurry."""
    rng = np.random.default_rng(5)
    n = 600
    age = rng.normal(60, 9, n).round(1)
    dropout = (rng.random(n) < 1 / (1 + np.exp(-(age - 66) / 8))).astype(int)
    day = np.where(dropout == 1, rng.integers(5, 170, n), 0)
    frame = pl.DataFrame(
        {
            "id": np.arange(n),
            "age": age,
            "visits": rng.poisson(4, n),
            "dropout_day": [int(d) if d else None for d in day],
            "late_dropout": (day > 90).astype(int),
            "early_dropout": ((day > 0) & (day <= 90)).astype(int),
            "dropout": dropout,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_csv(folder / "trial.csv")
    numbers = ("age", "visits", "dropout_day", "late_dropout", "early_dropout")
    columns = {name: {"type": "number", "description": name} for name in numbers}
    columns["id"] = {"type": "integer", "role": "identifier", "nullable": False, "description": "Number."}
    columns["dropout"] = {"type": "integer", "role": "target", "nullable": False, "description": "Dropped out."}
    return _quick(
        folder,
        title="A trial in a hurry",
        data={"kind": "synthetic", "source": "made here", "licence": "CC0", "limits": ["Made up."]},
        prediction={"moment": "At the first visit."},
        subject="id",
        tables={
            "subjects": {
                "description": "One row per participant.",
                "source": {"kind": "file", "path": "trial.csv"},
                "key": ["id"],
                "columns": columns,
            }
        },
        features="declared_columns",
        outcome="target_class",
        vars={"target_column": "dropout", "positive_values": [1]},
        target={"description": "Dropped out.", "classes": ["stayed", "dropped out"]},
        modelling={"candidates": ["logistic_ridge"], "search": {"trials": 1, "inner_folds": 2, "outer_folds": 2}},
    )


def test_columns_that_know_the_outcome_stop_the_training_and_are_named(tmp_path: Path, instance, place) -> None:
    platform = Platform(data=str(tmp_path / "data"), catalogue=str(_dropout(tmp_path / "catalogue")))
    result = _run(platform, instance)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    for column in ("dropout_day", "late_dropout", "early_dropout"):
        assert column in said
    assert "role `outcome`" in said
    cohort = platform.cohort(COHORT)
    told = latest_pointer(cohort.settings, COHORT)
    assert told is not None
    assert {"dropout_day", "late_dropout"} <= {name for leak in told.leakage for name in leak.column.split(", ")}


def test_synthetic_records_are_named_on_card_and_pictures(tmp_path: Path, instance, place) -> None:
    folder = _dropout(tmp_path / "catalogue")
    value = yaml.safe_load((folder / f"{COHORT}.yaml").read_text())
    for name in ("dropout_day", "late_dropout", "early_dropout"):
        value["tables"]["subjects"]["columns"][name]["role"] = "outcome"
    (folder / f"{COHORT}.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    result = _run(Platform(data=str(tmp_path / "data"), catalogue=str(folder)), instance)
    assert result.success
    card = _metadata(result, "model_card")["card"]
    assert "SYNTHETIC RECORDS" in card[:300]
    assert _metadata(result, "risk_model")["records are"].startswith("SYNTHETIC")
