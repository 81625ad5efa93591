"""A prediction server killed at random under clients: what was acknowledged is in the log, and the log is whole."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from assets_tests.campaign.counting import Count, Until
from assets_tests.serving.conftest import path_of, record
from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.ward.released import Releasable, environment
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.records.prediction_log.verification import verify_log

CLIENTS = 8
_SERVER = "from clinical_assets.cli.main import main; main()"
_STARTS_WITHIN_S, _ANSWERS_WITHIN_S = 120.0, 30.0


def kill_servers(count: Count, served: Releasable, folder: Path, ends: Until) -> None:
    """SIGKILL under eight clients, as often as there is time for; the next server begins without a repair."""
    place = served.copy_to(folder)
    acknowledged: set[str] = set()
    while True:
        count.trial("kills of a prediction server under eight clients", lambda: _trial(count, place, acknowledged))
        if not ends:
            return


def _trial(count: Count, place: Releasable, acknowledged: set[str]) -> str | None:
    before = len(acknowledged)
    with _server(place) as (process, address):
        clients = [threading.Thread(target=_ask, args=(address, number, acknowledged)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        # Anywhere between the first answers and the two hundredth, on a busy machine as on an idle one.
        wanted, ends = len(acknowledged) + count.random.randint(1, 200), time.monotonic() + _ANSWERS_WITHIN_S
        while len(acknowledged) < wanted and time.monotonic() < ends:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for client in clients:
            client.join()
    lines = {f"{line.seq}-{line.hash.removeprefix('sha256:')[:16]}" for line in read_log(place.settings, COHORT)}
    if len(acknowledged) == before:
        return "nothing was acknowledged before the kill"
    missing = acknowledged - lines
    if missing:
        return f"{len(missing)} of {len(acknowledged)} acknowledged answers are not in the log"
    return verify_log(place.settings, COHORT, Ledger(RecordsDatabase(place.settings))).problem


def _ask(address: str, number: int, acknowledged: set[str]) -> None:
    with contextlib.suppress(httpx.HTTPError), httpx.Client(timeout=30) as http:
        while True:
            response = http.post(address, json={"records": [record(patient_id=f"C{number}")]})
            response.raise_for_status()
            acknowledged.add(response.json()["predictions"][0]["prediction"])


@contextlib.contextmanager
def _server(place: Releasable) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-c", _SERVER, "serve", "--port", str(port)]
    variables = {**os.environ, **environment(place), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + _STARTS_WITHIN_S
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200:
                    break
            if time.monotonic() > ends or process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.1)
        yield process, f"http://127.0.0.1:{port}{path_of('predict')}"
    finally:
        process.kill()
        process.wait()
