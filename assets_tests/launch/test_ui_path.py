"""A backfill from the UI with a real daemon; daemon and worker are killed. Minutes; run by ``make soak``."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import ui_backfill
from benchmarks.ui_backfill import Ui, free_port, make, measure, server

PATIENCE_S = 150.0
RUNS = "query { runsOrError(limit: 100) { ... on Runs { results { runId status } } } }"


def _workers(root: Path) -> list[int]:
    """Numbers of the warm processes of an installation."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"CLINICAL_ASSETS_DATA={root / 'data'}\0" in (folder / "environ").read_text(errors="replace")
            if ours and "warm.worker" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _until(look: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < ends, f"{what} did not happen"
        time.sleep(0.3)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_run_of_a_backfill_ends_honestly_whatever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = ui_backfill.DEFINITIONS.replace('print("nothing to do")', "__import__('time').sleep(3)")
    monkeypatch.setattr(ui_backfill, "DEFINITIONS", slow)
    make(tmp_path, cohorts=14, launcher="warm")
    port, shared = free_port(), ("-w", str(tmp_path / "workspace.yaml"))
    ui = Ui(port)

    def runs() -> dict[str, str]:
        return {each["runId"]: each["status"] for each in ui.ask(RUNS)["runsOrError"]["results"]}

    def counted(status: str) -> int:
        return Counter(runs().values())[status]

    with server(tmp_path, "webserver", "dagster_webserver", *shared, "-h", "127.0.0.1", "-p", str(port)):
        _until(ui.serves, "an answer of the web server")
        with server(tmp_path, "daemon", "dagster._daemon", "run", *shared) as daemon:
            names = [f"ward_{number:04d}" for number in range(14)]
            ui.ask(ui_backfill.LAUNCH, asked={"assetSelection": [{"path": ["trivial"]}], "partitionNames": names})
            _until(lambda: counted("SUCCESS") >= 2 and counted("STARTED") >= 1, "a run under way")
            under_way = [run for run, status in runs().items() if status == "STARTED"]
            os.kill(daemon.pid, signal.SIGKILL)
            _until(lambda: not _workers(tmp_path), "the end of workers without a daemon")
        # They went on without it.
        assert {runs()[run] for run in under_way} == {"SUCCESS"}
        with server(tmp_path, "daemon_again", "dagster._daemon", "run", *shared):
            known = {run for run, status in runs().items() if status == "STARTED"}

            def just_begun() -> set[str]:
                return {run for run, status in runs().items() if status == "STARTED"} - known

            _until(just_begun, "a run after the restart")
            holder = tmp_path / "data" / "dagster" / "running" / f"{min(just_begun())}.holder"
            os.kill(int(holder.read_text()), signal.SIGKILL)
            killed = time.monotonic()
            _until(lambda: counted("FAILURE") == 1, "the end of the killed run")
            assert time.monotonic() - killed < 60
            _until(lambda: counted("STARTED") >= 1, "another run")
            run = next(run for run, status in runs().items() if status == "STARTED")
            said = ui.ask("mutation($run: String!) { terminateRun(runId: $run) { __typename } }", run=run)
            assert said["terminateRun"]["__typename"] == "TerminateRunSuccess"
            _until(lambda: runs()[run] not in ("STARTED", "CANCELING"), "the end of the run")
            _until(lambda: set(runs().values()) <= {"SUCCESS", "FAILURE", "CANCELED"}, "the end of all runs")
            ended = Counter(runs().values())
        # The killed run was tried again; the terminated one may have ended by itself a moment before.
        assert (len(runs()), ended["FAILURE"]) == (15, 1)
        assert ended["CANCELED"] <= 1
    _until(lambda: not _workers(tmp_path), "the end of workers without a daemon")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_backfill_over_many_cohorts_ends_without_a_locked_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ui_backfill.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    found = measure(tmp_path, cohorts=60, launcher="warm", patience_s=400)
    assert found.ended == {"SUCCESS": 60}
    assert found.locked == 0
