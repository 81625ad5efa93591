"""`dg dev` in a checkout shows the same state as `make dev`. A minute; run by ``make soak``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 200.0
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"


def asked(port: int, path: str, query: str | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{path}",
        data=None if query is None else json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.soak
def test_dg_dev_serves_the_code_with_the_state_of_the_data_folder_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dropped = ("CLINICAL_ASSETS_", "DAGSTER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    data = tmp_path / "data"
    before = set(REPOSITORY.iterdir())
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dg"), "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=REPOSITORY,
            env={**env, "CLINICAL_ASSETS_DATA": str(data), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            told, since = None, time.monotonic()
            while told is None:
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                assert time.monotonic() - since < PATIENCE_S
                time.sleep(1)
                try:
                    told = asked(port, "server_info")
                except OSError:
                    continue
            assert told["dagster_version"]
            entries = asked(port, "graphql", LOCATIONS)["data"]["workspaceOrError"]["locationEntries"]
            assert entries == [{"name": "clinical_assets", "loadStatus": "LOADED"}]
            # Where `make dev` and the command line look for runs.
            assert (data / "dagster" / "history" / "runs.db").is_file()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)
    assert set(REPOSITORY.iterdir()) == before
