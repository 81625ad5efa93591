"""``clinical-assets metrics`` prints what the platform says, or serves it to this machine alone until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from assets_tests.observability.metrics.test_exporter import of, parsed
from assets_tests.worlds.ward.state import WARD, State, state
from clinical_assets.cli.operations import metrics
from clinical_assets.defs.automation.run_counts import JOB_LABELS
from clinical_assets.observability.metrics import exporter
from clinical_assets.observability.metrics.metrics import RUN_STATES

__all__ = ["state"]
COMMAND = [str(Path(sys.executable).with_name("clinical-assets")), "metrics"]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}


def test_once_prints_every_value_with_runs_and_the_ledger_verified(state: State) -> None:
    state.promote()
    state.ledger.append("ingestion", actor="ann", cohort=WARD)
    done = subprocess.run([*COMMAND, "--once"], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    found = parsed(done.stdout)
    assert of(found, "ledger_intact") == 1
    assert of(found, "cohort_info", cohort=WARD, synthetic="yes") == 1
    for job in JOB_LABELS:
        for status in RUN_STATES:
            assert of(found, "runs", dagster_job=job, status=status) == 0


def test_the_command_listens_where_the_exporter_says() -> None:
    # Written twice, so that --help does not load what the exporter needs.
    assert (metrics.HOST, metrics.PORT) == (exporter.HOST, exporter.PORT)


def test_an_open_address_is_refused_with_words(state: State) -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0"], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 1
    assert "no login" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_serves_until_ctrl_c(state: State) -> None:
    state.promote()
    # Port 0 is refused by the command; a free one is asked for here.
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*COMMAND, "--port", str(port)], stderr=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stderr is not None
        assert f":{port}/metrics" in process.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert of(parsed(answer.read().decode()), "cohort_info", cohort=WARD, synthetic="yes") == 1
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in rest
    finally:
        process.kill()
