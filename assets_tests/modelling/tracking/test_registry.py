"""Models are found by name and digest, and a plain MLflow client can read it all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from assets_tests.worlds.machine.tracked import (
    AUROC,
    FACTS,
    ROWS,
    files_of,
    small_bundle,
    tracked_run,
)
from clinical_assets.foundation.settings import TRACKING_URI, Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import MANIFEST
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.modelling.tracking.mlflow_store import RegistryError
from clinical_assets.modelling.tracking.mlflow_values import Candidate
from clinical_assets.modelling.tracking.registry import download_bundle, find_version, register, versions


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


def test_equal_bundles_are_one_version_and_another_becomes_the_challenger(here: Settings, tmp_path: Path) -> None:
    cohort = "two_models"
    bundle = small_bundle(tmp_path / "one", cohort)
    first = register(bundle, run=tracked_run(here, cohort, "run-1"), **FACTS)
    assert (first.version, first.aliases, first.digest) == (1, ("challenger",), bundle.digest)
    assert first.tags["data_digest"] == "sha256:data"
    same = register(bundle, run=tracked_run(here, cohort, "run-2"), **FACTS)
    assert same == first
    other = register(small_bundle(tmp_path / "two", cohort, note="x"), run=tracked_run(here, cohort, "run-3"), **FACTS)
    assert other.version == 2
    assert find_version(here, cohort, alias="challenger") == other
    assert [(each.version, each.aliases) for each in versions(here, cohort)] == [(2, ("challenger",)), (1, ())]
    back = register(bundle, run=tracked_run(here, cohort, "run-4"), **FACTS)
    assert (back.version, back.aliases) == (1, ("challenger",))


def test_the_champion_is_neither_made_nor_moved_here(here: Settings, tmp_path: Path) -> None:
    cohort = "with_champion"
    register(small_bundle(tmp_path / "one", cohort), run=tracked_run(here, cohort, "run-1"), **FACTS)
    assert find_version(here, cohort, alias="champion") is None
    mlflow_store.client(here).set_registered_model_alias(cohort, "champion", "1")
    register(small_bundle(tmp_path / "two", cohort, note="x"), run=tracked_run(here, cohort, "run-2"), **FACTS)
    champion = find_version(here, cohort, alias="champion")
    assert champion is not None
    assert (champion.version, champion.aliases) == (1, ("champion",))


def test_a_version_whose_files_are_gone_is_not_used_again(here: Settings, tmp_path: Path) -> None:
    cohort = "files_gone"
    bundle = small_bundle(tmp_path / "one", cohort)
    first = register(bundle, run=tracked_run(here, cohort, "run-1"), **FACTS)
    files = files_of(here, cohort)
    assert MANIFEST in {path.name for path in files}
    for path in files:
        path.unlink()
    with pytest.raises(RegistryError, match=r"damaged|cannot be fetched"):
        download_bundle(here, first)
    again = register(bundle, run=tracked_run(here, cohort, "run-2"), **FACTS)
    assert again.version == 2
    assert download_bundle(here, again).digest == bundle.digest


def test_a_bundle_of_another_cohort_is_refused(here: Settings, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="trained on lung"):
        register(small_bundle(tmp_path / "one", "lung"), run=tracked_run(here, "heart"), **FACTS)


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
    found = register(bundle, run=tracked_run(here, cohort), **FACTS)
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
    found = register(small_bundle(tmp_path / "one", cohort), run=tracked_run(here, cohort), **FACTS)
    stored = next(path.parent for path in files_of(here, cohort) if path.name == MANIFEST)
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
    register(bundle, run=tracked_run(here, cohort), **FACTS)
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


def test_no_pickle_is_written_or_loaded_from_training_to_download(tmp_path: Path, here: Settings) -> None:
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith("pickle."):
            seen.append(f"{event} {arguments}")

    bundle = small_bundle(tmp_path / "one", "unpickled")
    sys.addaudithook(hook)  # cannot be removed; the flag silences it
    run = tracked_run(here, "unpickled")
    run.record_candidates([Candidate("ridge", {"C": 1.0}, {"auroc": AUROC})])
    run.record_files({"card.md": "# Card"})
    download_bundle(here, register(bundle, run=run, **FACTS)).score(ROWS)
    watching = False
    assert not seen
    files = files_of(here, "unpickled")
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
    run = tracked_run(here, "deleted")
    run.client.delete_experiment(run.experiment)
    with pytest.raises(RegistryError, match="was deleted in MLflow"):
        tracked_run(here, "deleted", "another-2")


def test_a_server_by_its_address_keeps_files_too_and_shows_its_pages(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.wait()
    monkeypatch.setenv(TRACKING_URI, server.url)
    there = Settings.from_environment()
    bundle = small_bundle(tmp_path / "one", "served")
    run = tracked_run(there, "served")
    run.record_metrics({"auroc": AUROC})
    run.record_files({"card.md": "# Card"})
    found = register(bundle, run=run, **FACTS)
    run.close("FINISHED")
    assert register(bundle, run=tracked_run(there, "served", "again-2"), **FACTS) == found
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
