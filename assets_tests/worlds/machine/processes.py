"""Other processes for tests: they run a script, tell which mark they reached, and go on when told or are killed."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_PRELUDE = """
import sys, time
from pathlib import Path
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.store.warehouse import Warehouse
settings = Settings.from_environment()
def reached(mark):
    print(mark, flush=True)
def reached_and_wait(mark):
    reached(mark)
    sys.stdin.readline()
"""


class Child:
    """A process that runs a script with ``settings``, ``Warehouse``, ``reached(mark)``, ``reached_and_wait(mark)``."""

    def __init__(self, script: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PRELUDE + script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, mark: str) -> None:
        """Wait until the script has reached a mark."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == mark:
                return
        assert self._process.stderr is not None
        pytest.fail(f"the process ended before {mark!r}: {self._process.stderr.read()}")

    def go_on(self) -> None:
        """Let a script go on that waits at a mark."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: nothing in the process can clean up."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> str:
        """Wait for the regular end and return what was printed since the last mark."""
        output, errors = self._process.communicate()
        assert self._process.returncode == 0, errors
        return output

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def child(script: str, environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run a script in another process for the time of the block."""
    process = Child(script, environment)
    try:
        yield process
    finally:
        process.close()


@contextlib.contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system of its own in ``folder``; the test is skipped where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command, so no full disk can be made")
    if done.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write into a file until its disk has no room at all."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)


def on_warning(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act at every warning that the platform logs, for the rest of the test."""

    class Acting(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            act()

    logger = logging.getLogger("clinical_assets")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, Acting(level=logging.WARNING)])
