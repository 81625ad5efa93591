"""Trainings are kept once, by whichever process asks, and dead ones are closed."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from assets_tests.worlds.machine.tracked import (
    AUROC,
    FACTS,
    all_runs,
    files_of,
    small_bundle,
    tracked_run,
    train_in_another_process,
)
from assets_tests.worlds.tables.shipped import own_settings
from assets_tests.worlds.tables.training import made_up, make_spec
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.evaluation.training import train_cohort
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.modelling.tracking.mlflow_runs import DAGSTER_RUN, PARENT, close_stale_runs
from clinical_assets.modelling.tracking.mlflow_store import RegistryError
from clinical_assets.modelling.tracking.mlflow_training import record_training
from clinical_assets.modelling.tracking.mlflow_values import Candidate
from clinical_assets.modelling.tracking.registry import register, versions


def test_processes_that_start_at_once_leave_one_run_each_and_no_lock_error(tmp_path: Path) -> None:
    settings = own_settings(tmp_path / "data")
    settings = replace(settings, lock_patience_s=120)
    cohorts = ("heart", "lung")
    bundles = [small_bundle(tmp_path / name, name).folder for name in cohorts]
    with ProcessPoolExecutor(len(cohorts), mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(train_in_another_process, settings, cohort, "common", bundle)
            for cohort, bundle in zip(cohorts, bundles, strict=True)
        ]
        ended = [job.result() for job in jobs]
    assert len(set(ended)) == 1, ended
    by_experiment = {name: all_runs(settings, name) for name in (*cohorts, "common")}
    assert {run.info.run_id for run in by_experiment["common"] if DAGSTER_RUN in run.data.tags} == set(ended)
    assert len(by_experiment["common"]) == 2
    for cohort in cohorts:
        assert [version.version for version in versions(settings, cohort)] == [1]
        own = [run for run in by_experiment[cohort] if DAGSTER_RUN in run.data.tags]
        assert sorted(run.data.tags[DAGSTER_RUN] for run in own) == [f"{cohort}-{number}" for number in range(3)]
        nested = [run for run in by_experiment[cohort] if PARENT in run.data.tags]
        assert len(nested) == 2 * len(own) == len(by_experiment[cohort]) - len(own)
        assert {run.info.status for run in by_experiment[cohort]} == {"FINISHED"}
    store = mlflow_store.client(settings)
    assert {each.name for each in store.search_experiments()} == {"Default", "common", *cohorts}
    assert not (Path.cwd() / "mlruns").exists()


def test_whoever_asks_at_the_same_moment_gets_the_same_run_candidate_and_version(
    here: Settings, tmp_path: Path
) -> None:
    bundle = small_bundle(tmp_path / "one", "same_moment")
    together = threading.Barrier(6)

    def ask(_: int) -> tuple[str, tuple[str, ...], int]:
        together.wait()
        run = tracked_run(here, "same_moment")
        together.wait()
        nested = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": 0.7})])
        together.wait()
        return run.run_id, nested, register(bundle, run=run, **FACTS).version

    with ThreadPoolExecutor(together.parties) as threads:
        assert len(set(threads.map(ask, range(together.parties)))) == 1
    assert len(all_runs(here, "same_moment")) == 2
    assert len(versions(here, "same_moment")) == 1


def test_a_dagster_run_has_one_run_whoever_asks_and_it_is_open_again(here: Settings) -> None:
    first = tracked_run(here, "asked_twice")
    first.close("FAILED")
    again = tracked_run(here, "asked_twice")
    assert again == first
    assert tracked_run(here, "asked_twice", "another-2").run_id != first.run_id
    assert {run.info.status for run in all_runs(here, "asked_twice")} == {"RUNNING"}


def test_a_training_is_kept_whole_with_candidates_nested_and_no_single_record(here: Settings) -> None:
    spec = make_spec(candidates=("logistic_ridge", "naive_bayes"), trials=1)
    result = train_cohort(made_up(n=240), spec)
    run = tracked_run(here, spec.name)
    record_training(run, result, spec_digest="sha256:spec", files={"plots/one.png": b"\x89PNG", "card.md": "# Card"})
    run.close("FINISHED")
    store = run.client
    kept = store.get_run(run.run_id)
    assert kept.data.metrics["auroc"] == pytest.approx(result.metrics["auroc"].value)
    assert kept.data.metrics["auroc_ci_low"] == pytest.approx(result.metrics["auroc"].ci_low)
    assert kept.data.metrics["threshold"] == pytest.approx(result.threshold.threshold)
    told = {name: kept.data.tags[name] for name in ("cohort", "data_digest", "spec_digest", "synthetic", DAGSTER_RUN)}
    assert told == {
        "cohort": spec.name,
        "data_digest": result.data_digest,
        "spec_digest": "sha256:spec",
        "synthetic": "yes",
        DAGSTER_RUN: run.dagster_run_id,
    }
    assert "synthetic" in kept.info.run_name
    nested = {
        each.info.run_name: each for each in all_runs(here, spec.name) if each.data.tags.get(PARENT) == run.run_id
    }
    assert set(nested) == {"logistic_ridge", "naive_bayes"}
    for candidate in result.candidates:
        shown = nested[candidate.name]
        assert shown.info.status == "FINISHED"
        assert shown.data.metrics["brier"] == pytest.approx(candidate.metrics["brier"].value)
        assert sum(name.endswith(".imbalance") for name in shown.data.params) == len(candidate.settings)
    assert {each.path for each in store.list_artifacts(run.run_id)} == {
        *("card.md", "plots", "results.json", "trials.csv")
    }
    patients = set(result.out_of_fold["patient_id"])
    files = [path for path in files_of(here, spec.name) if path.suffix in {".json", ".csv", ".md"}]
    assert files
    assert not [path for path in files if any(patient in path.read_text() for patient in patients)]


def test_candidates_tried_again_are_written_again_and_not_twice(here: Settings) -> None:
    run = tracked_run(here, "tried_again")
    once = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC})])
    again = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC}, {"ici": "12 events"})])
    assert once == again
    child = run.client.get_run(once[0])
    assert child.data.params == {"C": "1.0"}
    assert child.data.tags["insufficient.ici"] == "12 events"
    assert DAGSTER_RUN not in child.data.tags


def test_more_values_than_a_request_may_hold_are_all_kept(here: Settings) -> None:
    run = tracked_run(here, "many_values")
    run.record_parameters({f"p{number}": number for number in range(230)})
    run.record_metrics({f"m{number}": float(number) for number in range(2100)})
    kept = run.client.get_run(run.run_id).data
    assert kept.params == {f"p{number}": str(number) for number in range(230)}
    assert kept.metrics == {f"m{number}": float(number) for number in range(2100)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_is_refused_and_an_unbounded_side_is_left_out(here: Settings, value: float) -> None:
    run = tracked_run(here, f"no_number_{value}")
    with pytest.raises(RegistryError, match="auroc is"):
        run.record_metrics({"auroc": value})
    run.record_metrics({"o_e": replace(AUROC, ci_high=value)}, insufficient={"ici": "too few events"})
    kept = run.client.get_run(run.run_id).data
    assert set(kept.metrics) == {"o_e", "o_e_ci_low"}
    assert kept.tags["insufficient.ici"] == "too few events"


def test_a_file_cannot_be_written_outside_the_run(here: Settings) -> None:
    with pytest.raises(RegistryError, match="leads out"):
        tracked_run(here, "leads_out").record_files({"../../elsewhere.txt": "x"})


def test_a_candidate_that_cannot_be_written_is_closed_as_failed(here: Settings) -> None:
    run = tracked_run(here, "half_written")
    with pytest.raises(RegistryError):
        run.record_candidates([Candidate("ridge", {}, {"auroc": float("nan")})])
    assert [each.info.status for each in all_runs(here, "half_written") if PARENT in each.data.tags] == ["FAILED"]


def test_runs_of_dead_processes_are_closed_as_dagster_says_and_others_left_alone(here: Settings) -> None:
    cohort = "died"
    dead, alive, unknown = (tracked_run(here, cohort, name) for name in ("dead-1", "alive-1", "unknown-1"))
    store = dead.client
    experiment = mlflow_store.experiment_id(here, cohort)
    orphan = store.create_run(experiment, tags={PARENT: dead.run_id}).info.run_id
    child = store.create_run(experiment, tags={PARENT: alive.run_id}).info.run_id
    closed = close_stale_runs(here, cohort=cohort, ended={"dead-1": "FAILED", "alive-1": None}.get)
    assert set(closed) == {dead.run_id, orphan}
    states = {run.info.run_id: run.info.status for run in all_runs(here, cohort)}
    assert states == {
        **dict.fromkeys((dead.run_id, orphan), "FAILED"),
        **dict.fromkeys((alive.run_id, unknown.run_id, child), "RUNNING"),
    }
