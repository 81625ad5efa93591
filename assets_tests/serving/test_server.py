"""Several processes answer at one port and write one log; a log that cannot be gone on with stops the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from assets_tests.worlds.ward.api_server import ApiServer, Clients, name_of, path_of, running
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.lines import OUTCOME, PREDICTION, LogEntry
from clinical_assets.records.prediction_log.segments import read_log, segments
from clinical_assets.records.prediction_log.verification import verify_log
from clinical_assets.records.prediction_log.writer import PredictionLog
from clinical_assets.serving.follow_up import OutcomesBody
from clinical_assets.serving.server import ServerError, refuse_a_log_without_end, refuse_taken_port
from clinical_assets.serving.service import PredictionService
from clinical_assets.workspace import Workspace


@pytest.fixture
def pair(released: Releasable) -> Iterator[ApiServer]:
    """A server of two processes."""
    with running(released, "--workers", "2", log=released.settings.data / "server.log") as server:
        yield server


def processes(released: Releasable) -> set[int]:
    """Processes that counted an answer."""
    found = released.settings.data.glob("temp/api-counts-*/counter_*.db")
    return {int(path.stem.removeprefix("counter_")) for path in found}


@pytest.mark.slow
def test_two_processes_answer_at_one_port_write_one_chain_and_one_that_dies_is_replaced(
    released: Releasable, pair: ApiServer
) -> None:
    clients = Clients(pair.address, kept=False)
    with clients.asking():
        assert clients.wait_for(lambda: len(clients.acknowledged) >= 200 and len(processes(released)) == 2)
    assert not clients.refused
    metrics = httpx.get(f"{pair.address}/metrics").text
    answered = f'route="{path_of("predict").replace(COHORT, "{cohort}")}",status="200"}} {len(clients.acknowledged)}.0'
    assert answered in metrics

    # One of them is killed: the other goes on, and another one begins.
    (killed, _) = first = sorted(processes(released))
    again = Clients(pair.address)
    with again.asking():
        assert again.wait_for(lambda: len(again.acknowledged) >= 20)
        os.kill(killed, signal.SIGSTOP)
        time.sleep(1)  # it is asked whether it lives, twice per second
        os.kill(killed, signal.SIGKILL)

    more = Clients(pair.address, kept=False)
    with more.asking():
        assert more.wait_for(lambda: len(more.acknowledged) >= 20)
        assert more.wait_for(lambda: bool(processes(released) - set(first)), seconds=50)
    assert not more.refused

    assert pair.end() == 0
    lines = {name_of(line): line for line in read_log(released.settings, COHORT) if line.kind == PREDICTION}
    everything = clients.acknowledged | again.acknowledged | more.acknowledged
    assert everything.keys() <= lines.keys()
    for name, answer in everything.items():
        content = lines[name].content
        assert content is not None
        assert (content["risk"], content["tier"]) == (answer["risk"], answer["tier"])
    assert verify_log(released.settings, COHORT, Ledger(RecordsDatabase(released.settings))).problem is None


@pytest.mark.slow
def test_processes_end_with_the_one_that_began_them(pair: ApiServer) -> None:
    pair.process.kill()
    pair.process.wait()

    def gone() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{pair.address}/health")
            return False
        return True

    assert Clients(pair.address).wait_for(gone, seconds=10)


def test_the_same_outcome_sent_to_two_servers_at_once_is_recorded_once(
    service: PredictionService, workspace: Workspace
) -> None:
    other = PredictionService(workspace)
    log = service.cohort(COHORT).predictions.log
    names = [
        receipt.name
        for receipt in log.append(
            [LogEntry(PREDICTION, "r", "k", "sha256:m", {"unit": f"u{n}", "subject": f"s{n}"}) for n in range(10)]
        )
    ]

    async def both(name: str) -> list[tuple[int, int]]:
        body = OutcomesBody.model_validate({"outcomes": [{"prediction": name, "outcome": "dead"}]})
        sent = [each.record(COHORT, body, request="r", key="k") for each in (service, other)]
        return list(await asyncio.gather(*sent))

    for name in names:
        assert sorted(asyncio.run(both(name))) == [(0, 1), (1, 0)]
    assert sum(line.kind == OUTCOME for line in read_log(workspace.settings, COHORT)) == len(names)


def begun_log(workspace: Workspace) -> Path:
    """The file of a log with one line."""
    log = PredictionLog(workspace.settings, COHORT)
    log.append([LogEntry(PREDICTION, "r", "k", None, {"risk": 0.25})])
    log.close()
    (path,) = segments(log.folder)
    return path


def test_a_server_does_not_begin_behind_a_last_line_that_was_changed(workspace: Workspace) -> None:
    path = begun_log(workspace)
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.99"))
    with pytest.raises(ServerError, match=COHORT) as refused:
        refuse_a_log_without_end(workspace)
    assert "Restore" in refused.value.cure


def test_a_torn_last_line_is_healed_before_the_server_begins_or_it_does_not_begin(workspace: Workspace) -> None:
    path = begun_log(workspace)
    with path.open("ab") as file:
        file.write(b'{"content":')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        with pytest.raises(ServerError, match="cannot be written") as refused:
            refuse_a_log_without_end(workspace)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Free space" in refused.value.cure
    refuse_a_log_without_end(workspace)
    (line,) = read_log(workspace.settings, COHORT)
    assert (line.seq, path.read_bytes()[-1:]) == (1, b"\n")


def test_a_port_at_which_another_program_listens_is_refused_and_a_free_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"Nothing can listen at 127.0.0.1, port {port}"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)
