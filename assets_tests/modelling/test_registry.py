"""Trainings are kept once, models are found by name and digest, and a plain MLflow client can read it all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from assets_tests.cohorts.shipped import own_settings
from assets_tests.modelling.tables import made_up, make_spec
from assets_tests.modelling.tracked import FACTS, ROWS, small_bundle, train_in_another_process
from clinical_assets.modelling import mlflow_store
from clinical_assets.modelling.bundle import MANIFEST, Bundle
from clinical_assets.modelling.mlflow_runs import DAGSTER_RUN, PARENT, TrackedRun, close_stale_runs, open_run
from clinical_assets.modelling.mlflow_store import RegistryError
from clinical_assets.modelling.mlflow_training import record_training
from clinical_assets.modelling.mlflow_values import Candidate
from clinical_assets.modelling.registry import download_bundle, find_version, register, versions
from clinical_assets.modelling.training import train_cohort
from clinical_assets.settings import TRACKING_URI, Settings
from clinical_assets.statistics.intervals import Estimate

AUROC = Estimate(value=0.71, ci_low=0.66, ci_high=0.76, n=200, events=50, method="made up")


@dataclass(frozen=True)
class Server:
    """A real ``mlflow server`` that keeps runs and files in a folder of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(self.log.read_text())


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started first, because it needs seconds; the tests before the one that uses it do not wait."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{folder}/runs.db", "--workers", "1"),
                *("--artifacts-destination", str(folder / "files")),
            ],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield Server(f"http://127.0.0.1:{port}", process, log)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a store whose schema is made once for all tests; each uses cohorts of its own."""
    settings = own_settings(tmp_path_factory.mktemp("a place with spaces") / "Daten ü")
    mlflow_store.prepare_store(settings)
    return settings


def _run(settings: Settings, cohort: str, dagster_run_id: str = "0a1b2c3d-1") -> TrackedRun:
    return open_run(settings, cohort=cohort, dagster_run_id=dagster_run_id, synthetic=True)


def _all(settings: Settings, cohort: str) -> list[Any]:
    store = mlflow_store.client(settings)
    return list(store.search_runs([mlflow_store.experiment_id(settings, cohort)]))


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
    by_experiment = {name: _all(settings, name) for name in (*cohorts, "common")}
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
        run = _run(here, "same_moment")
        together.wait()
        nested = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": 0.7})])
        together.wait()
        return run.run_id, nested, register(bundle, run=run, **FACTS).version

    with ThreadPoolExecutor(together.parties) as threads:
        assert len(set(threads.map(ask, range(together.parties)))) == 1
    assert len(_all(here, "same_moment")) == 2
    assert len(versions(here, "same_moment")) == 1


def test_a_dagster_run_has_one_run_whoever_asks_and_it_is_open_again(here: Settings) -> None:
    first = _run(here, "asked_twice")
    first.close("FAILED")
    again = _run(here, "asked_twice")
    assert again == first
    assert _run(here, "asked_twice", "another-2").run_id != first.run_id
    assert {run.info.status for run in _all(here, "asked_twice")} == {"RUNNING"}


def test_a_training_is_kept_whole_with_candidates_nested_and_no_single_record(here: Settings) -> None:
    spec = make_spec(candidates=("logistic_ridge", "naive_bayes"), trials=1)
    result = train_cohort(made_up(n=240), spec)
    run = _run(here, spec.name)
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
    nested = {each.info.run_name: each for each in _all(here, spec.name) if each.data.tags.get(PARENT) == run.run_id}
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
    files = [path for path in _files(here, spec.name) if path.suffix in {".json", ".csv", ".md"}]
    assert files
    assert not [path for path in files if any(patient in path.read_text() for patient in patients)]


def test_candidates_tried_again_are_written_again_and_not_twice(here: Settings) -> None:
    run = _run(here, "tried_again")
    once = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC})])
    again = run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC}, {"ici": "12 events"})])
    assert once == again
    child = run.client.get_run(once[0])
    assert child.data.params == {"C": "1.0"}
    assert child.data.tags["insufficient.ici"] == "12 events"
    assert DAGSTER_RUN not in child.data.tags


def test_more_values_than_a_request_may_hold_are_all_kept(here: Settings) -> None:
    run = _run(here, "many_values")
    run.record_parameters({f"p{number}": number for number in range(230)})
    run.record_metrics({f"m{number}": float(number) for number in range(2100)})
    kept = run.client.get_run(run.run_id).data
    assert kept.params == {f"p{number}": str(number) for number in range(230)}
    assert kept.metrics == {f"m{number}": float(number) for number in range(2100)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_is_refused_and_an_unbounded_side_is_left_out(here: Settings, value: float) -> None:
    run = _run(here, f"no_number_{value}")
    with pytest.raises(RegistryError, match="auroc is"):
        run.record_metrics({"auroc": value})
    run.record_metrics({"o_e": replace(AUROC, ci_high=value)}, insufficient={"ici": "too few events"})
    kept = run.client.get_run(run.run_id).data
    assert set(kept.metrics) == {"o_e", "o_e_ci_low"}
    assert kept.tags["insufficient.ici"] == "too few events"


def test_a_file_cannot_be_written_outside_the_run(here: Settings) -> None:
    with pytest.raises(RegistryError, match="leads out"):
        _run(here, "leads_out").record_files({"../../elsewhere.txt": "x"})


def test_a_candidate_that_cannot_be_written_is_closed_as_failed(here: Settings) -> None:
    run = _run(here, "half_written")
    with pytest.raises(RegistryError):
        run.record_candidates([Candidate("ridge", {}, {"auroc": float("nan")})])
    assert [each.info.status for each in _all(here, "half_written") if PARENT in each.data.tags] == ["FAILED"]


def test_equal_bundles_are_one_version_and_another_becomes_the_challenger(here: Settings, tmp_path: Path) -> None:
    cohort = "two_models"
    bundle = small_bundle(tmp_path / "one", cohort)
    first = register(bundle, run=_run(here, cohort, "run-1"), **FACTS)
    assert (first.version, first.aliases, first.digest) == (1, ("challenger",), bundle.digest)
    assert first.tags["data_digest"] == "sha256:data"
    same = register(bundle, run=_run(here, cohort, "run-2"), **FACTS)
    assert same == first
    other = register(small_bundle(tmp_path / "two", cohort, note="x"), run=_run(here, cohort, "run-3"), **FACTS)
    assert other.version == 2
    assert find_version(here, cohort, alias="challenger") == other
    assert [(each.version, each.aliases) for each in versions(here, cohort)] == [(2, ("challenger",)), (1, ())]
    back = register(bundle, run=_run(here, cohort, "run-4"), **FACTS)
    assert (back.version, back.aliases) == (1, ("challenger",))


def test_the_champion_is_neither_made_nor_moved_here(here: Settings, tmp_path: Path) -> None:
    cohort = "with_champion"
    register(small_bundle(tmp_path / "one", cohort), run=_run(here, cohort, "run-1"), **FACTS)
    assert find_version(here, cohort, alias="champion") is None
    mlflow_store.client(here).set_registered_model_alias(cohort, "champion", "1")
    register(small_bundle(tmp_path / "two", cohort, note="x"), run=_run(here, cohort, "run-2"), **FACTS)
    champion = find_version(here, cohort, alias="champion")
    assert champion is not None
    assert (champion.version, champion.aliases) == (1, ("champion",))


def test_a_version_whose_files_are_gone_is_not_used_again(here: Settings, tmp_path: Path) -> None:
    cohort = "files_gone"
    bundle = small_bundle(tmp_path / "one", cohort)
    first = register(bundle, run=_run(here, cohort, "run-1"), **FACTS)
    files = _files(here, cohort)
    assert MANIFEST in {path.name for path in files}
    for path in files:
        path.unlink()
    with pytest.raises(RegistryError, match=r"damaged|cannot be fetched"):
        download_bundle(here, first)
    again = register(bundle, run=_run(here, cohort, "run-2"), **FACTS)
    assert again.version == 2
    assert download_bundle(here, again).digest == bundle.digest


def test_a_bundle_of_another_cohort_is_refused(here: Settings, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="trained on lung"):
        register(small_bundle(tmp_path / "one", "lung"), run=_run(here, "heart"), **FACTS)


def test_what_is_not_registered_is_not_found(here: Settings) -> None:
    assert find_version(here, "never_trained", alias="challenger") is None
    assert find_version(here, "never_trained", digest="sha256:00") is None
    assert versions(here, "never_trained") == ()
    with pytest.raises(ValueError, match="alias or a digest"):
        find_version(here, "never_trained")
    with pytest.raises(RegistryError, match="no name"):
        find_version(here, "x' or name != '", alias="challenger")


def test_a_downloaded_bundle_scores_as_before_and_is_fetched_once(here: Settings, tmp_path: Path) -> None:
    cohort = "fetched"
    bundle = small_bundle(tmp_path / "one", cohort)
    found = register(bundle, run=_run(here, cohort), **FACTS)
    fetched = download_bundle(here, found)
    assert fetched.folder == here.bundles / cohort / bundle.digest.removeprefix("sha256:")
    assert np.array_equal(fetched.score(ROWS), bundle.score(ROWS))
    before = (fetched.folder / MANIFEST).stat().st_mtime_ns
    assert download_bundle(here, found).digest == bundle.digest
    assert (fetched.folder / MANIFEST).stat().st_mtime_ns == before
    assert [path.name for path in fetched.folder.parent.iterdir()] == [fetched.folder.name]


@pytest.mark.parametrize("replaced", [False, True])
def test_files_that_were_changed_in_the_registry_are_never_handed_out(
    here: Settings, tmp_path: Path, replaced: bool
) -> None:
    cohort = f"changed_{replaced}".lower()
    found = register(small_bundle(tmp_path / "one", cohort), run=_run(here, cohort), **FACTS)
    stored = next(path.parent for path in _files(here, cohort) if path.name == MANIFEST)
    if replaced:  # a whole bundle that is right in itself
        for path in small_bundle(tmp_path / "two", cohort, note="another").folder.iterdir():
            (stored / path.name).write_bytes(path.read_bytes())
    else:
        (stored / "features.sql").write_text("SELECT 2\n")
    with pytest.raises(RegistryError, match="was registered as" if replaced else "damaged"):
        download_bundle(here, found)
    assert not (here.bundles / cohort / found.digest.removeprefix("sha256:")).exists()


def test_a_plain_client_lists_and_downloads_the_same_bundle(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    cohort = "plain_client"
    bundle = small_bundle(tmp_path / "one", cohort)
    register(bundle, run=_run(here, cohort), **FACTS)
    uri = mlflow_store.tracking_uri(here)
    (model,) = mlflow.MlflowClient(uri).search_registered_models(f"name = '{cohort}'")
    assert model.aliases == {"challenger": 1}
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        for address in (f"models:/{cohort}@challenger", f"models:/{cohort}/1"):
            folder = mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path / address[-3:]))
            assert Bundle.load(Path(folder)).digest == bundle.digest
    finally:
        mlflow.set_tracking_uri(before)


def test_runs_of_dead_processes_are_closed_as_dagster_says_and_others_left_alone(here: Settings) -> None:
    cohort = "died"
    dead, alive, unknown = (_run(here, cohort, name) for name in ("dead-1", "alive-1", "unknown-1"))
    store = dead.client
    experiment = mlflow_store.experiment_id(here, cohort)
    orphan = store.create_run(experiment, tags={PARENT: dead.run_id}).info.run_id
    child = store.create_run(experiment, tags={PARENT: alive.run_id}).info.run_id
    closed = close_stale_runs(here, cohort=cohort, ended={"dead-1": "FAILED", "alive-1": None}.get)
    assert set(closed) == {dead.run_id, orphan}
    states = {run.info.run_id: run.info.status for run in _all(here, cohort)}
    assert states == {
        **dict.fromkeys((dead.run_id, orphan), "FAILED"),
        **dict.fromkeys((alive.run_id, unknown.run_id, child), "RUNNING"),
    }


def test_no_pickle_is_written_or_loaded_from_training_to_download(tmp_path: Path, here: Settings) -> None:
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith("pickle."):
            seen.append(f"{event} {arguments}")

    bundle = small_bundle(tmp_path / "one", "unpickled")
    sys.addaudithook(hook)  # cannot be removed; the flag silences it
    run = _run(here, "unpickled")
    run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC})])
    run.record_files({"card.md": "# Card"})
    download_bundle(here, register(bundle, run=run, **FACTS)).score(ROWS)
    watching = False
    assert not seen
    files = _files(here, "unpickled")
    assert {path.suffix for path in files} == {".onnx", ".json", ".sql", ".md"}
    opcodes_of_pickle = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert not any(path.read_bytes().startswith(opcodes_of_pickle) for path in files)


@pytest.mark.parametrize("given", ["file:///somewhere", "/somewhere", "ftp://host/runs"])
def test_an_address_that_mlflow_cannot_write_to_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(TRACKING_URI, given)
    with pytest.raises(RegistryError, match=TRACKING_URI):
        mlflow_store.tracking_uri(Settings.from_environment())


def test_a_server_that_does_not_answer_is_named_without_its_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    for address in (host, f"someone:secret@{host}"):
        dead = replace(settings, tracking_uri=f"http://{address}")
        with pytest.raises(RegistryError, match=f"http://{host}") as caught:
            mlflow_store.prepare_store(dead)
        told = "".join(traceback.format_exception(caught.value)) + repr(dead)
        assert "secret" not in told


def test_an_experiment_that_a_person_deleted_is_said_so(here: Settings) -> None:
    run = _run(here, "deleted")
    run.client.delete_experiment(run.experiment)
    with pytest.raises(RegistryError, match="was deleted in MLflow"):
        _run(here, "deleted", "another-2")


def test_a_server_by_its_address_keeps_files_too_and_shows_its_pages(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.wait()
    monkeypatch.setenv(TRACKING_URI, server.url)
    there = Settings.from_environment()
    bundle = small_bundle(tmp_path / "one", "served")
    run = _run(there, "served")
    run.record_metrics({"auroc": AUROC})
    run.record_files({"card.md": "# Card"})
    found = register(bundle, run=run, **FACTS)
    run.close("FINISHED")
    assert register(bundle, run=_run(there, "served", "again-2"), **FACTS) == found
    assert download_bundle(there, found).digest == bundle.digest
    assert not mlflow_store.artifact_root(there).exists()
    page = httpx.get(server.url)
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    models = httpx.get(f"{server.url}/api/2.0/mlflow/registered-models/search").json()["registered_models"]
    assert [(model["name"], model["aliases"]) for model in models] == [
        ("served", [{"alias": "challenger", "version": "1"}])
    ]
    file = httpx.get(f"{server.url}/get-artifact", params={"path": "card.md", "run_uuid": run.run_id})
    assert file.text == "# Card"


def _files(settings: Settings, cohort: str) -> list[Path]:
    folder = mlflow_store.artifact_root(settings) / cohort
    return [path for path in folder.rglob("*") if path.is_file()]
