"""`dagster dev` itself: a file is dropped, and everything follows without a click. Minutes; run by ``make soak``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pytest

from assets_tests.worlds.year.description import COHORT
from assets_tests.worlds.year.patients import Truth, patients
from assets_tests.worlds.year.world import World, released

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 420.0


@dataclass
class Clock:
    """Seconds from the newest drop to what followed."""

    since: float = field(default_factory=time.time)
    lines: list[str] = field(default_factory=list)

    def dropped(self, what: str) -> None:
        self.since = time.time()
        self.lines.append(f"  0 s  {what} dropped")

    def wait(self, what: str, look: Callable[[], T | None], *, alive: subprocess.Popen[bytes]) -> T:
        """Look again and again until there is something."""
        while True:
            found = look()
            if found is not None:
                self.lines.append(f"{time.time() - self.since:3.0f} s  {what}")
                return found
            assert alive.poll() is None, "dagster dev ended by itself"
            assert time.time() - self.since < PATIENCE_S, f"{what} did not happen; so far: {self.lines}"
            time.sleep(1)


@contextmanager
def dagster_dev(world: World, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Web server and daemon as `make dev` starts them, in a session of their own, so that all of it ends."""
    home = world.folder / "data" / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").symlink_to(REPOSITORY / "dagster.yaml")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLINICAL_ASSETS_")}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(REPOSITORY / "workspace.yaml")]
    with (world.folder / "dagster_dev.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=home,
            env={**kept, **world.variables(), "DAGSTER_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            for sent in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, sent)
                    process.wait(timeout=20)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            process.wait(timeout=20)


def _asked(port: int, query: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def _serves(port: int) -> bool | None:
    try:
        return bool(_asked(port, "{ version }")["version"])
    except OSError:
        return None


def _materialised(world: World, asset: str, *, after: float, **wanted: str) -> Callable[[], dict[str, Any] | None]:
    """Metadata of a materialisation that came after a moment and says what is wanted."""

    def look() -> dict[str, Any] | None:
        told = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[COHORT], after_timestamp=after)
        with world.instance() as instance:
            records = instance.fetch_materializations(told, limit=20).records
        for record in records:
            assert record.asset_materialization is not None
            shown = {name: value.value for name, value in record.asset_materialization.metadata.items()}
            if all(shown.get(name) == value for name, value in wanted.items()):
                return shown
        return None

    return look


def _update_run(world: World, *, finished: bool) -> dg.DagsterRun | None:
    with world.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="recalibrate_model"))
    assert len(runs) <= 1, "one cause starts one run"
    return next((run for run in runs if run.is_finished or not finished), None)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_dropped_file_is_scored_and_a_changed_ward_gets_a_challenger_that_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = released(tmp_path / "world")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    clock = Clock()
    home = str(world.folder / "data" / "dagster")
    with world.environment(), dagster_dev(world, port) as dev, world.environment(DAGSTER_HOME=home):
        champion = world.champion()
        clock.wait("dagster dev answers (from its start)", lambda: _serves(port), alive=dev)

        # A ward as it was: scored, reported, nothing else.
        clock.dropped("500 records of a ward as it was")
        world.drop("calm.csv", patients(500, seed=41, prefix="C").rows())
        scored = clock.wait("scored_records", _materialised(world, "scored_records", after=clock.since), alive=dev)
        assert scored["dagster/row_count"] == 500
        drift = clock.wait("drift_report", _materialised(world, "drift_report", after=clock.since), alive=dev)
        assert drift["verdict"] == "stable"
        page = clock.wait("monitoring_page", _materialised(world, "monitoring_page", after=clock.since), alive=dev)
        assert Path(page["page"]).exists()

        # A sicker ward, with outcomes.
        came = patients(1_500, truth=Truth(shift=0.8), seed=42, prefix="D")
        clock.dropped("1,500 records of a sicker ward with their outcomes")
        world.drop("sicker.csv", came.rows())
        world.drop("outcomes/sicker.csv", came.outcomes())
        clock.wait("scored_records", _materialised(world, "scored_records", after=clock.since), alive=dev)
        advised = _materialised(world, "update_recommendation", after=clock.since, action="intercept")
        clock.wait("update_recommendation: intercept", advised, alive=dev)
        clock.wait("model_updates asked for recalibrate_model", lambda: _update_run(world, finished=False), alive=dev)
        run = clock.wait("recalibrate_model ended", lambda: _update_run(world, finished=True), alive=dev)
        assert run.is_success
        assert run.tags["dagster/sensor_name"] == "model_updates"
        challenger = world.candidate().digest
        assert challenger != champion
        told = {"after": clock.since, "bundle digest": challenger}
        clock.wait("gate_verdicts of the challenger", _materialised(world, "gate_verdicts", **told), alive=dev)
        clock.wait("its release_dossier", _materialised(world, "release_dossier", **told), alive=dev)
        assert "unsigned" in world.blockers()
        assert world.champion() == champion

        # And a screen would show it.
        shown = _asked(
            port,
            '{ assetOrError(assetKey: {path: ["scored_records"]}) { ... on Asset { assetMaterializations('
            f'partitions: ["{COHORT}"]) {{ runId metadataEntries {{ label }} }} }} }} }}',
        )
        made = shown["assetOrError"]["assetMaterializations"]
        assert len(made) >= 2
        assert "alert rate" in {entry["label"] for entry in made[0]["metadataEntries"]}
    assert dev.poll() is not None
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(clock.lines) + "\n")
