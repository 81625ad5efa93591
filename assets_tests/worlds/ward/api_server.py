"""The prediction API of a released ward in processes of its own, clients that ask it, and kills under their load."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np

from assets_tests.worlds.machine.processes import ROOT
from assets_tests.worlds.ward.released import Releasable, environment
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.promotion import promotion
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.trainings.trainings import with_bundle
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.lines import PREDICTION, REPAIR, LogLine
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.records.prediction_log.verification import verify_log
from clinical_assets.records.prediction_log.writer import LogReceipt

CLIENTS = 8
_SERVER = "from clinical_assets.cli.main import main; main()"
_STARTS_WITHIN_S, _ANSWERS_WITHIN_S, _SWAPS_WITHIN_S = 120.0, 30.0, 60.0


def record(**changes: Any) -> dict[str, Any]:
    """A patient of the ward as a caller sends one."""
    return {
        "patient_id": "X00001",
        "age_years": 54,
        "sex": "f",
        "region": "north",
        "height_m": 1.7,
        "marker_a": 1.0,
        "marker_b": 0.2,
        "frail": False,
        "visits": [{"visit_number": 1}],
        **changes,
    }


def path_of(what: str) -> str:
    """The address of something of the ward."""
    return f"/v1/cohorts/{COHORT}/{what}"


def name_of(line: LogLine) -> str:
    """How an answer names its line of the log."""
    return LogReceipt(line.seq, line.hash).name


@dataclass(frozen=True)
class ApiServer:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    address: str

    def kill(self) -> None:
        """SIGKILL to the server and all processes that it began."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """SIGTERM, and wait for what runs to be answered; the exit code."""
        self.process.terminate()
        return self.process.wait(60)


@contextlib.contextmanager
def running(place: Releasable, *options: str, log: Path | None = None) -> Iterator[ApiServer]:
    """A server that is ready; options are those of ``serve``, and what it logs goes to a file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-c", _SERVER, "serve", "--port", str(port), *options]
    variables = {**os.environ, **environment(place), "PYTHONPATH": str(ROOT)}
    with (log or Path(os.devnull)).open("ab") as errors:
        process = subprocess.Popen(command, env=variables, stderr=errors, start_new_session=True)
    server = ApiServer(process, f"http://127.0.0.1:{port}")
    try:
        ends = time.monotonic() + _STARTS_WITHIN_S
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{server.address}/ready").status_code == 200:
                    break
            if time.monotonic() > ends or process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        yield server
    finally:
        server.kill()


@dataclass
class Clients:
    """Threads that ask a server until they are told to stop, or until it is gone.

    Attributes
    ----------
    kept : bool
        Whether each keeps its connection, and with it the process that took it; otherwise every request has a new one.
    acknowledged : dict of str to dict
        Answers by the name of their line: the prediction as it was given, with the model's digest.
    refused : list of str
        What else came: statuses that are no answer, broken connections.
    """

    address: str
    number: int = CLIENTS
    kept: bool = True
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Let them ask for the time of the block."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def wait_for(self, done: Callable[[], bool], *, seconds: float = _ANSWERS_WITHIN_S) -> bool:
        """Wait until something is so; whether it came to be."""
        ends = time.monotonic() + seconds
        while not (found := done()) and time.monotonic() < ends:
            time.sleep(0.001)
        return found

    def _ask(self, number: int) -> None:
        asked = 0
        limits = httpx.Limits(max_keepalive_connections=None if self.kept else 0)
        try:
            with httpx.Client(timeout=30, limits=limits) as http:
                while not self._stopping.is_set():
                    asked += 1
                    body = {"records": [record(patient_id=f"C{number}-{asked}", marker_a=asked % 7 - 3.0)]}
                    response = http.post(self.address + path_of("predict"), json=body)
                    if response.status_code != 200:
                        self.refused.append(f"{response.status_code} {response.text[:300]}")
                        continue
                    answer = response.json()
                    (given,) = answer["predictions"]
                    self.acknowledged[given["prediction"]] = {**given, "digest": answer["model"]["digest"]}
        except httpx.HTTPError as error:
            self.refused.append(type(error).__name__)


@dataclass
class KilledServer:
    """A server that is killed again and again under eight clients, and begun again by nothing but being started.

    Attributes
    ----------
    kills, acknowledged, missing, repairs : int
        Kills, answers that clients held in their hands, those of them that the log lacks, half-written lines cut off.
    """

    place: Releasable
    random: Random
    options: tuple[str, ...] = ()
    kills: int = 0
    acknowledged: int = 0
    missing: int = 0
    repairs: int = 0
    _read_to: int = 0

    def kill(self) -> None:
        """Start, let clients ask, SIGKILL anywhere between the first answers and the two hundredth, and count."""
        with running(self.place, *self.options) as server:
            clients = Clients(server.address)
            wanted = self.random.randint(1, 200)
            with clients.asking():
                clients.wait_for(lambda: len(clients.acknowledged) >= wanted)
                server.kill()
        lines = list(read_log(self.place.settings, COHORT, after=self._read_to))
        self._read_to = lines[-1].seq if lines else self._read_to
        self.kills += 1
        self.acknowledged += len(clients.acknowledged)
        self.missing += len(clients.acknowledged.keys() - {name_of(line) for line in lines if line.kind == PREDICTION})
        self.repairs += sum(line.kind == REPAIR for line in lines)

    def problem(self) -> str | None:
        """What is wrong with the log as a whole, held against the ledger; None where nothing is."""
        return verify_log(self.place.settings, COHORT, Ledger(RecordsDatabase(self.place.settings))).problem


@dataclass
class SwappedServer:
    """A server whose champion is promoted and rolled back in turns while clients ask.

    Attributes
    ----------
    swaps : int
        Changes of the champion after which clients got answers of the new one.
    answers : dict of str to dict
        What they got.
    refused : list of str
        Requests that got no answer.
    """

    place: Releasable
    options: tuple[str, ...] = ()
    swaps: int = 0
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def swap(self, times: int) -> None:
        """Begin with a promotion; raises where clients never see the new champion."""
        with running(self.place, *self.options) as server:
            clients = Clients(server.address, acknowledged=self.answers, refused=self.refused)
            with clients.asking():
                for number in range(times):
                    champion = self._back() if number % 2 else self._forth()
                    answered = partial(self._is_answered_by, champion.digest)
                    if not clients.wait_for(answered, seconds=_SWAPS_WITHIN_S):
                        raise RuntimeError(f"no answer names {champion.digest}")
                    self.swaps += 1
            server.end()

    def of_another_model(self) -> list[str]:
        """Answers that are not in the log as they were given, or that the model they name does not give."""
        wrong = []
        lines = {name_of(line): line for line in read_log(self.place.settings, COHORT)}
        bundles = {
            digest: with_bundle(self.place.settings, COHORT, digest).bundle()
            for digest in {answer["digest"] for answer in self.answers.values()}
        }
        for name, answer in self.answers.items():
            line = lines.get(name)
            if line is None or line.content is None or line.digest != answer["digest"]:
                wrong.append(name)
                continue
            bundle, features = bundles[answer["digest"]], line.content["features"]
            row = np.array([[features[each] for each in bundle.feature_columns]], dtype=np.float64)
            risk = float(bundle.action_risk(row)[0])
            tier = max((each for each in bundle.description.tiers if each.lower <= risk), key=lambda each: each.lower)
            if (answer["risk"], answer["tier"]) != (risk, tier.name):
                wrong.append(name)
        return wrong

    def _forth(self) -> Champion:
        self.place.approve()
        return self.place.promote()

    def _back(self) -> Champion:
        return promotion.rollback(self.place.settings, COHORT, actor="ann", reason="A try.")

    def _is_answered_by(self, digest: str) -> bool:
        newest = list(self.answers.values())[-1:]
        return any(answer["digest"] == digest for answer in newest)
